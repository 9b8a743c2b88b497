"""The step that shows which side of a copy waits for the other: it measures how long chunks take to come, and to go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import apache_beam as beam

from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk


class MeasureTime(beam.PTransform):
    """Chunks to the same chunks; what reads them and what writes them run on the same thread, one after the other.

    The time until a chunk comes is the source's (`source_us` of the run's board, microseconds), the time until the next step is
    done with it the sink's (`sink_us`). A side that works ahead or behind on threads of its own takes no time here until the
    other one waits for it, so the larger figure is that of the slower side.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self._clock = clock

    def expand(self, chunks: beam.PCollection) -> beam.PCollection:
        return chunks | beam.ParDo(MeasureFn(board_of(chunks), self._clock)).with_output_types(Chunk)


class MeasureFn(beam.DoFn):
    """The DoFn of `MeasureTime`; `board` is of the run, `clock` returns seconds."""

    def __init__(self, board: RunBoard, clock: Callable[[], float]) -> None:
        self._board = board
        self._clock = clock
        self._since = 0.0

    def start_bundle(self) -> None:
        self._since = self._clock()

    def process(self, chunk: Chunk) -> Iterator[Chunk]:
        came = self._clock()
        yield chunk
        gone = self._clock()
        self._board.add(source_us=round((came - self._since) * 1e6), sink_us=round((gone - came) * 1e6))
        self._since = gone
