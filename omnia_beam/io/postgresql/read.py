"""The reading of a table on a pipeline: WindowShard to Chunk, the next windows fetched while one is processed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import Metrics

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import IncompleteReadError, TransientServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.window import Window
from omnia_beam.io.base import ReadResult
from omnia_beam.io.postgresql.reader import TableRead, WindowReader
from omnia_beam.plan.plan import WindowShard

_FAILURES: Final = "failures"
_CONNECTIONS: Final = 2
"""Windows that a worker reads at a time: two sessions are faster than one COPY, and each has one more chunk in memory."""

_MOST_FAILURES: Final = 10
"""Windows in a row that a database which does not respond fails, after which the run ends."""

coders.register_coders()


@dataclass(frozen=True)
class ReadRows:
    """The reading of a table for the engine: WindowShard to `ReadResult`.

    Args:
        task: what is read.
        endless: whether a database that is down fails its windows only, however many.
    """

    task: TableRead
    endless: bool = False

    def __call__(self, shards: Any) -> ReadResult:
        read = beam.ParDo(_ReadRows(self, board_of(shards))).with_output_types(Chunk, **{_FAILURES: WindowFailure})
        found = shards | "Read" >> read.with_outputs(_FAILURES, main="chunks")
        return ReadResult(found.chunks, found[_FAILURES])


class _ReadRows(beam.DoFn):
    def __init__(self, reading: ReadRows, board: RunBoard) -> None:
        self._board = board
        self._reading = reading
        self._points = Metrics.counter("omnia_beam", "points_read")
        self._repeats = Metrics.counter("omnia_beam", "points_repeated")
        self._windows_read = Metrics.counter("omnia_beam", "windows_read")
        self._windows_failed = Metrics.counter("omnia_beam", "windows_failed")

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="omnia-rows")
        self._noted: list[tuple[str, str, int]] = []
        note, stopped = lambda *found: self._noted.append(found), self._board.stop.is_set
        self._readers = [WindowReader(self._reading.task, note, stopped) for _ in range(_CONNECTIONS)]
        self._failed = 0

    def teardown(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for each in self._readers:
            each.close()

    def process(self, shard: WindowShard) -> Iterator[Any]:
        """Yield the chunks of a shard in order; while one is processed the next one of each connection is fetched."""
        windows = iter(shard.windows)
        idle = self._connected(len(shard.windows))
        under_way: deque[_UnderWay] = deque()
        try:
            with self._board.noting_fatal():
                while True:
                    while idle and not self._board.stop.is_set() and (window := next(windows, None)) is not None:
                        under_way.append(_UnderWay(idle.pop(), window, self._pool))
                    if not under_way:
                        return
                    yield from self._chunks(under_way[0])
                    idle.append(under_way.popleft().reader)
        finally:
            for each in under_way:  # of a bundle that failed: the next one uses the same connections
                each.abandon()

    def _connected(self, windows: int) -> list[WindowReader]:
        """Return the readers for so many windows: the first, and of the others those that get a session at once.

        An account may be allowed no more than one.
        """
        first, *others = self._readers[: max(1, windows)]
        with self._board.noting_fatal():
            return [first, *others] if first.connects() and all(each.connects() for each in others) else [first]

    def _chunks(self, reading: _UnderWay) -> Iterator[Any]:
        try:
            while (chunk := reading.taken()) is not None:
                self._count_noted()
                self._points.inc(chunk.num_points)
                yield chunk
        except (IncompleteReadError, TransientServiceError) as error:
            yield self._failure(WindowFailure.of(reading.window.key, error), error)
            return
        self._count_noted()
        self._failed = 0
        self._windows_read.inc()
        self._board.add(windows_read=1)

    def _failure(self, failure: WindowFailure, error: Exception) -> Any:
        self._failed += isinstance(error, TransientServiceError)
        if self._failed >= _MOST_FAILURES and not self._reading.endless:
            raise error
        self._windows_failed.inc()
        self._board.add(windows_failed=1)
        return beam.pvalue.TaggedOutput(_FAILURES, failure)

    def _count_noted(self) -> None:
        noted = list(self._noted)
        del self._noted[: len(noted)]
        for finding, series_id, points in noted:
            self._board.note_found(finding, series_id, points)
            if finding == "duplicates":
                self._repeats.inc(points)


class _UnderWay:
    """A window that is read: its next chunk is fetched by a thread as soon as the one before is taken."""

    def __init__(self, reader: WindowReader, window: Window, pool: ThreadPoolExecutor) -> None:
        self.reader = reader
        self.window = window
        self._pool = pool
        self._chunks = reader.read(window.key)
        self._next: Future[Chunk | None] = pool.submit(next, self._chunks, None)

    def taken(self) -> Chunk | None:
        """Return the next chunk; None at the end of the window."""
        chunk = self._next.result()
        if chunk is not None:
            self._next = self._pool.submit(next, self._chunks, None)
        return chunk

    def abandon(self) -> None:
        """Wait until no thread uses the reader any more."""
        if not self._next.cancel():
            wait([self._next])
        self._chunks.close()
