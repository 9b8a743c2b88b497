"""What a table can hold of a chunk: all of its values and statuses, and times of its own grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.io.policy import PointPolicy


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


def divide(chunk: Chunk, policy: PointPolicy) -> Held:
    """Divide a chunk, as read and mapped, by the policy for points that the table cannot hold; texts are left out."""
    chunk = chunk.without_texts()
    if policy.grid_ns == 1 or not (chunk.points.times % policy.grid_ns).any():
        return Held(chunk)
    held: dict[str, Points] = {}
    letters: list[DeadLetter] = []
    truncated = 0
    for source_id, target_id, points in chunk.by_series():
        result = policy.apply(points, chunk.key.range)
        held[source_id] = result.good
        letters += (DeadLetter(chunk.key, source_id, target_id, dead, reason) for dead, reason in result.dead)
        truncated += result.truncated
    stored = Chunk.from_points(chunk.key, held, chunk.series_ids)
    return Held(replace(stored, rejected=chunk.rejected, kept=chunk.kept), tuple(letters), truncated)


def as_table_holds(chunk: Chunk, policy: PointPolicy) -> Chunk:
    """Return what the table would hold of a chunk."""
    return divide(chunk, policy).chunk
