"""Decode raw chunks to chunks, on any worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from omnia_beam.core.chunk import Chunk, RawChunk
from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.transforms.assemble import assemble_chunk


class DecodeChunks(beam.PTransform):
    """A transform that decodes protobuf or JSON pages to columns.

    Input: RawChunk. Output: Chunk, one for each, of the same key.

    Args:
        on_error: `raise` (the default) fails the bundle at the first window that cannot be decoded or does not add up.
            `output` returns a tuple with the outputs `chunks` and `failures` (WindowFailure): such windows are not stored,
            and a later run reads them again.
        spent: called with the seconds that each chunk took, for figures of progress; it is pickled to the workers.

    Examples:
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam.core.chunk import RawPage
        >>> from omnia_beam.core.time_range import TimeRange
        >>> from omnia_beam.core.window import ChunkKey
        >>> day = TimeRange.parse("2024-01-01", "2024-01-02")
        >>> point = b'{"time": "2024-01-01T00:00:00Z", "value": 1.5, "status": 192}'
        >>> page = RawPage(day, b'{"data": {"items": [{"id": "a", "datapoints": [%b]}]}}' % point)
        >>> with beam.Pipeline(runner=FnApiRunner()) as p:
        ...     chunks = p | beam.Create([RawChunk(ChunkKey(("a",), day), (page,), "json")]) | DecodeChunks()
        ...     _ = chunks | beam.Map(lambda chunk: print(chunk.num_points, chunk.points.values))
        1 [1.5]
    """

    CHUNKS = "chunks"
    FAILURES = "failures"

    def __init__(self, on_error: str = "raise", spent: Callable[[float], None] | None = None) -> None:
        super().__init__()
        self._spent = spent
        if on_error not in ("raise", "output"):
            raise ValueError(f"on_error is raise or output, not {on_error!r}")
        self._on_error = on_error

    def expand(self, raw_chunks: Any) -> Any:
        if self._on_error == "raise":
            return raw_chunks | beam.ParDo(DecodeFn(None, self._spent)).with_output_types(Chunk)
        decode = beam.ParDo(DecodeFn(self.FAILURES, self._spent)).with_output_types(
            Chunk, **{self.FAILURES: WindowFailure}
        )
        return raw_chunks | decode.with_outputs(self.FAILURES, main=self.CHUNKS)


class DecodeFn(beam.DoFn):
    """The DoFn of `DecodeChunks`; `failures_tag` names the output of failures, None raises them."""

    def __init__(self, failures_tag: str | None, spent: Callable[[float], None] | None = None) -> None:
        self._failures_tag = failures_tag
        self._spent = spent
        self._points = Metrics.counter("omnia_beam", "points_read")

    def process(self, raw: RawChunk) -> Iterator[Any]:
        began = time.perf_counter()
        try:
            chunk = assemble_chunk(raw)
        except (WireFormatError, IncompleteReadError) as error:
            if self._failures_tag is None:
                raise
            yield beam.pvalue.TaggedOutput(self._failures_tag, WindowFailure.of(raw.key, error))
            return
        if self._spent is not None:
            self._spent(time.perf_counter() - began)
        self._points.inc(chunk.num_points)
        yield chunk
