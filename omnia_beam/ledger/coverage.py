"""Compute what receipts cover: which part of each overlapping range is on top (the painter's algorithm, vectorised), and the holes.

Ranges of one group are painted in the order of their rank, each over those before it. What is visible in the end is what
the ledger holds to be true: a later receipt replaces what earlier ones claimed for the same series and range.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange, TimeRangeSet

Ints = npt.NDArray[np.int64]


class Pieces(NamedTuple):
    """Visible parts of ranges, ascending by group and start, disjoint within a group.

    `row` has integers, the index of the range that is visible; `start` and `end` are int64, half-open. A row with nothing
    visible has no piece; one that another cuts in the middle has two.
    """

    row: npt.NDArray[Any]
    start: Ints
    end: Ints


def visible_pieces(group: npt.NDArray[Any], start: Ints, end: Ints, rank: npt.NDArray[Any]) -> Pieces:
    """Return the visible parts of the ranges.

    Args:
        group: integers; ranges of different groups do not affect each other.
        start, end: half-open, not empty.
        rank: integers, different within a group; the highest is on top.
    """
    order = np.lexsort((rank, end, start, group))
    g, s, e = group[order], start[order], end[order]
    # Of equal ranges only the last is visible. They are by far the most common overlap: a window that was read again.
    again = (g[1:] == g[:-1]) & (s[1:] == s[:-1]) & (e[1:] == e[:-1])
    if again.any():
        last = np.append(~again, True)
        order, g, s, e = order[last], g[last], s[last], e[last]
    new_group = g[1:] != g[:-1]
    overlap = ~new_group & (s[1:] < e[:-1])
    if not overlap.any():
        return Pieces(order, s, e)
    # Where no neighbours in the order of starts overlap, nothing in that group does.
    number = np.concatenate(([0], np.cumsum(new_group)))
    crowded = np.zeros(number[-1] + 1, bool)
    crowded[number[1:][overlap]] = True
    slow = crowded[number]
    painted = _paint(number[slow], s[slow], e[slow], rank[order[slow]])
    rows = np.concatenate((order[~slow], order[slow][painted.row]))
    starts = np.concatenate((s[~slow], painted.start))
    ends = np.concatenate((e[~slow], painted.end))
    merged = np.lexsort((starts, group[rows]))
    return Pieces(rows[merged], starts[merged], ends[merged])


def _paint(group: Ints, start: Ints, end: Ints, rank: npt.NDArray[Any]) -> Pieces:
    left, right, bounds = _cells(group, start, end)
    by_rank = np.argsort(rank, kind="stable")
    layer = np.empty(len(rank), np.int64)
    layer[by_rank] = np.arange(len(rank))
    top = _highest(left, right, layer, len(bounds))
    shown = top >= 0
    changes = np.concatenate(([True], top[1:] != top[:-1]))
    begins = np.flatnonzero(shown & changes)
    ends = np.flatnonzero(shown & np.append(changes[1:], True))
    return Pieces(by_rank[top[begins]], bounds[begins], bounds[ends + 1])


def _cells(group: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """Cut each group into cells at all bounds of its ranges; the cells of all groups are in one sequence.

    Returns the first cell of each range, the one after its last, and each cell's start. A group's last bound starts a cell that
    no range covers, so that no run of cells continues from one group into the next.
    """
    groups, bounds = np.concatenate((group, group)), np.concatenate((start, end))
    order = np.lexsort((bounds, groups))
    g, b = groups[order], bounds[order]
    new = np.concatenate(([True], (b[1:] != b[:-1]) | (g[1:] != g[:-1])))
    cell = np.empty(len(order), np.int64)
    cell[order] = np.cumsum(new) - 1
    return cell[: len(group)], cell[len(group) :], b[new]


def _highest(left: Ints, right: Ints, layer: Ints, cells: int) -> Ints:
    """Return for each cell the highest layer of the ranges over it, -1 where there are none.

    A range of n cells is the union of two spans of 2^k <= n cells, which may overlap. Spans are applied from the widest k down,
    and those of k are split into halves of k-1: a sparse table, filled backwards.
    """
    level = np.frexp((right - left).astype(np.float64))[1] - 1
    highest = np.full(cells, -1, np.int64)
    for k in range(int(level.max()), -1, -1):
        at = level == k
        np.maximum.at(highest, left[at], layer[at])
        np.maximum.at(highest, right[at] - (1 << k), layer[at])
        if k:
            half = 1 << (k - 1)
            halves = highest.copy()
            np.maximum(halves[half:], highest[:-half], out=halves[half:])
            highest = halves
    return highest


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
