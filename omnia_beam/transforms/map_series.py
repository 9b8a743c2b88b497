"""Map series of the source to series of the target: other ids, other units, other status codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.metrics import Metrics

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.window import ChunkKey
from omnia_beam.transforms.map_status import StatusRule

KeepLetters = Callable[[ChunkKey, Sequence[DeadLetter]], None]


@dataclass(frozen=True, slots=True)
class SeriesRule:
    """The mapping of one series.

    value in the target = fl(fl(value · scale) + offset): two float64 operations, each rounded to nearest, no fused
    multiply-add. A scale of 1 and an offset of 0 preserve every bit, also of -0.0 and NaN.

    Args:
        target_id: the id under which the series is stored.
        scale, offset: finite; the offset in the target's unit.
        status: the mapping of statuses; None preserves them.
    """

    target_id: str
    scale: float = 1.0
    offset: float = 0.0
    status: StatusRule | None = None

    @property
    def keeps_points(self) -> bool:
        """Whether the rule leaves values and statuses unchanged."""
        return self.scale == 1.0 and self.offset == 0.0 and self.status is None


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


def map_chunk(chunk: Chunk, rules: Mapping[str, SeriesRule]) -> tuple[Chunk, list[DeadLetter]]:
    """Return the chunk as the target is to store it, and dead letters of the points that have no image there.

    Args:
        chunk: any.
        rules: by the source's id.

    Raises:
        ValueError: a series has no rule.
    """
    strangers = [series_id for series_id in chunk.key.series_ids if series_id not in rules]
    if strangers:
        raise ValueError(f"{chunk.key}: no rule says what becomes of series {strangers[0]!r}")
    targets = [rules[series_id].target_id for series_id in chunk.key.series_ids]
    if all(rules[series_id].keeps_points for series_id in chunk.key.series_ids):
        return Chunk.from_columns(chunk.key, chunk.codes, chunk.points, targets), []
    letters: list[DeadLetter] = []
    points: dict[str, Points] = {}
    for source_id, _, found in chunk.by_series():
        points[source_id] = _mapped(chunk.key, source_id, found, rules[source_id], letters)
    mapped = Chunk.from_points(chunk.key, points, targets)
    return replace(mapped, rejected=sum(letter.count for letter in letters)), letters


def _mapped(key: ChunkKey, source_id: str, points: Points, rule: SeriesRule, letters: list[DeadLetter]) -> Points:
    if rule.keeps_points or not len(points.times):
        return points
    values = scale_values(points.values, rule.scale, rule.offset)
    reasons: list[tuple[npt.NDArray[np.bool_], str]] = []
    overflow = ~np.isfinite(values) & np.isfinite(points.values)
    if overflow.any():
        reasons.append((overflow, f"value · {rule.scale!r} + {rule.offset!r} is more than a float64 can hold"))
    statuses = points.statuses
    if rule.status is not None:
        statuses, rejected = rule.status.apply(points.statuses)
        for status in [] if rejected is None else np.unique(points.statuses[rejected]).tolist():
            reasons.append((~overflow & (points.statuses == status), f"status {status} has no image in the status map"))
    keep = np.ones(len(values), bool)
    for where, reason in reasons:
        keep &= ~where
        letters.append(DeadLetter(key, source_id, rule.target_id, points.take(where), reason))
    mapped = Points(points.times, values, statuses)
    return mapped.take(keep) if reasons else mapped


def scale_values(values: npt.NDArray[np.float64], scale: float, offset: float) -> npt.NDArray[np.float64]:
    """Return value · scale + offset, as `SeriesRule` defines it; float64, shape (n,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if scale != 1.0:
            values = values * scale
        return values + offset if offset != 0.0 else values
