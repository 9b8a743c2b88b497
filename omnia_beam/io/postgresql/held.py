"""What a table can hold of a chunk: all of its values and statuses, and times of its own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.io.time_grid import TimeGrid


@dataclass(frozen=True)
class Held:
    """A chunk, divided into what the table holds and the rest.

    Args:
        chunk: what is stored, on the grid.
        letters: points that are not stored, with the reason.
        truncated: points that are stored with a cut time.
    """

    chunk: Chunk
    letters: tuple[DeadLetter, ...] = ()
    truncated: int = 0


def divide(chunk: Chunk, grid: TimeGrid | None, *, truncate: bool) -> Held:
    """Divide a chunk by the grid of the table's times.

    Args:
        chunk: as read and mapped.
        grid: None where every nanosecond is held.
        truncate: whether times between two steps are cut off; otherwise such points are dead letters.
    """
    if grid is None or not grid.is_between(chunk.points.times).any():
        return Held(chunk)
    held: dict[str, Points] = {}
    letters: list[DeadLetter] = []
    truncated = 0
    for source_id, target_id, points in chunk.by_series():
        keep = np.ones(len(points.times), bool)
        for reason, where in grid.reasons(points.times, keep, chunk.key.range, truncate=truncate).items():
            if where.any():
                letters.append(DeadLetter(chunk.key, source_id, target_id, points.take(where), reason))
            keep &= ~where
        truncated += int(np.count_nonzero(keep & grid.is_between(points.times)))
        good = points.take(keep)
        held[source_id] = Points(grid.cut(good.times), good.values, good.statuses) if len(good.times) else NO_POINTS
    stored = Chunk.from_points(chunk.key, held, chunk.series_ids)
    whole = Chunk(stored.key, stored.batch, chunk.rejected, chunk.kept)
    return Held(whole, tuple(letters), truncated)


def as_table_holds(chunk: Chunk, grid: TimeGrid | None, *, truncate: bool) -> Chunk:
    """Return what the table would hold of a chunk."""
    return divide(chunk, grid, truncate=truncate).chunk
