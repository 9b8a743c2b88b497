"""The step of a pipeline that withholds chunks which would remove stored points; see `removal_guard`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.pipelines.removal_guard import RemovalGuard

coders.register_coders()


class GuardChunks(beam.PTransform):
    """Chunks to chunks, without those that are withheld.

    Raises (on the worker):
        StateError: a report cannot be written.
        DestinationError: a stored file may not be read.
    """

    def __init__(self, guard: RemovalGuard) -> None:
        super().__init__()
        self._guard = guard

    def expand(self, chunks: Any) -> Any:
        return chunks | beam.ParDo(_Guard(self._guard, board_of(chunks))).with_output_types(Chunk)


class _Guard(beam.DoFn):
    def __init__(self, guard: RemovalGuard, board: RunBoard) -> None:
        self._guard = guard
        self._board = board

    def process(self, chunk: Chunk) -> Iterator[Chunk]:
        with self._board.noting_fatal():
            passed = self._guard.passed(chunk)
        if passed is not None:
            yield passed
