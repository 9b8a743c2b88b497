"""The step of a pipeline that withholds chunks which would remove stored points; see `removal_guard`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.failure import WindowFailure
from omnia_beam.pipelines.removal_guard import ChunkGuard

coders.register_coders()


_WITHHELD: Final = "withheld"


class GuardChunks(beam.PTransform):
    """Chunks to a pair: the chunks without those that are withheld, and a WindowFailure for each of these, or None.

    Args:
        guard: checks the chunks.
        failures: whether there is an output of failures, for a job whose driver does not read the guard's reports itself.

    Raises (on the worker):
        StateError: a report cannot be written.
        DestinationError: a stored file may not be read.
    """

    def __init__(self, guard: ChunkGuard, *, failures: bool = False) -> None:
        super().__init__()
        self._guard = guard
        self._failures = failures

    def expand(self, chunks: Any) -> tuple[Any, Any]:
        step = beam.ParDo(GuardFn(self._guard, board_of(chunks), failures=self._failures))
        if not self._failures:
            return chunks | step.with_output_types(Chunk), None
        typed = step.with_output_types(Chunk, **{_WITHHELD: WindowFailure})
        passed = chunks | typed.with_outputs(_WITHHELD, main="chunks")
        return passed.chunks, passed.withheld


class GuardFn(beam.DoFn):
    """The DoFn of `GuardChunks`, with the same arguments; `board` is of the run."""

    def __init__(self, guard: ChunkGuard, board: RunBoard, *, failures: bool = False) -> None:
        self._guard = guard
        self._failures = failures
        self._board = board

    def process(self, chunk: Chunk) -> Iterator[Any]:
        with self._board.noting_fatal():
            passed = self._guard.passed(chunk)
        if passed is not None:
            yield passed
        elif self._failures:
            text = "stored points would be removed without being replaced, or could not be read: it was not written"
            yield beam.pvalue.TaggedOutput(_WITHHELD, WindowFailure(chunk.key, "Withheld", text))
