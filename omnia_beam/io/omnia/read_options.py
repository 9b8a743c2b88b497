"""How raw data is requested from a service."""

from __future__ import annotations

from dataclasses import dataclass, field

from omnia_beam.core.limits import MAX_CHUNK_POINTS, MAX_POINTS_PER_RESPONSE
from omnia_beam.core.window import BodyFormat
from omnia_beam.plan.packing import PackLimits


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to ask for raw data.

    Args:
        statuses: only points with one of these; none for all.
        format: `protobuf`, or `json` for a gateway that passes nothing else: slower, and without the service's own count
            as a proof of completeness.
        page_limit: points asked for in one page.
        max_chunk_points: the most points of a chunk.
        absent: series that the service no longer has and that windows to be read again hold: they are not asked for, and have no
            points.
        ahead: queries under way or waiting to be taken; None for the requests in flight and half as many more.
    """

    statuses: tuple[int, ...] = ()
    format: BodyFormat = "protobuf"
    page_limit: int = MAX_POINTS_PER_RESPONSE
    max_chunk_points: int = MAX_CHUNK_POINTS
    absent: frozenset[str] = field(default=frozenset(), repr=False)
    ahead: int | None = None

    @property
    def pack_limits(self) -> PackLimits:
        return PackLimits(page_points=self.page_limit, chunk_points=self.max_chunk_points)
