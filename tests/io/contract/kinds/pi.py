"""A PI data server behind PI Web API: the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np

from omnia_beam.emulator.pi.archive import Attributes
from omnia_beam.emulator.pi.events import GOOD, QUESTIONABLE, SUBSTITUTED, Events
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.thread import EmulatorThread
from tests.io.contract.place import Place
from tests.pipelines.conftest import Rows, rows

MARKS: Final = {192: GOOD, 64: GOOD | QUESTIONABLE, 24: GOOD | SUBSTITUTED, 0: 0}
"""What PI knows of a value's quality, by the status that stands for it."""


class PiPlace(Place):
    """A data server that shows 100 ns. It knows four qualities, and one NaN."""

    kind = "pi"
    ends = ("source",)
    grid_ns = 100
    source_changes: ClassVar = {
        "base_url": "http://127.0.0.1:9/other",
        "data_server": "OTHER",
        "credential": {"kind": "default"},
        "resource_id": "r",
        "subscription_key_env": "KEY",
        "ca_bundle": "ca.pem",
        "series": {"search": {"name": "A"}},
        "states": {"Bad Input": 8},
        "same_time": "first",
        "page_limit": 10,
        "counts": False,
        "rate": {"max_in_flight": 2},
        "retry": {"attempts": 2},
        "timeouts": {"read_s": 5},
        "allow_plain_http": True,
    }

    def open(self) -> None:
        self.emulator = EmulatorThread(["pi", "--rounding", "none"]).start()

    def close(self) -> None:
        self.emulator.stop()

    def source(self) -> dict[str, Any]:
        return {
            "kind": "pi",
            "base_url": self.emulator.url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            "page_limit": 3,  # full several times, so that ranges are divided
            "rate": {"requests_per_second": None, "max_in_flight": 4},
        }

    def put(self, points: Mapping[str, Rows]) -> None:
        for name, each in points.items():
            values = np.ascontiguousarray(each["bits"]).view(np.float64)
            marks = np.array([MARKS[status] for status in each["status"].tolist()], np.uint8)
            history = StoredHistory(Events(np.ascontiguousarray(each["time"]), values, marks))
            known = self.emulator.archive.named(name)
            if known is None:
                self.emulator.archive.add(Attributes(name, "Float64"), history)
            else:
                known.history = history

    def forget(self, name: str) -> None:
        self.emulator.archive.remove(self.emulator.archive.named(name))

    def held(self) -> dict[str, Rows]:
        statuses = {marks: status for status, marks in MARKS.items()}
        found = {point.name: self.emulator.archive.events(point.name) for point in self.emulator.archive.ordered()}
        return {
            name: rows(events.times, events.numbers, [statuses[mark] for mark in events.marks.tolist()])
            for name, events in found.items()
        }

    def holds(self, points: Rows) -> Rows:
        plain = points[np.isin(points["status"], list(MARKS)) & (points["time"] % self.grid_ns == 0)].copy()
        plain["bits"][np.isnan(plain["bits"].view(np.float64))] = np.float64("nan").view(np.uint64)
        return plain


PLACE = PiPlace
