"""Dead letters: points that could not be stored, kept to the last bit with the reason, so that they can be sent again."""

from __future__ import annotations

from dataclasses import dataclass

from omnia_beam.core.chunk import Points
from omnia_beam.core.window import ChunkKey


@dataclass(frozen=True, eq=False, slots=True)
class DeadLetter:
    """Points of one series of one chunk that were not stored, all for the same reason.

    Args:
        key: of the chunk that the points belong to, in the source's ids.
        source_id: the series at the source.
        target_id: the series in which the points were to be stored.
        points: exactly as received: a NaN keeps its payload, a time its nanoseconds.
        reason: text for people that also serves to count dead letters by reason: it holds no time, trace or other detail
            that differs from point to point.
        http_status: of the service's refusal; None where the points were never sent.
        trace_id: the service's trace id of the refusal; None where there is none.
        first_attempt_ns, last_attempt_ns: when the service first and last refused the points; ns since the Unix epoch,
            None where they were never sent.
    """

    key: ChunkKey
    source_id: str
    target_id: str
    points: Points
    reason: str
    http_status: int | None = None
    trace_id: str | None = None
    first_attempt_ns: int | None = None
    last_attempt_ns: int | None = None

    @property
    def count(self) -> int:
        """The number of points."""
        return len(self.points.times)
