"""Write chunks to a sink of files, Parquet or CSV: encode a chunk, put its files in place, return its receipt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import UsageError
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.base import WriteResult
from omnia_beam.io.files.csv.write import CsvOptions, csv_files, with_plain_nans
from omnia_beam.io.files.parquet.write import ParquetOptions, chunk_files
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.store import within, write_durably

MOST_WAITING = 1
"""Most chunks that wait for the writing thread, which works while the next are fetched and decoded; this bounds memory."""


class EncodedFile(Protocol):
    """One file of a chunk: its path relative to the sink's, and its content, bytes or a buffer of them."""

    @property
    def path(self) -> str: ...

    @property
    def content(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A chunk that is being written, with what Beam needs to emit its receipt later."""

    receipt: Future[Receipt]
    timestamp: Any
    windows: tuple[Any, ...]


class WriteFiles(beam.DoFn):
    """DoFn that turns chunks into whole, durable files and then into receipts, on a thread beside the bundle's.

    Args:
        path: where to write: a disk or an object store.
        sink: name of this sink in receipts.
        files_of: encodes a chunk; it is pickled to the workers.
        as_held: returns what files of this kind can hold of a chunk, which its receipt describes; None for all of it.
        takes_unclaimed: whether `files_of` gives the points of event messages names of their own, so that they are accepted.
        fence: of the run's lease, checked before each file appears; None where no lease is held.
        board: of the run.
        text: whether files have a column of texts; otherwise texts are left out and reported.
    """

    def __init__(
        self,
        path: str,
        sink: str,
        files_of: Callable[[Chunk], Iterable[EncodedFile]],
        *,
        as_held: Callable[[Chunk], Chunk] | None = None,
        takes_unclaimed: bool = False,
        fence: LeaseFence | None = None,
        board: RunBoard,
        text: bool = False,
    ) -> None:
        self._board = board
        self._text = text
        self._as_held = as_held
        self._fence = fence
        self._takes_unclaimed = takes_unclaimed
        self._path = path
        self._sink = sink
        self._files_of = files_of
        self._points = Metrics.counter("omnia_beam", "points_written")
        self._known_dirs: set[str] = set()

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="omnia-files")
        self._waiting: deque[_Waiting] = deque()

    def start_bundle(self) -> None:
        self._waiting.clear()

    def process(
        self, chunk: Chunk, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue]:
        if not self._takes_unclaimed:
            with self._board.noting_fatal():
                _check_claim(chunk)
        self._waiting.append(_Waiting(self._pool.submit(self.store, chunk), timestamp, (window,)))
        while len(self._waiting) > MOST_WAITING:
            yield self._taken()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._waiting:
            yield self._taken()

    def teardown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _taken(self) -> WindowedValue:
        done = self._waiting.popleft()
        with self._board.noting_fatal():
            receipt = done.receipt.result()
        self._points.inc(receipt.count)
        self._board.add(points_written=receipt.count)
        return WindowedValue(receipt, done.timestamp, done.windows)

    def store(self, chunk: Chunk) -> Receipt:
        """Write the files of one chunk, on this thread, and return its receipt once they are durable."""
        files, stamps = [], []
        if chunk.has_texts and not self._text:
            chunk = _left_out(chunk, self._board)
        chunk = chunk if self._as_held is None else self._as_held(chunk)
        placing = nullcontext if self._fence is None else self._fence.placing
        for file in self._files_of(chunk):
            path = within(self._path, file.path)
            stamps.append(write_durably(path, file.content, known_dirs=self._known_dirs, placing=placing))
            files.append(file.path)
        return Receipt.of(chunk, self._sink, tuple(files), stamps=tuple(stamps))


def _left_out(chunk: Chunk, board: RunBoard) -> Chunk:
    """Return a chunk without its texts, and report them as the finding `text_values`."""
    for source_id, _, points in chunk.by_series():
        texts = [] if points.texts is None else [each for each in points.texts if each is not None]
        if texts:
            board.note_found("text_values", source_id, len(texts))
    return chunk.without_texts()


def _check_claim(chunk: Chunk) -> None:
    if chunk.num_points and not chunk.key.range:
        raise UsageError(
            f"{chunk.key}: points of event messages cannot go into files: a file is named by the range whose points it "
            "holds, which a message does not give, and messages would overwrite each other. Write them to an Omnia service, "
            'let `omnia-beam tail` keep the files fresh, or write one file per message: WriteToParquet(..., unclaimed="by_content")'
        )


coders.register_coders()


class _WriteToFiles(beam.PTransform):
    """The outputs of both transforms below.

    Args:
        write: makes the DoFn, given the board of the run.
    """

    RECEIPTS = "receipts"
    DEAD_LETTERS = "dead_letters"

    def __init__(self, write: Callable[..., WriteFiles]) -> None:
        super().__init__()
        self._write = write

    def do_fn(self, board: RunBoard) -> WriteFiles:
        """Return the DoFn of this transform, which counts on `board`."""
        return self._write(board=board)

    def expand(self, chunks: Any) -> Any:
        # The type is set on the ParDo: on the result of with_outputs it would be lost, and pickle would be the coder.
        write = beam.ParDo(self.do_fn(board_of(chunks))).with_output_types(Receipt)
        return chunks | write.with_outputs(self.DEAD_LETTERS, main=self.RECEIPTS)


class WriteToCsv(_WriteToFiles):
    """Store chunks as CSV files, in folders `year=/month=`.

    Input: Chunk. Output: a tuple with the outputs `receipts` (Receipt, one for each chunk, emitted only when its files are
    whole and on stable storage) and `dead_letters`, which stays empty.

    Args:
        path: where to write: a disk or an object store.
        prefix: the first part of every file's name.
        options: layout, delimiter and compression.
        sink: name of this sink in receipts; None for `csv:` and the path.
        fence: of the run's lease, so that a run that has lost it puts no file in place; None where no lease is held.

    Raises (on the worker):
        DestinationError: the path cannot be written.
        StateError: the lease was lost.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam.core.chunk import Points
        >>> from omnia_beam.core.time_range import TimeRange
        >>> from omnia_beam.core.window import ChunkKey
        >>> points = Points(np.array([10, 20]), np.array([1.5, 2.5]), np.array([192, 192], np.uint32))
        >>> chunk = Chunk.from_points(ChunkKey(("a",), TimeRange(0, 100)), {"a": points})
        >>> with tempfile.TemporaryDirectory() as folder, beam.Pipeline(runner=FnApiRunner()) as p:
        ...     written = p | beam.Create([chunk]) | WriteToCsv(folder)
        ...     _ = written.receipts | beam.Map(lambda receipt: print(receipt.count, receipt.files[0]))
        2 year=1970/month=01/points-19700101T000000Z-19700101T000000Z-ce2e2d3fd22b02da.csv
    """

    def __init__(
        self,
        path: str,
        *,
        prefix: str = "points",
        options: CsvOptions = CsvOptions(),
        sink: str | None = None,
        fence: LeaseFence | None = None,
    ) -> None:
        files_of = partial(csv_files, prefix=prefix, options=options)
        name = sink or f"csv:{path.rstrip('/')}/"
        super().__init__(
            partial(WriteFiles, path, name, files_of, as_held=with_plain_nans, fence=fence, text=options.text)
        )


class WriteToParquet(_WriteToFiles):
    """Store chunks as Parquet, Hive-partitioned by year and month.

    Input: Chunk. Output: a tuple with the outputs `receipts` (Receipt, one for each chunk, emitted only when its files are
    whole and on stable storage) and `dead_letters`, which stays empty: a file holds either all points or none.

    Args:
        path: where to write: a disk or an object store.
        prefix: the first part of every file's name.
        options: the compression.
        sink: name of this sink in receipts; None for `parquet:` and the path.
        unclaimed: what to do with points of event messages (see `DecodeEvents`), for which no range is complete. `refuse`
            (the default) fails the bundle. `by_content` gives each message a file of its own, named by its points: one
            that is delivered twice overwrites its own file; a point that two different messages hold is in both files.
        fence: of the run's lease, so that a run that has lost it puts no file in place; None where no lease is held.

    Raises (on the worker):
        DestinationError: the path cannot be written.
        StateError: the lease was lost.
        UsageError: there are points of event messages, with `unclaimed="refuse"`.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam.core.chunk import Points
        >>> from omnia_beam.core.time_range import TimeRange
        >>> from omnia_beam.core.window import ChunkKey
        >>> points = Points(np.array([10, 20]), np.array([1.5, 2.5]), np.array([192, 192], np.uint32))
        >>> chunk = Chunk.from_points(ChunkKey(("a",), TimeRange(0, 100)), {"a": points})
        >>> with tempfile.TemporaryDirectory() as folder, beam.Pipeline(runner=FnApiRunner()) as p:
        ...     written = p | beam.Create([chunk]) | WriteToParquet(folder)
        ...     _ = written.receipts | beam.Map(lambda receipt: print(receipt.count, receipt.files[0]))
        2 year=1970/month=01/points-19700101T000000Z-19700101T000000Z-ce2e2d3fd22b02da.parquet
    """

    def __init__(
        self,
        path: str,
        *,
        prefix: str = "points",
        options: ParquetOptions = ParquetOptions(),
        sink: str | None = None,
        unclaimed: str = "refuse",
        fence: LeaseFence | None = None,
    ) -> None:
        if unclaimed not in ("refuse", "by_content"):
            raise ValueError(f"unclaimed is refuse or by_content, not {unclaimed!r}")
        files_of = partial(chunk_files, prefix=prefix, options=options)
        takes_any = unclaimed == "by_content"
        if not isinstance(path, str) or not path:
            raise ValueError(f"path is {path!r}: give the folder to write to as a text, such as out/")
        name = sink or f"parquet:{path.rstrip('/')}/"
        super().__init__(
            partial(WriteFiles, path, name, files_of, takes_unclaimed=takes_any, fence=fence, text=options.text)
        )


@dataclass(frozen=True)
class WriteChunks:
    """The writing of files for the engine: Chunk to `WriteResult`. A chunk is stored, or the run ends: none fails by itself."""

    write: WriteToParquet | WriteToCsv

    def __call__(self, chunks: Any) -> WriteResult:
        return WriteResult((chunks | "Write" >> self.write).receipts)
