"""Assemble pages to a chunk: join, cut, sort, drop exact repeats, and check that nothing is missing.

The service may repeat a page, send pages out of order, or include a point at the very end of the range (whether its end is
inclusive is unknown). The chunk is exact in all these cases, or it is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points, RawChunk
from omnia_beam.core.completeness import CompletenessCheck, check_times, distinct_rows
from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.series_id import id_key
from omnia_beam.core.time_range import TimeRange
from omnia_beam.wire import PageItem, decode_body
from omnia_beam.wire.page import STATUS, TIME, VALUE


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
    queries = _by_query(raw)
    has_overlaps = _check_coverage(raw, [query for query, _ in queries])
    slices: dict[str, list[Points]] = defaultdict(list)
    for query, response in queries:
        for series_id, items in response.items.items():
            slices[series_id].append(_cut(response.points(series_id, items), query.intersect(raw.key.range)))
    joined = {series_id: Points.concat(parts) for series_id, parts in slices.items()}
    if has_overlaps:
        joined = {series_id: _distinct(f"{series_id} {raw.key.range}", points) for series_id, points in joined.items()}
    return Chunk.from_points(raw.key, joined)


class _Response:
    """The items of all pages of one query, by the series id as requested."""

    def __init__(self, series_ids: Sequence[str], query: TimeRange) -> None:
        self._query = query
        self._where = str(query)
        self._completeness = CompletenessCheck.of(self._where, series_ids, query.start_ns, query.end_ns)
        self.items: dict[str, list[PageItem]] = defaultdict(list)

    def add(self, item: PageItem, requested: Mapping[str, str]) -> None:
        self._completeness.add(item, edges=())  # times are checked when they are sorted, which is cheaper
        self.items[requested[id_key(item.series_id)]].append(item)

    def points(self, series_id: str, items: Sequence[PageItem]) -> Points:
        """Return the points of one series: sorted, each time once, and as many as the service counts.

        Raises:
            WireFormatError: a column is missing.
            IncompleteReadError: by the rule of `core/completeness.py`.
        """
        what = f"{series_id} {self._where}"
        points = _distinct(what, Points.concat([_columns(what, item) for item in items]))
        if len(points.times):
            edges = (int(points.times[0]), int(points.times[-1]))
            check_times(series_id, self._query.start_ns, self._query.end_ns, edges)
        self._completeness.check_count(series_id, len(points.times))
        return points


def _by_query(raw: RawChunk) -> list[tuple[TimeRange, _Response]]:
    """Return the responses to the queries of a raw chunk, in the order of the queries."""
    requested = {id_key(series_id): series_id for series_id in raw.key.series_ids}
    queries: dict[TimeRange, _Response] = {}
    for page in raw.pages:
        response = queries.get(page.query)
        if response is None:
            response = queries[page.query] = _Response(raw.key.series_ids, page.query)
        for item in decode_body(page.body, raw.format).items:
            response.add(item, requested)
    return sorted(queries.items(), key=lambda each: each[0])


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


def _columns(what: str, item: PageItem) -> Points:
    if not item.check_raw(what):
        return NO_POINTS
    return Points(*(item.columns[name] for name in (TIME, VALUE, STATUS)))


def _distinct(what: str, points: Points) -> Points:
    rows = distinct_rows(what, *points[:3])
    return points if rows is None else points.take(rows)


def _cut(points: Points, part: TimeRange | None) -> Points:
    if part is None:
        return NO_POINTS
    first, last = np.searchsorted(points.times, [part.start_ns, part.end_ns])
    if first == 0 and last == len(points.times):
        return points
    return points.take(slice(int(first), int(last)))
