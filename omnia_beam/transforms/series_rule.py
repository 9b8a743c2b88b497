"""What happens to a series of the source at the target: its id, unit and status codes there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.window import ChunkKey
from omnia_beam.transforms.map_status import StatusRule


@dataclass(frozen=True, slots=True)
class SeriesRule:
    """The mapping of one series.

    value in the target = fl(fl(value · scale) + offset): two float64 operations, each rounded to nearest, no fused
    multiply-add. A scale of 1 and an offset of 0 preserve every bit, also of -0.0 and NaN.

    Args:
        target_id: the id under which the series is stored.
        scale, offset: finite; the offset in the target's unit.
        status: the mapping of statuses; None preserves them.

    Examples:
        >>> SeriesRule("20-PT-1001", scale=100.0).keeps_points
        False
    """

    target_id: str
    scale: float = 1.0
    offset: float = 0.0
    status: StatusRule | None = None

    @property
    def keeps_points(self) -> bool:
        """Whether the rule leaves values and statuses unchanged."""
        return self.scale == 1.0 and self.offset == 0.0 and self.status is None


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
        raise ValueError(f"{chunk.key}: no rule covers series {strangers[0]!r}")
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
    mapped = points._replace(values=values, statuses=statuses)
    return mapped.take(keep) if reasons else mapped


def scale_values(values: npt.NDArray[np.float64], scale: float, offset: float) -> npt.NDArray[np.float64]:
    """Return value · scale + offset, as `SeriesRule` defines it; float64, shape (n,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if scale != 1.0:
            values = values * scale
        return values + offset if offset != 0.0 else values
