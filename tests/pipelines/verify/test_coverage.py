"""The coverage picture against a cell by cell reckoning."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange
from omnia_beam.pipelines.verify.coverage import COLUMNS, DIFFERENT, DONE, EMPTY, MISSING, CoverageGrid

MARK = st.tuples(
    st.integers(0, 2),
    st.integers(-20, 800),
    st.integers(0, 300),
    st.sampled_from([EMPTY, DONE, MISSING, DIFFERENT]),
)


@given(st.integers(1, 700), st.lists(MARK, max_size=8))
def test_every_cell_shows_the_worst_that_meets_it(duration: int, marks: list[tuple[int, int, int, int]]) -> None:
    grid = CoverageGrid(["a", "b"], TimeRange(0, duration))
    for series, start, length, state in marks:
        grid.mark("abc"[series], TimeRange(start, start + length), state)
    expected = np.zeros((2, COLUMNS), np.uint8)
    for row in range(2):
        for column in range(COLUMNS):
            instants = range(duration * column // COLUMNS, duration * (column + 1) // COLUMNS)
            meeting = [s for r, a, n, s in marks if r == row and any(a <= t < a + n for t in instants)]
            expected[row, column] = max(meeting, default=0)
    # Cells of less than a nanosecond hold no instant: nobody can say what belongs there.
    holds = np.array([duration * (c + 1) // COLUMNS > duration * c // COLUMNS for c in range(COLUMNS)])
    assert (grid.worst[:, holds] == expected[:, holds]).all()


@given(st.integers(COLUMNS, 700), st.lists(st.integers(-20, 800), max_size=8))
def test_an_instant_is_marked_as_the_range_of_it_is(duration: int, times: list[int]) -> None:
    one, other = (CoverageGrid(["a"], TimeRange(0, duration)) for _ in range(2))
    one.mark_times("a", np.array(times, np.int64), DIFFERENT)
    for time in times:
        other.mark("a", TimeRange(time, time + 1), DIFFERENT)
    assert (one.worst == other.worst).all()


def test_many_series_share_rows() -> None:
    grid = CoverageGrid([f"{i:03d}" for i in range(250)], TimeRange(0, 120))
    grid.mark("007", TimeRange(0, 120), DONE)
    grid.mark("008", TimeRange(60, 61), DIFFERENT)
    rows = grid.to_json()["rows"]
    assert (len(rows), grid.series_per_row) == (84, 3)
    assert rows[2] == {"series": "006 to 008 (3 series)", "cells": "d" * 60 + "x" + "d" * 59}
    assert rows[-1] == {"series": "249", "cells": "." * 120}
