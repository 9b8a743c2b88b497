"""Write chunks into a table: gather windows, commit them in one transaction, return their receipts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import TransientServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import WriteResult
from omnia_beam.io.policy import PointPolicy
from omnia_beam.io.postgresql.connection import Database
from omnia_beam.io.postgresql.held import Held, divide, finding_of
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.io.postgresql.transaction import TableWriter, WindowRows
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import RunState

_FAILURES: Final = "failures"
_MOST_WINDOWS: Final = 100
_MOST_FAILURES: Final = 10
"""Transactions in a row after whose failure the database counts as gone, and the run ends."""

coders.register_coders()


@dataclass(frozen=True)
class WriteRows:
    """The writing of a table for the engine: Chunk to `WriteResult`.

    Args:
        database, form: of the table.
        run: holds the lease; receipts name its sink.
        again: windows that are recorded already: what they no longer have is deleted.
        policy: for points that the table cannot hold.
        commit_points: points in one transaction, about.
    """

    database: Database
    form: TableForm
    run: RunState
    again: frozenset[ChunkKey] = frozenset()
    policy: PointPolicy = PointPolicy()
    commit_points: int = 1_000_000

    def __call__(self, chunks: Any) -> WriteResult:
        write = beam.ParDo(_WriteRows(self, board_of(chunks))).with_output_types(Receipt, **{_FAILURES: WindowFailure})
        written = chunks | "Write" >> write.with_outputs(_FAILURES, main="receipts")
        return WriteResult(written.receipts, written[_FAILURES])


class _Recorded:
    """The windows that are recorded already, by their series."""

    def __init__(self, again: frozenset[ChunkKey]) -> None:
        self._ranges: dict[tuple[str, ...], list[TimeRange]] = {}
        for key in sorted(again, key=lambda each: each.range):
            self._ranges.setdefault(key.series_ids, []).append(key.range)

    def hold(self, key: ChunkKey) -> bool:
        """Return whether a chunk is one of these windows, which do not overlap, or a part of one."""
        ranges = self._ranges.get(key.series_ids, [])
        at = bisect_right(ranges, key.range.start_ns, key=lambda each: each.start_ns) - 1
        return at >= 0 and ranges[at].covers(key.range)


@dataclass
class _Batch:
    """Windows for one transaction, with what Beam needs to emit their receipts later."""

    held: list[Held] = field(default_factory=list)
    tickets: list[tuple[Any, tuple[Any, ...]]] = field(default_factory=list)
    points: int = 0

    def add(self, held: Held, ticket: tuple[Any, tuple[Any, ...]]) -> None:
        self.held.append(held)
        self.tickets.append(ticket)
        self.points += held.chunk.num_points


class _WriteRows(beam.DoFn):
    """Gathers one batch while a thread writes the one before."""

    def __init__(self, task: WriteRows, board: RunBoard) -> None:
        self._task = task
        self._board = board
        self._counters = {
            name: Metrics.counter("omnia_beam", name)
            for name in ("points_written", "dead_letters", "points_truncated", "windows_failed")
        }

    def setup(self) -> None:
        task = self._task
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="omnia-table")
        self._writer = TableWriter(task.database, task.form, task.run, self._board.stop.is_set)
        self._recorded = _Recorded(task.again)
        self._batch = _Batch()
        self._waiting: list[tuple[_Batch, Future[None]]] = []
        self._failed = 0
        self._keep: Callable[[Receipt, Sequence[DeadLetter]], None] | None = None

    def start_bundle(self) -> None:
        self._batch = _Batch()
        self._waiting.clear()
        with self._board.noting_fatal():
            self._keep = DeadLetterFiles.of(self._task.run.state_dir, self._task.run.fence).keeper()

    def process(
        self, chunk: Chunk, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        held = divide(chunk, self._task.policy, text=self._task.form.text)
        self._batch.add(held, (timestamp, (window,)))
        if self._batch.points >= self._task.commit_points or len(self._batch.held) >= _MOST_WINDOWS:
            yield from self._sent()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._sent()
        while self._waiting:
            yield from self._taken()

    def teardown(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._writer.close()

    def _sent(self) -> Iterator[Any]:
        """Hand the batch to the thread, once the batch before is committed: this bounds memory."""
        batch, self._batch = self._batch, _Batch()
        if not batch.held:
            return
        while self._waiting:
            yield from self._taken()
        rows = [WindowRows(each.chunk, self._recorded.hold(each.chunk.key)) for each in batch.held]
        self._waiting.append((batch, self._pool.submit(self._writer.write, rows)))

    def _taken(self) -> Iterator[Any]:
        batch, done = self._waiting.pop(0)
        with self._board.noting_fatal():
            try:
                done.result()
            except TransientServiceError as error:
                self._failed += 1
                if self._failed >= _MOST_FAILURES:
                    raise
                failure: TransientServiceError | None = error
            else:
                self._failed, failure = 0, None
            for held, ticket in zip(batch.held, batch.tickets, strict=True):
                yield self._outcome(held, ticket, failure)

    def _outcome(self, held: Held, ticket: tuple[Any, tuple[Any, ...]], error: TransientServiceError | None) -> Any:
        timestamp, windows = ticket
        if error is not None:
            self._count(windows_failed=1)
            failure = WindowFailure.of(held.chunk.key, error)
            return beam.pvalue.TaggedOutput(_FAILURES, WindowedValue(failure, timestamp, windows))
        dead = sum(letter.count for letter in held.letters)
        receipt = Receipt.of(held.chunk, self._task.run.sink, dead_letters=dead)
        if self._keep is not None:
            self._keep(receipt, held.letters)
        for letter in held.letters:
            self._board.note_found(finding_of(self._task.policy, letter.reason), letter.source_id, letter.count)
        self._count(points_written=receipt.count, dead_letters=dead, points_truncated=held.truncated)
        return WindowedValue(receipt, timestamp, windows)

    def _count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            if amount:
                self._counters[name].inc(amount)
                self._board.add(**{name: amount})
