"""The step of a pipeline that stages chunks and commits them; see `commit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import TransientServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.base import WriteResult
from omnia_beam.io.commit import Batch, StageAndCommit, committed, note_staged

coders.register_coders()

_FAILURES: Final = "failures"


@dataclass(frozen=True)
class CommitChunks:
    """The writing of a sink for the engine, from chunks to `WriteResult`; where the driver commits, no receipts come out of it.

    Args:
        how: the sink's two steps.
    """

    how: StageAndCommit

    def __call__(self, chunks: Any) -> WriteResult:
        # The types belong to the ParDo: on the result of with_outputs they would be lost, and pickle would be the coder.
        step = beam.ParDo(_StageAndCommit(self.how, board_of(chunks))).with_output_types(
            Receipt, **{_FAILURES: WindowFailure}
        )
        written = chunks | "Write" >> step.with_outputs(_FAILURES, main="receipts")
        return WriteResult(written.receipts, written.failures)


class _StageAndCommit(beam.DoFn):
    """The batch is the bundle's; what a failed bundle had staged is staged again."""

    def __init__(self, writing: StageAndCommit, board: RunBoard) -> None:
        self._writing = writing
        self._board = board
        self._counters = {
            name: Metrics.counter("omnia_beam", name) for name in ("points_written", "dead_letters", "windows_failed")
        }

    def start_bundle(self) -> None:
        self._batch = Batch(self._writing.points, self._writing.nbytes)
        self._places: list[tuple[Any, Any]] = []

    def process(
        self, chunk: Chunk, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        writing, place = self._writing, (timestamp, (window,))
        try:
            with self._board.noting_fatal_but(TransientServiceError):
                staged = writing.steps.stage(chunk, writing.run.sink)
                if writing.one_committer:
                    note_staged(writing.run, staged)
        except TransientServiceError as error:
            yield self._failed(WindowFailure.of(chunk.key, error), place)
            return
        if writing.one_committer:
            self._count(points_written=staged.receipt.count, dead_letters=staged.receipt.dead_letters)
            return
        if self._batch.is_full_with(staged):
            yield from self._commit()
        self._batch.add(staged)
        self._places.append(place)
        if self._batch.is_due():
            yield from self._commit()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._commit()

    def _commit(self) -> Iterator[Any]:
        staged, places = self._batch.taken(), self._places
        self._places = []
        if not staged:
            return
        place_of = {each.receipt.key: place for each, place in zip(staged, places, strict=True)}
        try:
            with self._board.noting_fatal_but(TransientServiceError):
                receipts = committed(self._writing.steps, self._writing.run, staged)
        except TransientServiceError as error:
            for key, place in place_of.items():
                yield self._failed(WindowFailure.of(key, error), place)
            return
        for receipt in receipts:
            self._count(points_written=receipt.count, dead_letters=receipt.dead_letters)
            yield WindowedValue(receipt, *place_of[receipt.key])

    def _failed(self, failure: WindowFailure, place: tuple[Any, Any]) -> Any:
        self._count(windows_failed=1)
        return beam.pvalue.TaggedOutput(_FAILURES, WindowedValue(failure, *place))

    def _count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            if amount:
                self._counters[name].inc(amount)
                self._board.add(**{name: amount})
