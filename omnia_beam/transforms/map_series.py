"""Map series of the source to series of the target: other ids, other units, other status codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.window import ChunkKey
from omnia_beam.transforms.series_rule import SeriesRule, map_chunk

KeepLetters = Callable[[ChunkKey, Sequence[DeadLetter]], None]


class MapSeries(beam.PTransform):
    """A transform that maps chunks of the source to chunks of the target.

    Input: Chunk. Output: a tuple with the outputs `chunks` (Chunk, one for each: the key keeps the source's ids, the
    column series_id has the target's) and `dead_letters` (DeadLetter: points as received from the source, whose status has
    no image, or whose scaled value exceeds float64).

    Args:
        rules: by the source's id, for every series in the input.
        keep: called with each chunk's key and dead letters, also with an empty list, before the chunk is passed on, to make
            them durable. It is pickled to the workers. With None only the output holds the dead letters.

    Raises (on the worker):
        ValueError: a chunk has a series without a rule.

    Examples:
        >>> import numpy as np
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam import TimeRange
        >>> from omnia_beam.core.chunk import Points
        >>> from omnia_beam.core.window import ChunkKey
        >>> bar = Points(np.array([10]), np.array([1.5]), np.array([192], np.uint32))
        >>> chunk = Chunk.from_points(ChunkKey(("Pressure",), TimeRange(0, 100)), {"Pressure": bar})
        >>> rules = {"Pressure": SeriesRule("20-PT-1001", scale=100.0)}
        >>> with beam.Pipeline(runner=FnApiRunner()) as p:
        ...     mapped = p | beam.Create([chunk]) | MapSeries(rules)
        ...     _ = mapped.chunks | beam.Map(lambda chunk: print(chunk.series_ids, chunk.points.values))
        ('20-PT-1001',) [150.]
    """

    CHUNKS = "chunks"
    DEAD_LETTERS = "dead_letters"

    def __init__(self, rules: Mapping[str, SeriesRule], keep: KeepLetters | None = None) -> None:
        super().__init__()
        self._map = _Map(dict(rules), keep, self.DEAD_LETTERS)

    def expand(self, chunks: Any) -> Any:
        outputs = beam.ParDo(self._map).with_outputs(self.DEAD_LETTERS, main=self.CHUNKS)
        return chunks | outputs.with_output_types(Chunk)


class _Map(beam.DoFn):
    def __init__(self, rules: Mapping[str, SeriesRule], keep: KeepLetters | None, dead_letters_tag: str) -> None:
        self._rules = rules
        self._keep = keep
        self._dead_letters_tag = dead_letters_tag
        self._rejected = Metrics.counter("omnia_beam", "points_rejected")

    def process(self, chunk: Chunk) -> Iterator[Any]:
        mapped, letters = map_chunk(chunk, self._rules)
        if self._keep is not None:
            self._keep(chunk.key, letters)
        for letter in letters:
            self._rejected.inc(letter.count)
            yield beam.pvalue.TaggedOutput(self._dead_letters_tag, letter)
        yield mapped
