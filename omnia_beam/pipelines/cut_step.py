"""Store a window that reaches far before the trailing interval as two, so that the next run reads only the later one again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.plan.trailing import stored_parts

coders.register_coders()


class CutChunks(beam.PTransform):
    """Chunks to chunks: those that `stored_parts` cuts become two, each complete for its own range.

    Args:
        trailing: the interval that every run reads again.
    """

    def __init__(self, trailing: TimeRange) -> None:
        super().__init__()
        self._trailing = trailing

    def expand(self, chunks: Any) -> Any:
        return chunks | beam.FlatMap(cut_chunk, self._trailing).with_output_types(Chunk)


def cut_chunk(chunk: Chunk, trailing: TimeRange) -> Iterator[Chunk]:
    """Yield a chunk as the parts that are to be stored.

    A chunk with kept points, or with points that the mapping put into the dead letters, stays whole: both are recorded for the
    window, and not for its parts.
    """
    parts = stored_parts(chunk.key.range, trailing)
    if len(parts) == 1 or chunk.kept or chunk.rejected:
        yield chunk
        return
    codes, points = chunk.codes, chunk.points
    for part in parts:
        inside = (points.times >= part.start_ns) & (points.times < part.end_ns)
        key = ChunkKey(chunk.key.series_ids, part)
        yield Chunk.from_columns(key, codes[inside], points.take(inside), chunk.series_ids)
