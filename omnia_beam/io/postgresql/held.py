"""What a table can hold of a chunk: all of its values and statuses, times of its own grid, and texts where it has a column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.io.policy import PointPolicy

NUL_IN_TEXT: Final = "the text has a NUL, which a column of PostgreSQL cannot hold"
"""The reason of dead letters whose text the database refuses."""


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


def divide(chunk: Chunk, policy: PointPolicy, *, text: bool = False) -> Held:
    """Divide a chunk, as read and mapped, by the policy for points that the table cannot hold.

    Args:
        chunk: of one window.
        policy: for times.
        text: whether the table has a column of texts; otherwise they are left out.
    """
    if not text:
        chunk = chunk.without_texts()
    whole = policy.grid_ns == 1 or not (chunk.points.times % policy.grid_ns).any()
    if whole and not chunk.has_texts:
        return Held(chunk)
    held: dict[str, Points] = {}
    letters: list[DeadLetter] = []
    truncated = 0
    for source_id, target_id, points in chunk.by_series():
        storable, refused = _without_nul(points)
        if len(refused.times):
            letters.append(DeadLetter(chunk.key, source_id, target_id, refused, NUL_IN_TEXT))
        result = policy.apply(storable, chunk.key.range)
        held[source_id] = result.good
        letters += (DeadLetter(chunk.key, source_id, target_id, dead, reason) for dead, reason in result.dead)
        truncated += result.truncated
    stored = Chunk.from_points(chunk.key, held, chunk.series_ids)
    return Held(replace(stored, rejected=chunk.rejected, kept=chunk.kept), tuple(letters), truncated)


def finding_of(policy: PointPolicy, reason: str) -> str:
    """Return the finding of the loss report that a reason of dead letters belongs to; empty for other reasons."""
    return "text_values" if reason == NUL_IN_TEXT else policy.finding_of(reason)


def as_table_holds(chunk: Chunk, policy: PointPolicy, text: bool) -> Chunk:
    """Return what the table would hold of a chunk."""
    return divide(chunk, policy, text=text).chunk


def _without_nul(points: Points) -> tuple[Points, Points]:
    """Return the points that have no NUL in their text, and the others."""
    if points.texts is None:
        return points, NO_POINTS
    refused = np.array([each is not None and "\0" in each for each in points.texts], bool)
    return (points.take(~refused), points.take(refused)) if refused.any() else (points, NO_POINTS)
