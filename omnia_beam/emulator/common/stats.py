"""Counts of what has happened so far, for `GET <url>/_emulator/stats`."""

from __future__ import annotations

import weakref
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Stats:
    """Counts since the start. The emulator's own endpoints are not counted."""

    requests: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: Counter[str] = field(default_factory=Counter)
    points_served: int = 0
    points_written: int = 0
    points_deleted: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    _seen: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)

    def entered(self, connection: Any) -> None:
        """Count a request that has come on this connection."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if connection is not None and connection not in self._seen:
            self._seen.add(connection)
            self.connections += 1

    def left(self, route: str, outcome: str) -> None:
        """Count the end of a request; the outcome is a status, `reset`, `client_left` or `aborted`."""
        self.in_flight -= 1
        self.requests[route][outcome] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the object that the endpoint sends. `requests` is keyed by route, then by status."""
        by_status: Counter[str] = Counter()
        for outcomes in self.requests.values():
            by_status.update(outcomes)
        return {
            "requests": {route: dict(outcomes) for route, outcomes in sorted(self.requests.items())},
            "requests_total": by_status.total(),
            "requests_by_status": dict(sorted(by_status.items())),
            "faults": dict(sorted(self.faults.items())),
            "faults_total": self.faults.total(),
            "points_served": self.points_served,
            "points_written": self.points_written,
            "points_deleted": self.points_deleted,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
        }
