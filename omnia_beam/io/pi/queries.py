"""Read one query completely: every stream of it judged by itself, divided until no response is as full as its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from omnia_beam.core.errors import (
    BadRequestError,
    IncompleteReadError,
    NotFoundError,
    NotTheServiceError,
    OmniaBeamError,
    TerminalServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.pi.calls import MAX_URL_BYTES, TICK_NS, PiCalls, Span, allowed_by
from omnia_beam.io.pi.decode import decode_recorded
from omnia_beam.io.pi.recorded import NO_VALUES, Recorded
from omnia_beam.io.pi.values import PiPoint
from omnia_beam.io.window_reader import Divide

_TRIES: Final = 8
"""How often one stream is asked for when what comes is no whole response; a request's own failures are retried below."""

_GRID_NS: Final = 15_300
"""Step of the archive's grid, 1/65536 s, rounded up: a server that compares on it may return values that far outside. [aveva]"""

_ITS_OWN: Final = (IncompleteReadError, WireFormatError, TerminalServiceError)
"""Errors that may concern one stream alone: the others of its query go on."""

_AGAIN: Final = (IncompleteReadError, WireFormatError, NotTheServiceError)
"""Errors of a response that the same request may not show again."""


@dataclass(frozen=True, eq=False)
class PiAnswer:
    """All values of a query, by series.

    Args:
        values: by series id, in the order of time; of every series of the query but those that failed.
        failed: by series id, why a series could not be read.
        recorded: series of which points are recorded that these replace, so that a window is taken as a whole or not at all.
    """

    values: Mapping[str, Recorded]
    failed: Mapping[str, OmniaBeamError] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()

    @property
    def points(self) -> int:
        """Number of values."""
        return sum(map(len, self.values.values()))

    @property
    def named(self) -> frozenset[str]:
        """All series: a response that leaves one out is not taken."""
        return frozenset((*self.values, *self.failed))

    @property
    def has_totals(self) -> bool:
        """The counts of chunks are compared in `io.pi.chunks`, so that no window need be counted once more."""
        return True


class _TooMuch(Exception):
    """The query holds more values than a chunk may."""

    def __init__(self, parts: int) -> None:
        super().__init__(parts)
        self.parts = parts


@dataclass
class _Budget:
    """How many values the query may still bring."""

    left: int

    def take(self, values: int, parts: int = 2) -> None:
        self.left -= values
        if self.left < 0:
            raise _TooMuch(parts)


@dataclass
class PageLimit:
    """The number of values that one response may hold, as far as it is known; the server's own where that is smaller."""

    values: int

    def lower(self, allowed: int) -> None:
        """Note what the server allows."""
        self.values = min(self.values, max(2, allowed))


