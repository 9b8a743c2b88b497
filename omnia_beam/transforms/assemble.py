"""Pages to a chunk: join, cut, sort, drop exact repeats, and check that nothing is missing.

The service may repeat a page, send pages out of order, or hold a point at the very end of the range (whether its end is
inclusive is unknown): the chunk is exact all the same, or it is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points, RawChunk
from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.wire import PageItem, decode_body


def assemble_chunk(raw: RawChunk) -> Chunk:
    """Decode a raw chunk.

    Args:
        raw: complete for its key.

    Returns:
        A chunk of the same key: sorted, each time of a series once, nothing outside the range.

    Raises:
        WireFormatError: a page cannot be read, or lacks the column time, value or status.
        IncompleteReadError: a series' points do not add up to the service's count, two of its points share a time and
            differ, or a series was sent that was not asked for.
    """
    slices: dict[str, list[Points]] = defaultdict(list)
    for query, items in _by_query(raw):
        for series_id, found in items.items():
            if series_id not in raw.key.series_ids:
                raise IncompleteReadError(f"{raw.key}: the service sent series {series_id}, which was not asked for")
            slices[series_id].append(_answer(series_id, query, found))
    return Chunk.from_points(raw.key, {series_id: Points.concat(parts) for series_id, parts in slices.items()})


def _by_query(raw: RawChunk) -> Iterable[tuple[TimeRange, dict[str, list[PageItem]]]]:
    """The items of all pages of each query, by series."""
    queries: dict[TimeRange, dict[str, list[PageItem]]] = {}
    for page in raw.pages:
        items = queries.setdefault(page.query, {})
        for item in decode_body(page.body, raw.format).items:
            items.setdefault(item.series_id, []).append(item)
    return sorted(queries.items())


def _answer(series_id: str, query: TimeRange, items: list[PageItem]) -> Points:
    """One series of one query: sorted, unique, checked, cut to the query's range."""
    points = _sorted_unique(series_id, query, Points.concat([_points(series_id, query, item) for item in items]))
    totals = {item.total_count for item in items if item.total_count}  # 0 beside points: the service wrote no count
    if totals and len(points.times) not in totals:
        expected, received = max(totals), len(points.times)
        raise IncompleteReadError(
            f"{series_id} {query}: the service counts {expected} points but sent {received}",
            expected=expected,
            received=received,
        )
    return _cut(points, query)


def _points(series_id: str, query: TimeRange, item: PageItem) -> Points:
    if item.times is None or item.values is None or item.statuses is None:
        if not item.columns:  # an item without points need not name its columns
            return NO_POINTS
        raise WireFormatError(f"{series_id} {query}: raw data needs time, value and status, not {sorted(item.columns)}")
    return Points(item.times, item.values, item.statuses)


def _sorted_unique(series_id: str, query: TimeRange, points: Points) -> Points:
    times = points.times
    if len(times) < 2 or bool((times[1:] > times[:-1]).all()):
        return points
    order = np.argsort(times, kind="stable")
    points = points.take(order)
    times, values, statuses = points
    repeats = np.zeros(len(times), bool)
    repeats[1:] = times[1:] == times[:-1]
    clash = repeats[1:] & ((_bits(values)[1:] != _bits(values)[:-1]) | (statuses[1:] != statuses[:-1]))
    if clash.any():
        at = int(times[1:][clash][0])
        raise IncompleteReadError(f"{series_id} {query}: the service sent two different points for the time {at} ns")
    return points.take(~repeats)


def _bits(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(values).view(np.uint64)


def _cut(points: Points, query: TimeRange) -> Points:
    first, last = np.searchsorted(points.times, [query.start_ns, query.end_ns])
    if first == 0 and last == len(points.times):
        return points
    return points.take(slice(int(first), int(last)))
