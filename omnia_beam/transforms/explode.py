"""Explode chunks to rows, for users of Beam's schemas and SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from omnia_beam.core.chunk import Chunk


class Datapoint(NamedTuple):
    """One point as a row with a schema: `time_ns` since the Unix epoch, UTC; `status` OPC style. A text is left out."""

    series_id: str
    time_ns: int
    value: float
    status: int


class ExplodeChunks(beam.PTransform):
    """A transform that emits one `Datapoint` for each point of each chunk, in the chunk's order.

    A row costs microseconds where a point in a column costs nanoseconds: keep to chunks where throughput matters.

    Args:
        timestamped: also give each row the Beam event time of its point (microseconds, cut off towards the past).

    Examples:
        >>> import numpy as np
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam import Chunk, TimeRange
        >>> from omnia_beam.core.chunk import Points
        >>> from omnia_beam.core.window import ChunkKey
        >>> points = Points(np.array([10, 20]), np.array([1.5, 2.5]), np.array([192, 192], np.uint32))
        >>> chunk = Chunk.from_points(ChunkKey(("a",), TimeRange(0, 100)), {"a": points})
        >>> with beam.Pipeline(runner=FnApiRunner()) as p:
        ...     _ = p | beam.Create([chunk]) | ExplodeChunks() | beam.Map(print)
        Datapoint(series_id='a', time_ns=10, value=1.5, status=192)
        Datapoint(series_id='a', time_ns=20, value=2.5, status=192)
    """

    def __init__(self, timestamped: bool = False) -> None:
        super().__init__()
        self._timestamped = timestamped

    def expand(self, chunks: Any) -> Any:
        explode = timestamped_datapoints if self._timestamped else datapoints
        return chunks | beam.FlatMap(explode).with_output_types(Datapoint)


def datapoints(chunk: Chunk) -> Iterator[Datapoint]:
    """Yield the points of a chunk as rows, in its order."""
    for _, stored_id, points in chunk.by_series():
        for time_ns, value, status in zip(*(column.tolist() for column in points[:3]), strict=True):
            yield Datapoint(stored_id, time_ns, value, status)


def timestamped_datapoints(chunk: Chunk) -> Iterator[Any]:
    """Yield the rows of a chunk, each with the event time of its point."""
    for row in datapoints(chunk):
        yield beam.window.TimestampedValue(row, Timestamp(micros=row.time_ns // 1_000))


beam.coders.registry.register_coder(Datapoint, beam.coders.RowCoder)