@dataclass
class PiQueries:
    """Reader of queries, safe to use from many threads.

    Args:
        calls: the requests.
        points: by series id.
        page: how many values to ask for at once.
        max_points: values above which a query is divided.
        gone: series that the server no longer has; they have no values.
    """

    calls: PiCalls
    points: Mapping[str, PiPoint]
    page: PageLimit
    max_points: int
    gone: frozenset[str] = frozenset()

    def read(
        self,
        series_ids: tuple[str, ...],
        query: TimeRange,
        *,
        points_expected: bool = True,
        recorded: frozenset[str] = frozenset(),
    ) -> PiAnswer | Divide:
        """Return all values of a query, or how to divide it.

        Args:
            series_ids: the series to read.
            query: the range, not empty.
            points_expected: not used: an empty response is compared with the server's count.
            recorded: series that held points before; where one of them is empty now, `io.pi.chunks` asks once more, alone.

        Raises:
            IncompleteReadError: no whole response came in several tries, or more values stand at one time than can be paged.
            WireFormatError, NotTheServiceError: what came was never a response with recorded values.
            NotFoundError: the data server has no such point any more.
            ServiceError: a request failed for good.
        """
        budget = _Budget(max(self.max_points, self.page.values) if query.duration_ns > TICK_NS else 2**62)
        failed: dict[str, OmniaBeamError] = {}
        try:
            points = self._points_of(series_ids, failed)
            values = self._values(points, query, budget, failed)
        except _TooMuch as found:
            return Divide(found.parts)
        if failed and (recorded or len(failed) == len(series_ids)):
            raise next(iter(failed.values()))
        empty = {each: NO_VALUES for each in series_ids if each not in failed}
        return PiAnswer({**empty, **values}, failed, recorded)

    def check_whole(self, series_ids: tuple[str, ...], requested: TimeRange, points: int) -> None:
        """Do nothing: every chunk is compared with the server's count when it is made."""

    def once_more(self, series_ids: Sequence[str], requested: TimeRange) -> Mapping[str, Recorded]:
        """Return the values of series that hold few, asked for together; those that could not be read are left out."""
        points = [self.points[each] for each in series_ids]
        return self._values(points, requested, _Budget(2**62), {})

    def again(self, series_id: str, requested: TimeRange, limit: int | None = None) -> tuple[Recorded, int]:
        """Return the values of one series, asked for alone and however many they are, and the size of the largest response.

        Args:
            series_id: of the series.
            requested: the range.
            limit: the size at which a response is taken for cut off, where that is below what is known.

        Raises:
            As `read`.
        """
        queries = self if limit is None else replace(self, page=PageLimit(max(2, limit)))
        sizes: list[int] = []
        found = queries._alone(self.points[series_id], requested, _Budget(2**62), sizes)
        return found, max(sizes, default=0)

    def _points_of(self, series_ids: Sequence[str], failed: dict[str, OmniaBeamError]) -> list[PiPoint]:
        for each in series_ids:
            if each not in self.points and each not in self.gone:
                failed[each] = NotFoundError(f"the data server has no point {each}")
        return [self.points[each] for each in series_ids if each in self.points]

    def _try(
        self,
        point: PiPoint,
        query: TimeRange,
        budget: _Budget,
        values: dict[str, Recorded],
        failed: dict[str, OmniaBeamError],
    ) -> None:
        """Ask for one stream alone, and note its values or why it could not be read."""
        try:
            values[point.series_id] = self._alone(point, query, budget)
        except UnauthorizedError:
            raise
        except _ITS_OWN as error:
            failed[point.series_id] = error

    def _values(
        self, points: Sequence[PiPoint], query: TimeRange, budget: _Budget, failed: dict[str, OmniaBeamError]
    ) -> dict[str, Recorded]:
        span = Span.of(query)
        if span is None:
            return {each.series_id: NO_VALUES for each in points}
        found: dict[str, Recorded] = {}
        for group in _groups(points):
            whole = self._together(group, span) if len(group) > 1 else {}
            for values in whole.values():
                budget.take(len(values))
            found |= whole
            for point in group:
                if point.series_id not in whole:
                    self._try(point, query, budget, found, failed)
        return {series_id: _cut(values, query) for series_id, values in found.items()}

    def _together(self, group: Sequence[PiPoint], span: Span) -> dict[str, Recorded]:
        """Return those streams of one response that are whole; the others are asked for alone."""
        limit = self.page.values
        try:
            body = self._recorded(group, span, limit)
            streams = decode_recorded(body, [each.web_id for each in group])
        except UnauthorizedError:
            raise
        except _ITS_OWN:
            return {}  # perhaps because of one of them: each is asked for alone
        limit = min(limit, self.page.values)
        if sum(map(len, streams.values())) == limit:
            # Whether the limit counts a stream or the response is unknown: this one may be cut anywhere.
            return {}
        whole: dict[str, Recorded] = {}
        for point in group:
            values = streams.get(point.web_id)
            if values is not None and len(values) < limit and _misplaced(values, span) is None:
                whole[point.series_id] = values
        return whole

    def _alone(self, point: PiPoint, query: TimeRange, budget: _Budget, sizes: list[int] | None = None) -> Recorded:
        """Return all values of one stream in a range, in as many requests as they take; `sizes` gets those of the responses."""
        todo, parts = [query], []
        while todo:
            part = todo.pop()
            span = Span.of(part)
            if span is None:
                continue
            values = self._page(point, span)
            if sizes is not None:
                sizes.append(len(values))
            if len(values) < self.page.values:
                budget.take(len(values), self._shares(query, part))
                parts.append(_cut(values, part))
            else:
                todo += reversed(self._divided(point, part, span, values))
        return Recorded.joined(parts) if parts else NO_VALUES

    def _page(self, point: PiPoint, span: Span) -> Recorded:
        """Return the values of one response, which lie where they should."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                body = self._recorded([point], span, self.page.values)
                values = decode_recorded(body, [point.web_id])[point.web_id]
                misplaced = _misplaced(values, span)
                if misplaced is None:
                    return values
                raise IncompleteReadError(misplaced)
            except _AGAIN as error:
                if not left:
                    where = f"{point.series_id}, {format_time(span.first_ns)} to {format_time(span.last_ns)}"
                    raise type(error)(f"{where}: {error}") from error
        raise AssertionError("unreachable: the last try returns or raises")

    def _recorded(self, group: Sequence[PiPoint], span: Span, limit: int) -> bytes:
        try:
            return self.calls.recorded([each.web_id for each in group], span, limit)
        except BadRequestError as error:
            allowed = allowed_by(error)
            if allowed is None or allowed >= limit:
                raise
            self.page.lower(allowed)
        return self._recorded(group, span, self.page.values)

    def _divided(self, point: PiPoint, part: TimeRange, span: Span, values: Recorded) -> list[TimeRange]:
        """Return the parts in which a range is asked for whose response is as full as its limit.

        Raises:
            IncompleteReadError: it is a single tick.
        """
        if span.first_ns == span.last_ns:
            raise IncompleteReadError(
                f"{point.series_id}: {self.page.values:,} values or more stand at {format_time(span.first_ns)}, and the server "
                f"returns no more than {self.page.values:,} at once: what stands there cannot be read whole. Raise the server's "
                "MaxReturnedItemsPerCall (or source.page_limit where that is lower), or leave this time out",
                received=len(values),
            )
        first, last = int(values.times.min()), int(values.times.max())
        cuts: list[int] = []
        if first == last:  # values at one time fill the response: they are asked for by themselves
            cuts = [first, first + TICK_NS]
        else:
            middle = part.start_ns + part.duration_ns // 2
            middle -= middle % TICK_NS
            # A response begins at the start: where it ends before the middle, the first half would be as full again.
            cuts = [min(middle, last)]
        found = part.split_at([each for each in cuts if part.start_ns < each < part.end_ns])
        return found if len(found) > 1 else part.split_at([span.first_ns + TICK_NS])

    def _shares(self, query: TimeRange, part: TimeRange) -> int:
        """Return into how many parts a query is divided that holds too much by the time that `part` has been read."""
        read = max(1, part.end_ns - query.start_ns)
        return int(min(64, max(2, -(-query.duration_ns // read))))


def _groups(points: Sequence[PiPoint]) -> list[list[PiPoint]]:
    """Return groups whose WebIds fit a request."""
    groups: list[list[PiPoint]] = []
    room = 0
    for point in points:
        size = len(point.web_id) + len("&webId=")
        if size > room:
            groups.append([])
            room = MAX_URL_BYTES
        groups[-1].append(point)
        room -= size
    return groups


def _misplaced(values: Recorded, span: Span) -> str | None:
    """Return what is wrong with the times of a response; None where nothing is."""
    times = values.times
    if not len(times):
        return None
    if (times[1:] < times[:-1]).any():
        return "the values are not in the order of time"
    if times[0] < span.first_ns - _GRID_NS or times[-1] > span.last_ns + _GRID_NS:
        at = int(times[0] if times[0] < span.first_ns else times[-1])
        return f"a value at {format_time(at)} was not asked for"
    return None


def _cut(values: Recorded, part: TimeRange) -> Recorded:
    """Return the values of a half-open range, of which the service returns both ends."""
    start, stop = np.searchsorted(values.times, [part.start_ns, part.end_ns]).tolist()
    return values if (start, stop) == (0, len(values)) else values.take(slice(start, stop))
