"""Read windows ahead of the one who consumes them, whole and in order.

Each window is cut into queries of about a page. Queries run on a pool of threads, a bounded number ahead; their answers are
taken in order on the caller's thread, where a window is claimed before anything of it is handed out. A window that turns
out too large is cut further before its pages are fetched, so that memory stays bounded; it then gives several raw
chunks, each complete for its own part of the range.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeVar

from omnia_beam.core.errors import (
    CredentialError,
    IncompleteReadError,
    NotTheServiceError,
    OmniaBeamError,
    ServiceError,
    TransientServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window

_OUTAGE_WINDOWS = 10
"""Windows in a row that the service failed (not refused): then it is down, and going on would take hours to say so."""

_LOOK_S = 0.2
"""How often to look whether the reading is to stop, while an answer is waited for."""


@dataclass(frozen=True, slots=True)
class Divide:
    """Returned where the query is to be read as `parts` shorter ones: it holds more than a chunk may, or its tokens do not work."""

    parts: int


class WholeQuery(Protocol):
    """What a query brought, complete for its series and range."""

    @property
    def points(self) -> int:
        """Number of points."""

    @property
    def named(self) -> frozenset[str]:
        """The series of which the service said something, were it that they have no points."""

    @property
    def has_totals(self) -> bool:
        """Whether the service's own count stands behind the number of points."""


Q = TypeVar("Q", bound=WholeQuery)
Q_co = TypeVar("Q_co", bound=WholeQuery, covariant=True)
C = TypeVar("C")


class Queries(Protocol[Q_co]):
    """Reads one query whole, on any thread."""

    def read(
        self,
        series_ids: tuple[str, ...],
        query: TimeRange,
        *,
        points_expected: bool = True,
        recorded: frozenset[str] = frozenset(),
    ) -> Q_co | Divide:
        """Return what the query brought, or how to divide it."""

    def check_whole(self, series_ids: tuple[str, ...], requested: TimeRange, points: int) -> None:
        """Compare a number of points with the service's count; raises IncompleteReadError where that is larger."""


@dataclass(frozen=True, slots=True)
class MoreAhead:
    """Further queries, or batches, while requests wait because of the service, for others need not wait with them.

    `most` are under way or waiting to be taken while `is_wanted` says so, as long as they hold no more than `points` in all:
    those that they have brought or carry, or are expected to bring.
    """

    most: int
    points: int
    is_wanted: Callable[[], bool]


