"""The coverage picture as numbers: series down, time across, a state in each cell. Its size is bounded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange

COLUMNS: Final = 120
MAX_ROWS: Final = 100
"""Number of rows, at most; where there are more series, each row stands for several."""

NOT_KNOWN: Final = 0
EMPTY: Final = 1
DONE: Final = 2
MISSING: Final = 4
DIFFERENT: Final = 8
STATES: Final = {EMPTY: "empty", DONE: "done", MISSING: "missing", DIFFERENT: "different"}
"""Bits of a cell and their names; the worst is the highest, and a cell shows its worst."""


class CoverageGrid:
    """Marks by series and time; the cells are MAX_ROWS by COLUMNS at most, whatever the job.

    Args:
        series_ids: the rows' series, in order.
        range: the columns' time.
    """

    def __init__(self, series_ids: Sequence[str], range: TimeRange) -> None:
        self.range = range
        self.series_ids = tuple(series_ids)
        self.series_per_row = max(1, -(-len(self.series_ids) // MAX_ROWS))
        self._row_of = {series_id: i // self.series_per_row for i, series_id in enumerate(self.series_ids)}
        rows = -(-len(self.series_ids) // self.series_per_row)
        self._cells: npt.NDArray[np.uint8] = np.zeros((rows, COLUMNS), np.uint8)
        self._bounds = _bounds(range)

    def mark(self, series_id: str, part: TimeRange, state: int) -> None:
        """Mark every cell that a part of a series overlaps; other series and times are ignored."""
        row = self._row_of.get(series_id)
        start, end = max(part.start_ns, self.range.start_ns), min(part.end_ns, self.range.end_ns)
        if row is None or start >= end:
            return
        first = bisect_right(self._bounds, start) - 1
        self._cells[row, first : bisect_right(self._bounds, end - 1)] |= state

    def mark_times(self, series_id: str, times: npt.NDArray[np.int64], state: int) -> None:
        """Mark the cells of single instants, ns."""
        row = self._row_of.get(series_id)
        if row is None:
            return
        inside = times[(times >= self.range.start_ns) & (times < self.range.end_ns)]
        self._cells[row, np.searchsorted(np.array(self._bounds), inside, side="right") - 1] |= np.uint8(state)

    @property
    def worst(self) -> npt.NDArray[np.uint8]:
        """The highest bit of each cell, 0 where nothing is known; shape (rows, COLUMNS)."""
        cells: npt.NDArray[Any] = self._cells
        found = np.zeros_like(cells)
        for state in STATES:
            found[(cells & state) != 0] = state
        return found

    def row_name(self, row: int) -> str:
        """Return the name of a row: its series, or the first and last of several."""
        ids = self.series_ids[row * self.series_per_row : (row + 1) * self.series_per_row]
        return ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]} ({len(ids)} series)"

    def to_json(self) -> dict[str, Any]:
        """Return plain data: a text a row, a letter a cell (`.` not known, `e`mpty, `d`one, `m`issing, `x` different)."""
        letters = np.full(DIFFERENT + 1, ".", "<U1")
        letters[[EMPTY, DONE, MISSING, DIFFERENT]] = ["e", "d", "m", "x"]
        return {
            "start_ns": self.range.start_ns,
            "end_ns": self.range.end_ns,
            "series_per_row": self.series_per_row,
            "rows": [{"series": self.row_name(i), "cells": "".join(letters[row])} for i, row in enumerate(self.worst)],
        }


def _bounds(range: TimeRange) -> list[int]:
    """Return the first instant of each column, ns, as integers: floats cannot hold nanoseconds exactly."""
    return [range.start_ns + range.duration_ns * i // COLUMNS for i in np.arange(COLUMNS).tolist()]
