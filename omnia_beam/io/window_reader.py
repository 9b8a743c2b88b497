"""Read windows ahead of the one who consumes them, whole and in order.

Each window is cut into queries of about a page. Queries run on a pool of threads, a bounded number ahead; their answers are
taken in order on the caller's thread, where a window is claimed before anything of it is handed out. A window that turns
out too large is cut further before its pages are fetched, so that memory stays bounded; it then gives several raw
chunks, each complete for its own part of the range.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from omnia_beam.core.chunk import RawChunk, RawPage
from omnia_beam.core.errors import CredentialError, OmniaBeamError, TransientServiceError, UnauthorizedError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat, ChunkKey, Window
from omnia_beam.io.query_reader import QueryAnswer, QueryReader, TooLarge

_OUTAGE_WINDOWS = 10
"""Windows in a row that the service failed (not refused): then it is down, and going on would take hours to say so."""


@dataclass(slots=True)
class _Slot:
    """A query on its way: `index` is its window's place in the plan."""

    index: int
    window: Window
    query: TimeRange
    last: bool
    answer: Future[QueryAnswer | TooLarge]


@dataclass(slots=True)
class _Part:
    """What has been gathered of the current window and not handed out."""

    pages: list[RawPage] = field(default_factory=list)
    points: int = 0
    start_ns: int = 0
    end_ns: int = 0


class WindowReader:
    """Reads windows with prefetching; one for a bundle, not thread-safe.

    Args:
        reader: reads one query whole, on any thread.
        pool: where queries run.
        ahead: queries that may be under way or waiting to be taken.
        max_chunk_points: the most points of a raw chunk, as far as the service tells the number beforehand.
        format: what the bodies are.
        patience_s: how long to wait for one query; past that something is wrong with the pool itself.
    """

    def __init__(
        self,
        reader: QueryReader,
        pool: Executor,
        *,
        ahead: int,
        max_chunk_points: int,
        format: BodyFormat,
        patience_s: float,
    ) -> None:
        self._reader = reader
        self._pool = pool
        self._ahead = ahead
        self._max_chunk_points = max_chunk_points
        self._format = format
        self._patience_s = patience_s
        self._failures_in_a_row = 0

    def read(
        self, windows: Iterable[tuple[int, Window]], claim: Callable[[int], bool]
    ) -> Iterator[RawChunk | WindowFailure]:
        """Read windows in order.

        Args:
            windows: (index, window) pairs.
            claim: asked once for each index, in order, before anything of the window is yielded; False ends the reading.

        Yields:
            The raw chunks of each window, in the order of time, or one failure for a window that cannot be read.

        Raises:
            CredentialError, UnauthorizedError: nothing can be read at all.
            TransientServiceError: so many windows in a row failed that the service must be down.
        """
        slots: deque[_Slot] = deque()
        todo = self._queries(windows)
        part = _Part()
        claimed = failed = -1
        try:
            while self._fill(slots, todo):
                slot = slots.popleft()
                if slot.index == failed:
                    slot.answer.cancel()
                    continue
                if slot.index != claimed:
                    if not claim(slot.index):
                        return
                    claimed, part = slot.index, _Part(start_ns=slot.query.start_ns)
                try:
                    answer = slot.answer.result(self._patience_s)
                except OmniaBeamError as error:
                    failed = slot.index
                    yield self._failure(slot.window, error)
                    continue
                self._failures_in_a_row = 0
                if isinstance(answer, TooLarge):
                    slots.extendleft(reversed(self._cut(slot, answer)))
                    continue
                if part.pages and part.points + answer.points > self._max_chunk_points:
                    yield self._chunk(slot.window, part)
                    part = _Part(start_ns=part.end_ns)
                part.pages.extend(answer.pages)
                part.points += answer.points
                part.end_ns = slot.query.end_ns
                if slot.last:
                    yield self._chunk(slot.window, part)
        finally:
            for slot in slots:
                slot.answer.cancel()

    def _queries(self, windows: Iterable[tuple[int, Window]]) -> Iterator[_Slot]:
        for index, window in windows:
            queries = window.key.range.split(max(1, window.requests))
            for query in queries:
                yield self._submit(index, window, query, last=query is queries[-1])

    def _submit(self, index: int, window: Window, query: TimeRange, *, last: bool) -> _Slot:
        answer = self._pool.submit(self._reader.read, window.key.series_ids, query)
        return _Slot(index, window, query, last, answer)

    def _fill(self, slots: deque[_Slot], todo: Iterator[_Slot]) -> bool:
        while len(slots) < self._ahead:
            slot = next(todo, None)
            if slot is None:
                break
            slots.append(slot)
        return bool(slots)

    def _cut(self, slot: _Slot, answer: TooLarge) -> list[_Slot]:
        parts = slot.query.split(answer.parts)
        return [self._submit(slot.index, slot.window, part, last=slot.last and part is parts[-1]) for part in parts]

    def _chunk(self, window: Window, part: _Part) -> RawChunk:
        key = ChunkKey(window.key.series_ids, TimeRange(part.start_ns, part.end_ns))
        return RawChunk(key, tuple(part.pages), self._format)

    def _failure(self, window: Window, error: OmniaBeamError) -> WindowFailure:
        if isinstance(error, CredentialError | UnauthorizedError):
            raise error
        if isinstance(error, TransientServiceError):
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= _OUTAGE_WINDOWS:
                raise error
        return WindowFailure.of(window.key, error)
