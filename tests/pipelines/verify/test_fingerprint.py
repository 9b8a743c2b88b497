"""Fingerprints: as receipts have them, adding up over any division, and recomputed by the program in the report."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.core.fingerprint import RECIPE, Fingerprint, reading_program, reading_query, total_fingerprint
from omnia_beam.core.receipt import SeriesReceipt

ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.one_of(st.floats(), st.sampled_from([0.0, -0.0, float("nan")])),
        st.integers(0, 2**32 - 1),
    ),
    max_size=20,
    unique_by=lambda row: row[0],
)


def points(rows: list[tuple[int, float, int]]) -> Points:
    times, values, statuses = zip(*rows, strict=True) if rows else ((), (), ())
    return Points(np.array(times, np.int64), np.array(values, np.float64), np.array(statuses, np.uint32))


@given(ROWS)
def test_it_is_that_of_the_receipt(rows: list[tuple[int, float, int]]) -> None:
    receipt = SeriesReceipt.of("s", "t", points(sorted(rows)))
    assert Fingerprint.of(points(rows)) == receipt.fingerprint


@given(ROWS, st.lists(st.integers(0, 20), max_size=4))
def test_parts_add_up_to_the_whole(rows: list[tuple[int, float, int]], cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(rows)]
    parts = [Fingerprint.of(points(rows[a:b])) for a, b in itertools.pairwise(bounds)]
    assert total_fingerprint(parts) == Fingerprint.of(points(rows))


@given(ROWS)
def test_anybody_can_recompute_it(rows: list[tuple[int, float, int]]) -> None:
    program: dict[str, Any] = {}
    exec(RECIPE, program)
    assert program["fingerprint"](rows) == Fingerprint.of(points(rows)).content_hash


def test_the_page_and_the_documentation_print_the_same_programs() -> None:
    documentation = (Path(__file__).parents[3] / "docs" / "verify.md").read_text(encoding="utf-8")
    pattern = "out/**/job-*.parquet"
    for program in (RECIPE, reading_program(pattern), reading_query(pattern, texts=False)):
        assert program in documentation


def test_a_pattern_with_quotes_stays_a_literal() -> None:
    assert "read_parquet('it''s/*.parquet')" in reading_query("it's/*.parquet", texts=True)
    compile(reading_program("it's \"/*.parquet"), "program", "exec")


@pytest.mark.parametrize("bit", [0, 1, 31, 52, 62, 63])
def test_one_bit_is_seen(bit: int) -> None:
    values = np.linspace(-1, 1, 1_000)
    one = Points(np.arange(1_000), values, np.full(1_000, 192, np.uint32))
    changed = values.copy()
    changed.view(np.uint64)[617] ^= np.uint64(1) << np.uint64(bit)
    assert Fingerprint.of(one).content_hash != Fingerprint.of(one._replace(values=changed)).content_hash
