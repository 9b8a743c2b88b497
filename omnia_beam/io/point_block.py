"""Hold points of many series as columns, as one part of a file holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Points


@dataclass(frozen=True, eq=False, slots=True)
class PointBlock:
    """Points of several series.

    Args:
        names: stored ids; some may have no point.
        codes: integers of shape (n,), for each point the index of its series in `names`.
        points: n points, in the order of the file.
    """

    names: tuple[str, ...]
    codes: npt.NDArray[Any]
    points: Points

    @classmethod
    def of_one(cls, name: str, points: Points) -> PointBlock:
        """Return the points of one series as a block."""
        return cls((name,), np.zeros(len(points.times), np.int32), points)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """The index of the first point of each run, where a run is a number of neighbours of one series."""
        changes = np.flatnonzero(self.codes[1:] != self.codes[:-1]) + 1
        return np.concatenate([np.zeros(min(1, len(self.codes)), np.int64), changes])

    def by_series(self) -> PointBlock:
        """Return the block with one run for each series, each in the order of the file; without a copy where it is so already."""
        if len(self.starts) <= len(self.names) and not self._returns():
            return self
        return self.take(np.argsort(self.codes, kind="stable"))

    def by_time(self) -> PointBlock:
        """Return the block with one run for each series, ascending in time; without a copy where it is so already."""
        block = self.by_series()
        times, codes = block.points.times, block.codes
        back = times[1:] < times[:-1]
        if not (back & (codes[1:] == codes[:-1])).any():
            return block
        return block.take(np.lexsort((times, codes)))

    def take(self, where: npt.NDArray[Any]) -> PointBlock:
        """Return the points that `where` selects: a boolean mask or indices."""
        return PointBlock(self.names, self.codes[where], self.points.take(where))

    def runs(self) -> Iterator[tuple[str, Points]]:
        """Yield the name and the points, without a copy, of each run."""
        starts = self.starts.tolist()
        if not starts:
            return
        for start, end in zip(starts, [*starts[1:], len(self.codes)], strict=True):
            yield self.names[self.codes[start]], self.points.take(slice(start, end))

    def _returns(self) -> bool:
        """Return whether a series has several runs."""
        found = self.codes[self.starts]
        return len(np.unique(found)) < len(found)
