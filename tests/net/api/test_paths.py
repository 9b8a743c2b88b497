from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.net.api.operations import path_of


@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda t: t.strip() not in ("", ".", "..")), min_size=1
    )
)
def test_segments_come_back_as_they_went(segments: list[str]) -> None:
    assert [unquote(part) for part in path_of(*segments).split("/")] == segments


@pytest.mark.parametrize("bad", ["", " ", ".", "..", None, 5])
def test_segments_that_would_mean_another_path_are_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="is an id empty"):
        path_of("a", bad, "data")


@pytest.mark.parametrize("hostile", ["a/../b", "a?x=1", "a#b", "a%2Fb", "æ ø", "a\\b", "a;b", "..%2f"])
def test_what_arrives_is_one_segment(service, session_on, hostile: str) -> None:  # type: ignore[no-untyped-def]  # fixtures
    session_on(service.url).send("GET", path_of(hostile, "data"), idempotent=True)
    stem, _, tail = service.requests[0].target.removeprefix("/plant/timeseries/v1.7/").partition("/")
    assert (unquote(stem), tail) == (hostile, "data")
