"""Points of a request as its pages bring them: checked, and joined to whole series by the rule of `core/completeness.py`."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from omnia_beam.core.completeness import CompletenessCheck, Requested, distinct_rows
from omnia_beam.core.errors import IncompleteReadError, NotTheServiceError
from omnia_beam.core.series_id import id_key
from omnia_beam.net.api.datapoints import Datapoints, joined
from omnia_beam.wire import Page, PageItem
from omnia_beam.wire.page import STATUS, TIME, VALUE

RAW: Final = (TIME, VALUE, STATUS)


class Pieces:
    """The pieces of the series of one request, of which one of the methods is called, once.

    Args:
        what: the request in words, for messages.
        requested: by the id of the series, in the spelling that its pieces get; or of one series whose id is not known.
        pages: fetched as they are needed.
    """

    def __init__(self, what: str, requested: Mapping[str, Requested] | Requested, pages: Iterable[Page]) -> None:
        self._completeness = CompletenessCheck(what, requested)
        self._names = {} if isinstance(requested, Requested) else {id_key(id): id for id in requested}
        self._pages = pages

    def uncounted(self) -> Iterator[Datapoints]:
        """Yield what each page has of each series, in the order of the service, with what lies just outside of the range."""
        for page in self._pages:
            for item in page.items:
                self._completeness.add(item)
                yield self._points(item)

    def in_order(self) -> Iterator[Datapoints]:
        """Yield the pieces as they come, cut to the range.

        Raises:
            IncompleteReadError: the points are not complete, or a piece lies across an earlier one of its series, so that only
                all of them together would show whether points repeat.
        """
        spans: dict[str, list[tuple[int, int]]] = {}
        counts: Counter[str] = Counter()
        for piece in self.uncounted():
            points = self._distinct(piece)
            if len(points) and self._is_raw(points):
                self._place(points, spans.setdefault(points.series_id, []))
                counts[points.series_id] += len(points)
            yield self._cut(points)
        self._completeness.check()
        for series_id, count in counts.items():
            self._completeness.check_count(series_id, count)

    def of_one(self, id: str, limit: int | None = None, columns: Sequence[str] = RAW) -> Datapoints:
        """Return the points of the one series that was requested: all, or the first `limit`, which nothing counts.

        Args:
            id: the series; empty takes the id in the response.
            columns: of the result where there are no points.

        Raises:
            IncompleteReadError: the points are not complete.
        """
        parts: list[Datapoints] = []
        count = 0
        for piece in self.uncounted():
            parts.append(piece)
            if limit is not None and (count := count + len(self._cut(piece))) >= limit:
                found = self._distinct(joined(piece.series_id, parts))
                return self._named(self._cut(found).head(limit), id)
        self._completeness.check()
        return self._named(self._whole(parts[0].series_id if parts else id, parts, columns), id)

    def by_series(self, columns: Mapping[str, Sequence[str]]) -> dict[str, Datapoints]:
        """Return the points of each series, in the order of `columns`: those of a result without points.

        Raises:
            IncompleteReadError: the points of a series are not complete.
        """
        parts: dict[str, list[Datapoints]] = {id: [] for id in columns}
        for piece in self.uncounted():
            parts[piece.series_id].append(piece)
        self._completeness.check()
        return {id: self._whole(id, parts[id], names) for id, names in columns.items()}

    def _points(self, item: PageItem) -> Datapoints:
        series_id = self._names.get(id_key(item.series_id), item.series_id)
        if not item.columns:
            return joined(series_id, [])
        if self._completeness.requested(item.series_id).is_raw:
            item.check_raw(f"series {series_id}")
        elif item.times is None:
            raise NotTheServiceError(
                f"series {series_id}: the response has the columns {', '.join(item.columns)}, and no time"
            )
        return Datapoints(series_id, dict(item.columns))

    def _whole(self, id: str, parts: Sequence[Datapoints], columns: Sequence[str]) -> Datapoints:
        whole = self._distinct(joined(id, parts, columns))
        if len(whole):
            self._completeness.check_count(id, len(whole))
        return self._cut(whole)

    def _distinct(self, points: Datapoints) -> Datapoints:
        if not len(points) or not self._is_raw(points):
            return points
        what = f"{self._completeness.what}: {points.series_id}"
        rows = distinct_rows(what, points.times, points.values, points.statuses)
        return points if rows is None else points.take(rows)

    def _place(self, points: Datapoints, spans: list[tuple[int, int]]) -> None:
        first, last = int(points.times[0]), int(points.times[-1])
        place = bisect(spans, (first, last))
        if (place and spans[place - 1][1] >= first) or (place < len(spans) and spans[place][0] <= last):
            raise IncompleteReadError(
                f"{self._completeness.what}: the service sent pages of {points.series_id} that overlap in time: read "
                "all points at once, with a method whose name begins with get"
            )
        spans.insert(place, (first, last))

    def _cut(self, points: Datapoints) -> Datapoints:
        if not len(points):
            return points
        requested = self._completeness.requested(points.series_id)
        return points.between(requested.start_ns, requested.end_ns)

    def _is_raw(self, points: Datapoints) -> bool:
        return self._completeness.requested(points.series_id).is_raw

    @staticmethod
    def _named(points: Datapoints, id: str) -> Datapoints:
        return Datapoints(id, points.columns) if id else points
