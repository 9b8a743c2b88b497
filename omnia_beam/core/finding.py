"""One thing that copying would lose or leave out: a line of the loss report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a migration would lose.

    Args:
        name: one of the configuration's FINDINGS.
        series: the source's name or id.
        message: what would be lost, and what can be done about it.
        blocking: whether it stops the run unless accepted.
        points: how many points it is about, where that is known.
        series_id: the source's id, where `series` is a name.
    """

    name: str
    series: str
    message: str
    blocking: bool = True
    points: int | None = None
    series_id: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "finding": self.name,
            "series": self.series,
            "message": self.message,
            "blocking": self.blocking,
            "points": self.points,
        }
