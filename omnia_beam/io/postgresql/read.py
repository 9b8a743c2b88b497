"""The reading of a table on a pipeline: WindowShard to Chunk, the next window fetched while one is processed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import Metrics

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import IncompleteReadError, TransientServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.io.base import ReadResult
from omnia_beam.io.postgresql.reader import TableRead, WindowReader
from omnia_beam.plan.plan import WindowShard

_FAILURES: Final = "failures"
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
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="omnia-rows")
        self._noted: list[tuple[str, str, int]] = []
        self._reader = WindowReader(
            self._reading.task, lambda *found: self._noted.append(found), self._board.stop.is_set
        )
        self._failed = 0

    def teardown(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    def process(self, shard: WindowShard) -> Iterator[Any]:
        """Yield the chunks of a shard; one query is under way while the chunk before is processed."""
        with self._board.noting_fatal():
            windows = iter(shard.windows)
            chunks: Iterator[Chunk] = iter(())
            window = None
            ahead = None
            while True:
                if ahead is None:
                    window = None if self._board.stop.is_set() else next(windows, None)
                    if window is None:
                        return
                    chunks = self._reader.read(window.key)
                    ahead = self._pool.submit(next, chunks, None)
                assert window is not None  # a window is under way
                try:
                    chunk = ahead.result()
                except (IncompleteReadError, TransientServiceError) as error:
                    yield self._failure(WindowFailure.of(window.key, error), error)
                    ahead = None
                    continue
                self._count_noted()
                if chunk is None:
                    self._failed, ahead = 0, None
                    self._windows_read.inc()
                    self._board.add(windows_read=1)
                    continue
                ahead = self._pool.submit(next, chunks, None)
                self._points.inc(chunk.num_points)
                yield chunk

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
