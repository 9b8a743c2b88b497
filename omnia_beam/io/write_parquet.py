"""The Parquet sink: chunks in, receipts out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.receipt import Receipt
from omnia_beam.io import coders
from omnia_beam.io.durable_file import write_durably
from omnia_beam.io.parquet_file import ParquetOptions, chunk_files
from omnia_beam.io.progress import BOARD

coders.register_coders()

_WAITING = 2
"""Chunks that wait for the writing thread: it works while the next are fetched and decoded, and memory stays bounded."""


class WriteToParquet(beam.PTransform):
    """Store chunks as Parquet, Hive-partitioned by year and month.

    Input: Chunk. Output: a tuple with the outputs `receipts` (Receipt, one for each chunk, given only when its files are
    whole and on stable storage) and `dead_letters`, which stays empty: a file either takes all points or none.

    Args:
        path: where to write; local, or of any Beam filesystem.
        prefix: the first part of every file's name.
        options: see ParquetOptions.
        sink: how receipts name this sink; None for `parquet:` and the path.

    Raises (on the worker):
        DestinationError: the path cannot be written.

    Example:
        `receipts = (p | ReadFromOmnia(...) | DecodeChunks() | WriteToParquet("out/")).receipts`
    """

    RECEIPTS = "receipts"
    DEAD_LETTERS = "dead_letters"

    def __init__(
        self,
        path: str,
        *,
        prefix: str = "points",
        options: ParquetOptions = ParquetOptions(),
        sink: str | None = None,
    ) -> None:
        super().__init__()
        self._write = _WriteParquet(path, prefix, options, sink or f"parquet:{path.rstrip('/')}/")

    def expand(self, chunks: Any) -> Any:
        # The type belongs to the ParDo: on what with_outputs returns it would be lost, and pickle would be the coder.
        write = beam.ParDo(self._write).with_output_types(Receipt)
        return chunks | write.with_outputs(self.DEAD_LETTERS, main=self.RECEIPTS)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A chunk on its way to disk, with what Beam needs to emit its receipt later."""

    receipt: Future[Receipt]
    timestamp: Any
    windows: tuple[Any, ...]


class _WriteParquet(beam.DoFn):
    def __init__(self, path: str, prefix: str, options: ParquetOptions, sink: str) -> None:
        self._path = path.rstrip("/")
        self._sink = sink
        self._prefix = prefix
        self._options = options
        self._points = Metrics.counter("omnia_beam", "points_written")

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="omnia-parquet")
        self._waiting: deque[_Waiting] = deque()
        self._known_dirs: set[str] = set()

    def start_bundle(self) -> None:
        self._waiting.clear()

    def process(
        self, chunk: Chunk, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue]:
        self._waiting.append(_Waiting(self._pool.submit(self._store, chunk), timestamp, (window,)))
        while len(self._waiting) > _WAITING:
            yield self._taken()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._waiting:
            yield self._taken()

    def teardown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _taken(self) -> WindowedValue:
        done = self._waiting.popleft()
        with BOARD.noting_fatal():
            receipt = done.receipt.result()
        self._points.inc(receipt.count)
        BOARD.add(points_written=receipt.count)
        return WindowedValue(receipt, done.timestamp, done.windows)

    def _store(self, chunk: Chunk) -> Receipt:
        files = []
        for file in chunk_files(chunk, self._prefix, self._options):
            write_durably(f"{self._path}/{file.path}", file.content, known_dirs=self._known_dirs)
            files.append(file.path)
        return Receipt.of(chunk, self._sink, tuple(files))
