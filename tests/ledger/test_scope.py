"""Scopes: a digest of named parts, and words for what changed between two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.ledger.record import Scope, describe_scope_change

PARTS = st.dictionaries(st.sampled_from(["source", "status", "mapping"]), st.text(max_size=3)).map(
    lambda parts: {**parts, "sink": "parquet:out"}
)


@given(PARTS, PARTS)
def test_digests_are_equal_exactly_where_the_parts_are(one: dict[str, str], other: dict[str, str]) -> None:
    assert (Scope.of(one).digest == Scope.of(other).digest) == (one == other)


def test_digest_is_pinned() -> None:
    """Ledgers on disk are looked up by it: another digest would read everything again."""
    assert Scope.of({"sink": "parquet:out/", "source": "https://x/", "status": "192"}).digest == (
        "6c56b4100b8d412dff6898fd33031fb4"
    )


def test_a_scope_needs_a_sink() -> None:
    with pytest.raises(ValueError, match="sink"):
        Scope.of({"source": "x"})


def test_parts_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        Scope((("sink", "x"), ("a", "y")))


def test_nothing_changed_is_nothing_said() -> None:
    assert describe_scope_change({"sink": "x"}, {"sink": "x"}) == ""


def test_each_change_is_named_with_what_it_causes() -> None:
    old = {"sink": "parquet:out/", "status": "192", "mapping": "a" * 100}
    new = {"sink": "parquet:out/", "federation_source": "TSDB", "mapping": "b"}
    text = describe_scope_change(old, new)
    assert "federation source is new: TSDB" in text
    assert f"mapping was {'a' * 60}…, is now b" in text
    assert "status is not set any more: was 192" in text
    assert "read again" in text
    assert "\n" not in text


def test_another_destination_is_told_apart() -> None:
    text = describe_scope_change({"sink": "parquet:a"}, {"sink": "parquet:b"})
    assert "another destination" in text
