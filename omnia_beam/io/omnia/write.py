"""The Omnia sink: chunks in, receipts out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam import coders
from omnia_beam.beam import coders as dead_letter_coder
from omnia_beam.beam.counters import TrafficCounters
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.base import WriteResult
from omnia_beam.io.omnia.delivery import shared_memory
from omnia_beam.io.omnia.pending_chunk import WrittenChunk
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.writer import OmniaWriter, more_ahead, send_group
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.net.http.settings import ServiceSettings, check_service
from omnia_beam.net.http.shared import shared_session

coders.register_coders()
dead_letter_coder.register_coder()

__all__ = ["WriteOptions", "WriteToOmnia"]

_DEFAULTS: Final = WriteOptions()


class WriteToOmnia(beam.PTransform):
    """Store chunks in an Omnia service: upserts by series and time, in batches across series and chunks.

    Input: Chunk; its points go to the series that its batch names (`Chunk.series_ids`). Output: a tuple with

    - `receipts`: Receipt, one for each chunk when all its points are committed by the service or are dead letters. It
      names what was stored, after the policies of the options.
    - `dead_letters`: DeadLetter, the points that cannot be stored, given before the receipt of their chunk.
    - `failures`, with `on_error="output"`: WindowFailure, a chunk whose writing failed for a transient reason to the
      end. Its points are in neither output: write it again.

    Args:
        service: which service, whose credential, how fast. Every request counts into the budget of that service's
            session, which the process's other parts share.
        options: batches and policies, see `WriteOptions`.
        on_error: `raise` (the default) fails the bundle where a write fails for a transient reason to the end; `output`
            goes on without that chunk.
        dead_letter_files: where to make dead letters durable before the receipt of their chunk is given; None leaves
            them to the consumer of the output.
        sink: how receipts name this sink; None for `omnia ` and the base URL.
        fence: of the run's lease: a run that has lost it sends nothing any more. None where no lease is held.

    Raises (on the worker):
        CredentialError, UnauthorizedError, ForbiddenError: nothing can be written.
        TerminalServiceError: the service refuses in a way that is no point's fault.
        TransientServiceError: the service is down.
        StateError: the dead letters cannot be stored, or the lease was lost.

    Examples:
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam.emulator.thread import EmulatorThread
        >>> from omnia_beam.core.chunk import Points
        >>> from omnia_beam.core.time_range import TimeRange
        >>> from omnia_beam.core.window import ChunkKey
        >>> import numpy as np
        >>> point = Points(np.array([10_000]), np.array([1.5]), np.array([192], np.uint32))
        >>> with EmulatorThread(["--synthetic", "dense:series=1,days=1,step=60s"]) as emulator:
        ...     service, series = ServiceSettings(base_url=emulator.url), next(emulator.store.listed())
        ...     chunk = Chunk.from_points(ChunkKey((series.id,), TimeRange(0, 20_000)), {series.id: point})
        ...     with beam.Pipeline(runner=FnApiRunner()) as p:
        ...         written = p | beam.Create([chunk]) | WriteToOmnia(service)
        ...         _ = written.receipts | beam.Map(lambda receipt: print(receipt.count))
        1
    """

    RECEIPTS = "receipts"
    DEAD_LETTERS = "dead_letters"
    FAILURES = "failures"

    def __init__(
        self,
        service: ServiceSettings,
        options: WriteOptions = _DEFAULTS,
        *,
        on_error: str = "raise",
        dead_letter_files: DeadLetterFiles | None = None,
        sink: str | None = None,
        fence: LeaseFence | None = None,
    ) -> None:
        super().__init__()
        if on_error not in ("raise", "output"):
            raise ValueError(f"on_error is raise or output, not {on_error!r}")
        check_service(service, "WriteToOmnia")
        self._write = partial(
            WriteOmniaFn,
            service,
            options,
            on_error == "output",
            dead_letter_files,
            sink or f"omnia {service.base_url}",
            fence,
        )

    def do_fn(self, board: RunBoard) -> WriteOmniaFn:
        """Return the DoFn of this transform, which counts on `board`."""
        return self._write(board=board)

    def expand(self, chunks: Any) -> Any:
        # The types belong to the ParDo: on what with_outputs returns they would be lost, and pickle would be the coder.
        tags: dict[str, type] = {self.DEAD_LETTERS: DeadLetter, self.FAILURES: WindowFailure}
        write = beam.ParDo(self.do_fn(board_of(chunks))).with_output_types(Receipt, **tags)
        return chunks | write.with_outputs(*tags, main=self.RECEIPTS)


class WriteOmniaFn(beam.DoFn):
    """The DoFn of `WriteToOmnia`.

    The session is the process's; the pool of threads is this instance's; the writer is the bundle's.
    """

    def __init__(
        self,
        service: ServiceSettings,
        options: WriteOptions,
        give_up_chunks: bool,
        dead_letter_files: DeadLetterFiles | None,
        sink: str,
        fence: LeaseFence | None,
        board: RunBoard,
    ) -> None:
        self._board = board
        self._fence = fence
        self._service = service
        self._traffic = TrafficCounters(service)
        self._options = options
        self._give_up_chunks = give_up_chunks
        self._files = dead_letter_files
        self._sink = sink
        self._counters = {
            name: Metrics.counter("omnia_beam", name)
            for name in (
                "points_written",
                "dead_letters",
                "points_dropped",
                "points_substituted",
                "points_truncated",
                "windows_failed",
            )
        }

    @property
    def service(self) -> ServiceSettings:
        """The service, with this worker's part of the budget."""
        return self._service

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._service.threads, thread_name_prefix="omnia-write")
        self._writer: OmniaWriter | None = None

    def start_bundle(self) -> None:
        self._abandon()
        with self._board.noting_fatal():
            keeper = None if self._files is None else self._files.keeper()
            session = shared_session(self._service)
            self._writer = OmniaWriter(
                partial(send_group, session, fence=self._fence),
                pool=self._pool,
                ahead=2 * self._service.max_in_flight,
                more_ahead=more_ahead(session),
                options=self._options,
                memory=shared_memory(self._service.base_url),
                sink=self._sink,
                give_up_chunks=self._give_up_chunks,
                keep=keeper,
            )

    def process(
        self, chunk: Chunk, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        writer = self._open_writer()
        with self._board.noting_fatal():
            writer.put(chunk, (timestamp, (window,)))
            finished = list(writer.taken())
        for written in finished:
            yield from self._outputs(written)

    def finish_bundle(self) -> Iterator[Any]:
        writer = self._open_writer()
        with self._board.noting_fatal():
            for written in writer.drained():
                yield from self._outputs(written)
        self._traffic.count()

    def teardown(self) -> None:
        self._abandon()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _open_writer(self) -> OmniaWriter:
        if self._writer is None:
            raise AssertionError("Beam starts a bundle before it processes elements")
        return self._writer

    def _abandon(self) -> None:
        """A bundle that failed leaves batches under way behind."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _outputs(self, written: WrittenChunk) -> Iterator[Any]:
        timestamp, windows = written.ticket
        counts = written.counts
        for finding, series_id, points in written.found:
            self._board.note_found(finding, series_id, points)
        self._count(points_dropped=counts.dropped, points_substituted=counts.substituted)
        self._count(points_truncated=counts.truncated)
        for letter in written.dead_letters:
            self._count(dead_letters=letter.count)
            yield beam.pvalue.TaggedOutput(WriteToOmnia.DEAD_LETTERS, WindowedValue(letter, timestamp, windows))
        if written.failure is not None:
            self._count(windows_failed=1)
            yield beam.pvalue.TaggedOutput(WriteToOmnia.FAILURES, WindowedValue(written.failure, timestamp, windows))
        if written.receipt is not None:
            self._count(points_written=written.receipt.count)
            yield WindowedValue(written.receipt, timestamp, windows)

    def _count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            if amount:
                self._counters[name].inc(amount)
                self._board.add(**{name: amount})


@dataclass(frozen=True)
class WriteChunks:
    """The writing to a service for the engine: Chunk to `WriteResult`."""

    write: WriteToOmnia

    def __call__(self, chunks: Any) -> WriteResult:
        written = chunks | "Write" >> self.write
        return WriteResult(written.receipts, written.failures)
