"""Stretches of time of many series, of which the longest are kept: gaps, and values that do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

KEPT: Final = 1_000
"""Number of stretches that are named; all are counted."""

STRETCH: Final = np.dtype([("series", np.int64), ("start", np.int64), ("length", np.uint64), ("value", np.float64)])
"""A stretch: number of the series, first time in ns, length in ns, and the value where it has one."""

Stretches = npt.NDArray[np.void]


def stretches(
    series: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    length: npt.NDArray[np.uint64],
    value: npt.NDArray[np.float64] | None = None,
) -> Stretches:
    """Return columns of equal length as an array of STRETCH."""
    found = np.empty(len(series), STRETCH)
    found["series"], found["start"], found["length"] = series, start, length
    found["value"] = np.nan if value is None else value
    return found


@dataclass
class Longest:
    """Counts, sums and the longest of all stretches, by series.

    Args:
        count: number of stretches, shape (series,).
        total: sum of their lengths, ns.
        length, start: of the longest; 0 where there is none. Of several the first counts.
        named: the KEPT longest of all series, the longest first; of equal ones those that were added first.
    """

    count: npt.NDArray[np.int64]
    total: npt.NDArray[np.uint64]
    length: npt.NDArray[np.uint64]
    start: npt.NDArray[np.int64]
    named: Stretches

    @classmethod
    def none(cls) -> Longest:
        """Return the counts of no series."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty.astype(np.uint64), empty.astype(np.uint64), empty, np.empty(0, STRETCH))

    def resize(self, series: int) -> None:
        """Make room for more series."""
        for name in ("count", "total", "length", "start"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros(series - len(old), old.dtype)]))

    def add(self, found: Stretches) -> None:
        """Add stretches, of each series in the order of time."""
        if not len(found):
            return
        np.add.at(self.count, found["series"], 1)
        np.add.at(self.total, found["series"], found["length"])
        self._keep_longest(found[found["length"] > self.length[found["series"]]])
        if len(self.named) == KEPT:
            found = found[found["length"] > self.named["length"][-1]]
        if len(found):
            joined = np.concatenate([self.named, found])
            self.named = joined[np.argsort(~joined["length"], kind="stable")[:KEPT]]

    def _keep_longest(self, found: Stretches) -> None:
        order = np.lexsort((~found["length"], found["series"]))  # stable: of equal lengths the first stays first
        best = found[order]
        best = best[np.flatnonzero(np.diff(best["series"], prepend=-1))]
        self.length[best["series"]], self.start[best["series"]] = best["length"], best["start"]
