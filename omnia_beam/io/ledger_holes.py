"""Find what is missing of many series at once, grouped by series with identical holes, in vectorised steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.ledger.coverage import Ints

Holes = list[tuple[tuple[str, ...], TimeRangeSet]]


class HoleFinder:
    """Takes the pieces of some series at a time; `grouped` returns what no piece covers.

    Args:
        count: number of series, which are identified by their index.
        wanted: range, half-open, ns; not empty.
    """

    def __init__(self, count: int, wanted: TimeRange) -> None:
        self._wanted = wanted
        self._unseen = np.ones(count, bool)
        self._found: list[tuple[Ints, Ints, Ints]] = []

    def add(self, owner: npt.NDArray[Any], start: Ints, end: Ints) -> None:
        """Add all pieces of some series that meet the range.

        Args:
            owner: index of each piece's series; pieces of one series are adjacent.
            start, end: bounds of each piece, ns, half-open, ascending and disjoint within a series.
        """
        if not len(owner):
            return
        self._unseen[owner] = False
        same = owner[1:] == owner[:-1]
        first = np.flatnonzero(np.append(True, ~same))
        last = np.flatnonzero(np.append(~same, True))
        between = np.flatnonzero(same & (end[:-1] < start[1:]))
        before = first[start[first] > self._wanted.start_ns]
        after = last[end[last] < self._wanted.end_ns]
        self._take(owner[between], end[between], start[between + 1])
        self._take(owner[before], np.full(len(before), self._wanted.start_ns), start[before])
        self._take(owner[after], end[after], np.full(len(after), self._wanted.end_ns))

    def grouped(self, series_ids: Sequence[str]) -> Holes:
        """Return (series ids, holes) pairs: series with identical holes are in one group, in their order.

        Groups are in the order of the first series of each; series without holes are in no group.
        """
        unseen = np.flatnonzero(self._unseen)
        self._take(unseen, np.full(len(unseen), self._wanted.start_ns), np.full(len(unseen), self._wanted.end_ns))
        owner, start, end = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        order = np.lexsort((start, owner))
        bounds = np.column_stack((start[order], end[order])).tobytes()
        at = np.searchsorted(owner[order], np.arange(len(series_ids) + 1)) * 16  # a hole is two int64
        groups: dict[bytes, list[str]] = {}
        for series_id, (a, b) in zip(series_ids, itertools.pairwise(at.tolist()), strict=True):
            if a < b:
                groups.setdefault(bounds[a:b], []).append(series_id)
        return [(tuple(members), _range_set(key)) for key, members in groups.items()]

    def _take(self, owner: npt.NDArray[Any], start: Ints, end: Ints) -> None:
        self._found.append((owner, start, end))


def _range_set(bounds: bytes) -> TimeRangeSet:
    pairs = np.frombuffer(bounds, np.int64).reshape(-1, 2).tolist()
    return TimeRangeSet(TimeRange(a, b) for a, b in pairs)
