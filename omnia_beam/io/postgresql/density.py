"""Where in time the points of a table lie, and windows that are cut by it, so that each holds about a chunk's points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange
from omnia_beam.plan.packing import PackedWindow, PackLimits, pack_windows, requests_for

_MOST_PARTS: Final = 256
_MOST_COUNTS: Final = 250_000
"""Counts that are held at a time, of all series and parts of a range."""

_FINEST_NS: Final = 60 * 10**9
"""Length of the shortest part; what is denser than a chunk in it is cut while it is read."""

_EVENLY: Final = 4
"""Pieces up to which a part is taken to be filled evenly: a further count would cost about what a wrong guess does."""


@dataclass(frozen=True)
class Density:
    """Counts of points by series and part of a range.

    Args:
        series_ids: each once.
        edges: bounds of the parts, ascending, ns; at least two.
        counts: int64, shape (series, parts).
    """

    series_ids: tuple[str, ...]
    edges: tuple[int, ...]
    counts: npt.NDArray[np.int64]

    def totals(self) -> dict[str, int]:
        """Return the number of points of each series in the whole range."""
        return dict(zip(self.series_ids, self.counts.sum(axis=1).tolist(), strict=True))


Count = Callable[[Sequence[str], Sequence[int]], Density]
"""A function that counts the points of some series between edges, ns."""


def edges_of(span: TimeRange, series: int) -> tuple[int, ...]:
    """Return the bounds of the equal parts in which a range of so many series is counted, ns."""
    parts = max(1, min(_MOST_PARTS, _MOST_COUNTS // max(series, 1), span.duration_ns // _FINEST_NS))
    return (*(each.start_ns for each in span.split(parts)), span.end_ns)


def dense_windows(density: Density, limits: PackLimits, count: Count) -> Iterator[PackedWindow]:
    """Yield windows that cover the range of a density, none of which is expected to hold more than a chunk.

    The same counts give the same windows.

    Args:
        density: what was counted.
        limits: of chunks.
        count: counts in finer parts what holds several chunks in one.
    """
    span = TimeRange(density.edges[0], density.edges[-1])
    row = {each: at for at, each in enumerate(density.series_ids)}
    for packed in pack_windows(density.totals().items(), span, limits):
        points = density.counts[[row[each] for each in packed.series_ids]].sum(axis=0)
        yield from _cut(packed.series_ids, packed.range, density.edges, points.tolist(), limits, count)


def _cut(
    series_ids: tuple[str, ...],
    span: TimeRange,
    edges: Sequence[int],
    points: Sequence[int],
    limits: PackLimits,
    count: Count,
) -> Iterator[PackedWindow]:
    """Yield windows of a range, given the points of its series between edges that reach over it.

    Whole parts are joined as long as a chunk holds them; a part that no chunk holds is cut in itself.
    """
    start, held = span.start_ns, 0.0
    for (left, right), in_part in zip(pairwise(edges), points, strict=True):
        if right <= span.start_ns or span.end_ns <= left:
            continue
        part = TimeRange(max(left, span.start_ns), min(right, span.end_ns))
        here = in_part * part.duration_ns / (right - left)
        if held + here <= limits.chunk_target:
            held += here
            continue
        if start < part.start_ns:
            yield _window(series_ids, TimeRange(start, part.start_ns), held, limits)
        if here <= limits.chunk_target:
            start, held = part.start_ns, here
            continue
        yield from _cut_part(series_ids, part, here, limits, count)
        start, held = part.end_ns, 0.0
    if start < span.end_ns:
        yield _window(series_ids, TimeRange(start, span.end_ns), held, limits)


def _cut_part(
    series_ids: tuple[str, ...], part: TimeRange, points: float, limits: PackLimits, count: Count
) -> Iterator[PackedWindow]:
    """Yield windows of a part that holds more points than a chunk may."""
    pieces = math.ceil(points / limits.chunk_target)
    edges = edges_of(part, 1)
    if pieces > _EVENLY and len(edges) > 2:
        finer = count(series_ids, edges)
        yield from _cut(series_ids, part, edges, finer.counts.sum(axis=0).tolist(), limits, count)
        return
    for each in part.split(pieces):
        yield _window(series_ids, each, points / pieces, limits)


def _window(series_ids: tuple[str, ...], span: TimeRange, points: float, limits: PackLimits) -> PackedWindow:
    expected = round(points)
    return PackedWindow(series_ids, span, expected, requests_for(expected, limits))
