"""The least and the greatest value of each series in steps of time, for sparklines: its size is bounded whatever the range."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

COLUMNS: Final = 96
"""Number of steps, at most. Between half of them and all are in use, since a step is a power of two ns long."""


class SparkGrid:
    """Steps of equal length that all series share; steps become longer when a time lies outside of the grid.

    Attributes:
        shift: a step is 2**shift ns long, and step number `time >> shift` holds a time (ns).
        base: number of the first step.
        low, high: float64, shape (series, COLUMNS); NaN where a series has no finite value in a step.
    """

    def __init__(self) -> None:
        self.shift = 0
        self.base = 0
        self._span: tuple[int, int] | None = None
        self.low: npt.NDArray[np.float64] = np.empty((0, COLUMNS))
        self.high: npt.NDArray[np.float64] = np.empty((0, COLUMNS))

    def resize(self, series: int) -> None:
        """Make room for more series."""
        more = np.full((series - len(self.low), COLUMNS), np.nan)
        self.low, self.high = np.concatenate([self.low, more]), np.concatenate([self.high, more])

    def cover(self, first: int, last: int) -> None:
        """Make the grid reach over the times from `first` to `last`, ns."""
        if self._span is not None:
            first, last = min(first, self._span[0]), max(last, self._span[1])
        if self._span == (first, last):
            return
        self._span = first, last
        shift = self.shift
        while (last >> shift) - (first >> shift) >= COLUMNS:
            shift += 1
        self._regroup(shift, first >> shift)

    def add(
        self,
        series: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        low: npt.NDArray[np.float64],
        high: npt.NDArray[np.float64],
    ) -> None:
        """Add the least and the greatest value of cells; each pair of series and step once, within what `cover` was given."""
        columns = steps - self.base
        self.low[series, columns] = np.fmin(self.low[series, columns], low)
        self.high[series, columns] = np.fmax(self.high[series, columns], high)

    def span(self, column: int) -> tuple[int, int]:
        """Return the first time of a column and of the next one, ns."""
        start = (self.base + column) << self.shift
        return start, start + (1 << self.shift)

    def _regroup(self, shift: int, base: int) -> None:
        """Move what is there into steps of 2**shift ns, of which `base` is the first."""
        if (shift, base) == (self.shift, self.base):
            return
        old: dict[str, npt.NDArray[Any]] = {"low": self.low, "high": self.high}
        moved = {name: np.full_like(each, np.nan) for name, each in old.items()}
        for column in np.flatnonzero(~np.isnan(self.low).all(axis=0)).tolist():
            to = (self.span(column)[0] >> shift) - base
            np.fmin(moved["low"][:, to], self.low[:, column], out=moved["low"][:, to])
            np.fmax(moved["high"][:, to], self.high[:, column], out=moved["high"][:, to])
        self.low, self.high, self.shift, self.base = moved["low"], moved["high"], shift, base
