"""Assemble pages to a chunk: join, cut, sort, drop exact repeats, and check that nothing is missing.

The service may repeat a page, send pages out of order, or include a point at the very end of the range (whether its end is
inclusive is unknown). The chunk is exact in all these cases, or it is refused.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from omnia_beam.core.asked_range import check_times
from omnia_beam.core.chunk import NO_POINTS, Chunk, Points, RawChunk
from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.core.series_id import id_key
from omnia_beam.core.time_range import TimeRange
from omnia_beam.wire import PageItem, decode_body


def assemble_chunk(raw: RawChunk) -> Chunk:
    """Decode a raw chunk and return its chunk.

    Args:
        raw: complete for its key.

    Returns:
        A chunk of the same key: sorted, each time of a series once, nothing outside the range.

    Raises:
        WireFormatError: a page cannot be read, or lacks the column time, value or status.
        IncompleteReadError: the queries leave out a part of the key's range, a series' points do not add up to the
            service's count, two of its points share a time and differ, or the service sent a series or a point that was not
            requested.
    """
    answers = _by_query(raw)
    has_overlaps = _check_coverage(raw, [query for query, _ in answers])
    slices: dict[str, list[Points]] = defaultdict(list)
    for query, items in answers:
        for series_id, found in items.items():
            slices[series_id].append(_cut(_answer(series_id, query, found), query.intersect(raw.key.range)))
    joined = {series_id: Points.concat(parts) for series_id, parts in slices.items()}
    if has_overlaps:
        joined = {series_id: _sorted_unique(series_id, raw.key.range, points) for series_id, points in joined.items()}
    return Chunk.from_points(raw.key, joined)


def _by_query(raw: RawChunk) -> list[tuple[TimeRange, dict[str, list[PageItem]]]]:
    """Return the items of all pages of each query, by the series id as requested, in the order of the queries."""
    asked = {id_key(series_id): series_id for series_id in raw.key.series_ids}
    queries: dict[TimeRange, dict[str, list[PageItem]]] = {}
    for page in raw.pages:
        items = queries.setdefault(page.query, {})
        for item in decode_body(page.body, raw.format).items:
            series_id = asked.get(id_key(item.series_id))
            if series_id is None:
                raise IncompleteReadError(
                    f"{raw.key}: the service sent series {item.series_id!r}, which was not asked for"
                )
            items.setdefault(series_id, []).append(item)
    return sorted(queries.items())


def _check_coverage(raw: RawChunk, queries: list[TimeRange]) -> bool:
    """Check that queries (ascending) leave out nothing of the key's range; return whether they overlap.

    Raises:
        IncompleteReadError: no query covers a part of the range.
    """
    read_to, has_overlaps = raw.key.range.start_ns, False
    for query in [*queries, TimeRange(raw.key.range.end_ns, raw.key.range.end_ns)]:
        if query.start_ns > read_to:
            raise IncompleteReadError(f"{raw.key}: nothing was read of {TimeRange(read_to, query.start_ns)}")
        has_overlaps = has_overlaps or (bool(query) and query.start_ns < read_to)
        read_to = max(read_to, query.end_ns)
    return has_overlaps


def _answer(series_id: str, query: TimeRange, items: list[PageItem]) -> Points:
    """Return the points of one series of one query: sorted, unique, and as many as the service counts.

    Raises:
        WireFormatError: a column is missing.
        IncompleteReadError: the number of points differs from the service's count, a point lies outside the query, or two
            points share a time and differ.
    """
    points = _sorted_unique(series_id, query, Points.concat([_points(series_id, query, item) for item in items]))
    if len(points.times):
        check_times(series_id, query.start_ns, query.end_ns, (int(points.times[0]), int(points.times[-1])))
    totals = {item.total_count for item in items if item.total_count}  # 0 beside points: the service wrote no count
    if totals and len(points.times) not in totals:
        expected, received = max(totals), len(points.times)
        raise IncompleteReadError(
            f"{series_id} {query}: the service counts {expected} points but sent {received}",
            expected=expected,
            received=received,
        )
    return points


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


def _cut(points: Points, part: TimeRange | None) -> Points:
    if part is None:
        return NO_POINTS
    first, last = np.searchsorted(points.times, [part.start_ns, part.end_ns])
    if first == 0 and last == len(points.times):
        return points
    return points.take(slice(int(first), int(last)))