@dataclass(slots=True)
class _Query(Generic[Q]):
    """A part of a window: `index` is the window's place in the plan; `response` is None until it is on its way."""

    index: int
    window: Window
    range: TimeRange
    last: bool
    response: Future[Q | Divide] | None = None
    held: int | None = None

    @property
    def points(self) -> int:
        """Points that it holds, or is expected to."""
        if self.held is None:
            response = self.response
            if response is None or not response.done() or response.cancelled() or response.exception() is not None:
                return -(-self.window.expected_points // max(1, self.window.requests))
            found = response.result()
            self.held = 0 if isinstance(found, Divide) else found.points
        return self.held

    def divided(self, parts: int) -> list[_Query[Q]]:
        ranges = self.range.split(parts)
        return [_Query(self.index, self.window, each, self.last and each is ranges[-1]) for each in ranges]


class _Ahead(Generic[Q]):
    """Queries in order, the next few of them on their way: `ahead`, and at most twice that while one is divided.

    What was on its way when its predecessor was divided stays so: the parts go in front of it.
    """

    def __init__(
        self, todo: Iterator[_Query[Q]], reader: Queries[Q], pool: Executor, ahead: int, more: MoreAhead | None
    ) -> None:
        self._todo = todo
        self._reader = reader
        self._pool = pool
        self._ahead = ahead
        self._more = more
        self._queue: deque[_Query[Q]] = deque()
        self._on_their_way = 0
        self._dropped = -1

    def head(self) -> _Query[Q] | None:
        """The next query, on its way, with others behind it; None at the end."""
        while len(self._queue) < self._limit() and (query := next(self._todo, None)) is not None:
            if query.index != self._dropped:
                self._queue.append(query)
        ahead = self._limit()
        for place, query in enumerate(islice(self._queue, ahead)):
            if query.response is None and (place == 0 or self._on_their_way < 2 * ahead):
                query.response = self._pool.submit(
                    self._reader.read,
                    query.window.key.series_ids,
                    query.range,
                    points_expected=query.window.expected_points > 0,
                    recorded=query.window.held,
                )
                self._on_their_way += 1
        return self._queue[0] if self._queue else None

    def _limit(self) -> int:
        if self._more is None or not self._more.is_wanted():
            return self._ahead
        points, fitting = 0, 0
        for query in self._queue:
            points += query.points
            fitting += points <= self._more.points
        # One more than is queued, as long as all of it fits.
        return max(self._ahead, min(self._more.most, fitting + (fitting == len(self._queue))))

    def take(self) -> None:
        """Remove the head."""
        self._on_their_way -= self._queue.popleft().response is not None

    def divide(self, parts: int) -> None:
        """Put the parts of the head in its place."""
        head = self._queue[0]
        self.take()
        self._queue.extendleft(reversed(head.divided(parts)))

    def drop(self, index: int) -> None:
        """Remove what is left of a window."""
        self._dropped = index
        while self._queue and self._queue[0].index == index:
            if (response := self._queue[0].response) is not None:
                response.cancel()
            self.take()

    def cancel(self) -> None:
        """Give up all of it. A thread finishes what it has begun, and the result is dropped."""
        for query in self._queue:
            if query.response is not None:
                query.response.cancel()


@dataclass(slots=True)
class _Part(Generic[Q]):
    """What has been gathered of the current window and not handed out."""

    answers: list[Q] = field(default_factory=list)
    points: int = 0
    start_ns: int = 0
    end_ns: int = 0


@dataclass(slots=True)
class _Evidence:
    """What responses show about a window that is read again.

    Args:
        silent: series that held points, and of which no answer spoke.
        points: that came.
        has_totals: whether the service counted all of them.
    """

    silent: frozenset[str] = frozenset()
    points: int = 0
    has_totals: bool = True

    def add(self, response: WholeQuery) -> None:
        self.silent -= response.named
        self.points += response.points
        self.has_totals = self.has_totals and response.has_totals

    def check(self, window: Window, reader: Queries[WholeQuery]) -> None:
        """After the window's last answer: whether good points may be replaced by what came.

        Raises:
            IncompleteReadError: the responses do not prove that points were removed.
        """
        ids = window.key.series_ids
        if self.silent:
            series_id = min(self.silent)
            recorded = window.recorded[ids.index(series_id)]
            raise IncompleteReadError(
                f"{window.key}: the ledger has recorded {recorded} points of {series_id}, and the service now names neither "
                "the series nor a count of its points: this does not confirm that they were removed. What was copied stays",
                expected=recorded,
                received=0,
            )
        if not self.has_totals and self.points < sum(window.recorded):
            reader.check_whole(ids, window.key.range, self.points)


class _StoppedError(Exception):
    """The response is not needed any more."""


class WindowReader(Generic[Q, C]):
    """Reads windows with prefetching; one for a bundle, not thread-safe.

    Args:
        reader: reads one query whole, on any thread.
        pool: where queries run.
        ahead: queries that may be on their way or waiting to be taken; twice as many while a window is divided.
        more_ahead: when there may be more.
        max_chunk_points: the most points of a chunk, as far as the service tells the number beforehand.
        assemble: makes the chunk of a key from what its queries brought, in the order of time; or, where some series of it
            failed by themselves, a chunk of the others and a failure of those.
        patience_s: how long to wait for one query; past that something is wrong with the pool itself.
        stopped: called while waiting; once it is true, the window under way is abandoned and the reading ends.
        keep_trying: every window that cannot be read is a failure, also where the service is down or refuses the credential:
            for jobs without an end, whose next cycle tries again.
    """

    def __init__(
        self,
        reader: Queries[Q],
        pool: Executor,
        *,
        ahead: int,
        max_chunk_points: int,
        assemble: Callable[[ChunkKey, Sequence[Q]], Iterable[C | WindowFailure]],
        retry_for_s: float,
        stopped: Callable[[], bool] = lambda: False,
        keep_trying: bool = False,
        more_ahead: MoreAhead | None = None,
    ) -> None:
        self._more_ahead = more_ahead
        self._reader = reader
        self._pool = pool
        self._ahead = ahead
        self._max_chunk_points = max_chunk_points
        self._assemble = assemble
        self._retry_for_s = retry_for_s
        self._stopped = stopped
        self._keep_trying = keep_trying
        self._failures_in_a_row = 0

    def read(self, windows: Iterable[tuple[int, Window]], claim: Callable[[int], bool]) -> Iterator[C | WindowFailure]:
        """Read windows in order.

        Args:
            windows: (index, window) pairs; the indices ascend from 0 or more.
            claim: asked once for each index, in order, before anything of the window is yielded; False ends the reading.

        Yields:
            The chunks of each window, in the order of time, or one failure for a window that cannot be read. The
            chunks that came before a failure of their window are whole for their own ranges.

        Raises:
            CredentialError, UnauthorizedError: nothing can be read at all; not where it is patient.
            TransientServiceError, NotTheServiceError: so many windows in a row failed that the service must be down; likewise.
            TimeoutError: `retry_for_s` has passed.
        """
        todo: Iterator[_Query[Q]] = _queries(windows)
        ahead = _Ahead(todo, self._reader, self._pool, self._ahead, self._more_ahead)
        part: _Part[Q] = _Part()
        claimed = -1
        evidence = _Evidence()
        try:
            while (query := ahead.head()) is not None:
                if query.index != claimed:
                    if not claim(query.index):
                        return
                    claimed, part = query.index, _Part(start_ns=query.range.start_ns)
                    evidence = _Evidence(query.window.held)
                try:
                    response = self._result(query, ahead)
                    if not isinstance(response, Divide):
                        evidence.add(response)
                        if query.last:
                            evidence.check(query.window, self._reader)
                except _StoppedError:
                    return
                except OmniaBeamError as error:
                    ahead.drop(query.index)
                    yield self._failure(query.window, error)
                    continue
                self._failures_in_a_row = 0
                if isinstance(response, Divide):
                    ahead.divide(response.parts)
                    continue
                ahead.take()
                if part.answers and part.points + response.points > self._max_chunk_points:
                    yield from self._chunks(query.window, part)
                    part = _Part(start_ns=part.end_ns)
                part.answers.append(response)
                part.points += response.points
                part.end_ns = query.range.end_ns
                if query.last:
                    yield from self._chunks(query.window, part)
                    part = _Part()
        finally:
            ahead.cancel()

    def _result(self, query: _Query[Q], ahead: _Ahead[Q]) -> Q | Divide:
        if query.response is None:
            raise AssertionError("unreachable: the head is on its way")
        if self._stopped():  # also where answers come quickly: a divided window may have a thousand parts to go
            raise _StoppedError
        for _ in range(math.ceil(self._retry_for_s / _LOOK_S)):
            if wait([query.response], min(_LOOK_S, self._retry_for_s)).done:
                return query.response.result()
            if self._stopped():
                raise _StoppedError
            ahead.head()  # what lies behind need not wait with this one
        raise TimeoutError(
            f"{query.window.key}: no response within {self._retry_for_s:g} s, although each of its requests has time-outs: "
            "the threads that read have ended; start the job again"
        )

    def _chunks(self, window: Window, part: _Part[Q]) -> Iterator[C | WindowFailure]:
        key = ChunkKey(window.key.series_ids, TimeRange(part.start_ns, part.end_ns))
        try:
            yield from self._assemble(key, part.answers)
        except (ServiceError, CredentialError, IncompleteReadError, WireFormatError) as error:
            yield self._failure(window, error)

    def _failure(self, window: Window, error: OmniaBeamError) -> WindowFailure:
        if self._keep_trying:
            return WindowFailure.of(window.key, error)
        if isinstance(error, CredentialError | UnauthorizedError):
            raise error
        if isinstance(error, TransientServiceError | NotTheServiceError):
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= _OUTAGE_WINDOWS:
                raise error
        else:
            self._failures_in_a_row = 0  # a refusal is an answer: the service is up
        return WindowFailure.of(window.key, error)


def _queries(windows: Iterable[tuple[int, Window]]) -> Iterator[_Query[Q]]:
    for index, window in windows:
        yield from _Query[Q](index, window, window.key.range, last=True).divided(max(1, window.requests))
