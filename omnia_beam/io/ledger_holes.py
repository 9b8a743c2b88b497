"""What is missing of many series at once, grouped by series with identical holes: vectorised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.io.ledger_paint import Ints

Holes = list[tuple[tuple[str, ...], TimeRangeSet]]


def grouped_holes(
    series_ids: Sequence[str], owner: npt.NDArray[Any], start: Ints, end: Ints, wanted: TimeRange
) -> Holes:
    """The parts of a range that no piece covers.

    Args:
        series_ids: each once.
        owner: by piece, the index of its series.
        start, end: by piece, half-open; ascending by owner and start, disjoint within an owner.
        wanted: half-open, ns.

    Returns:
        For each set of holes that some series has, those series, ascending, and the holes; in the order of the first
        series of each. Series without holes are in none.
    """
    if not wanted:
        return []
    hole_owner, hole_start, hole_end = _holes(len(series_ids), owner, start, end, wanted)
    groups: dict[bytes, list[str]] = {}
    bounds = np.column_stack((hole_start, hole_end)).tobytes()
    at = np.searchsorted(hole_owner, np.arange(len(series_ids) + 1)) * 16  # two int64 a hole
    for index, (a, b) in enumerate(zip(at[:-1].tolist(), at[1:].tolist(), strict=True)):
        if a < b:
            groups.setdefault(bounds[a:b], []).append(series_ids[index])
    found = [(tuple(sorted(members)), _range_set(key)) for key, members in groups.items()]
    return sorted(found, key=lambda each: each[0])


def _holes(count: int, owner: npt.NDArray[Any], start: Ints, end: Ints, wanted: TimeRange) -> tuple[Ints, Ints, Ints]:
    """Holes ascending by owner and start."""
    inside = (end > wanted.start_ns) & (start < wanted.end_ns)
    owner = owner[inside].astype(np.int64)
    start = np.maximum(start[inside], wanted.start_ns)
    end = np.minimum(end[inside], wanted.end_ns)
    # Between two guards around each series' pieces, every hole is the space between neighbours.
    everyone = np.arange(count, dtype=np.int64)
    owners = np.concatenate((everyone, owner, everyone))
    begins = np.concatenate((np.full(count, wanted.start_ns), start, np.full(count, wanted.end_ns)))
    ends = np.concatenate((np.full(count, wanted.start_ns), end, np.full(count, wanted.end_ns)))
    order = np.lexsort((ends, begins, owners))
    owners, begins, ends = owners[order], begins[order], ends[order]
    hole = (owners[1:] == owners[:-1]) & (ends[:-1] < begins[1:])
    return owners[1:][hole], ends[:-1][hole], begins[1:][hole]


def _range_set(bounds: bytes) -> TimeRangeSet:
    pairs = np.frombuffer(bounds, np.int64).reshape(-1, 2).tolist()
    return TimeRangeSet(TimeRange(a, b) for a, b in pairs)
