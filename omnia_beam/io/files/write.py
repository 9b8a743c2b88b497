"""Write chunks to a sink of files: encode a chunk, put its files in place, return its receipt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam.progress import BOARD
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import UsageError
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.durable_file import write_durably
from omnia_beam.ledger.fence import LeaseFence

_WAITING = 1
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
        path: where to write; local, or of any Beam filesystem.
        sink: name of this sink in receipts.
        files_of: encodes a chunk; it is pickled to the workers.
        as_held: returns what files of this kind can hold of a chunk, which its receipt describes; None for all of it.
        takes_unclaimed: whether `files_of` gives the points of event messages names of their own, so that they are accepted.
        fence: of the run's lease, checked before each file appears; None where no lease is held.
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
    ) -> None:
        self._as_held = as_held
        self._fence = fence
        self._takes_unclaimed = takes_unclaimed
        self._path = path.rstrip("/")
        self._sink = sink
        self._files_of = files_of
        self._points = Metrics.counter("omnia_beam", "points_written")

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="omnia-files")
        self._waiting: deque[_Waiting] = deque()
        self._known_dirs: set[str] = set()

    def start_bundle(self) -> None:
        self._waiting.clear()

    def process(
        self, chunk: Chunk, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue]:
        if not self._takes_unclaimed:
            with BOARD.noting_fatal():
                _check_claim(chunk)
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
        files, stamps = [], []
        chunk = chunk if self._as_held is None else self._as_held(chunk)
        placing = nullcontext if self._fence is None else self._fence.placing
        for file in self._files_of(chunk):
            path = f"{self._path}/{file.path}"
            stamps.append(write_durably(path, file.content, known_dirs=self._known_dirs, placing=placing))
            files.append(file.path)
        return Receipt.of(chunk, self._sink, tuple(files), stamps=tuple(stamps))


def _check_claim(chunk: Chunk) -> None:
    if chunk.num_points and not chunk.key.range:
        raise UsageError(
            f"{chunk.key}: points of event messages cannot go into files: a file is named by the range that it holds all "
            "points of, which no message knows, and messages would write over each other. Write them to an Omnia service, "
            'let `omnia-beam tail` keep the files fresh, or ask for a file a message: WriteToParquet(..., unclaimed="by_content")'
        )
