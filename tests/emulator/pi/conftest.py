"""Emulated PI Web APIs on a thread, and a client that asks them by plain requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from omnia_beam.emulator.pi.archive import Archive
from omnia_beam.emulator.pi.events import ANNOTATED, GOOD, QUESTIONABLE, SUBSTITUTED, State
from omnia_beam.emulator.thread import EmulatorThread

SECOND = 1_000_000_000
BASE = 1_700_000_000 * SECOND  # 2023-11-14T22:13:20Z


def at(seconds: float) -> int:
    return BASE + int(seconds * SECOND)


KNOWN: dict[str, Any] = {
    "STEADY": {
        "point_type": "Float64",
        "units": "bar",
        "descriptor": "A pressure",
        "values": [(at(n), n * 0.5) for n in range(2500)],
    },
    "SHARED TIMES": {"values": [(at(n // 3), float(n)) for n in range(30)]},
    "STATES": {
        "values": [
            (at(0), 1.5),
            (at(1), State("I/O Timeout")),
            (at(1), 246.0),
            (at(2), 2.5, GOOD | QUESTIONABLE),
            (at(3), 3.5, GOOD | SUBSTITUTED),
            (at(4), 4.5, GOOD | ANNOTATED),
            (at(5), State("Shutdown"), QUESTIONABLE),
        ]
    },
    "PUMP": {
        "point_type": "Digital",
        "states": {0: "Stopped", 1: "Running"},
        "values": [(at(0), 0), (at(1), 1), (at(2), State("No Data")), (at(3), 9)],
    },
    "COUNT": {"point_type": "Int32", "values": [(at(0), 2**31 - 1), (at(1), -7)]},
    "NOTE": {
        "point_type": "String",
        "values": [(at(0), "plain"), (at(1), 'a "quote"\næ'), (at(2), State("Bad Input"))],
    },
    "WHEN": {"point_type": "Timestamp", "values": [(at(0), "2024-02-29T12:00:00Z")]},
    "AHEAD": {"future": True, "values": [(4_000_000_000 * SECOND, 1.0)]},
    "EMPTY": {},
}


class Pi:
    """A client of one emulator, for what tests ask most."""

    def __init__(self, emulator: EmulatorThread) -> None:
        self.emulator = emulator
        self.session = requests.Session()
        self.session.trust_env = False

    @property
    def url(self) -> str:
        return self.emulator.url

    @property
    def archive(self) -> Archive:
        return self.emulator.archive

    def ask(self, where: str, /, method: str = "GET", json: Any = None, **query: Any) -> requests.Response:
        return self.session.request(method, self.url + where, params=query, json=json, timeout=30)

    def get(self, where: str, /, **query: Any) -> Any:
        response = self.ask(where, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, where: str, status: int, /, method: str = "GET", json: Any = None, **query: Any) -> str:
        """The first error of a refused request."""
        response = self.ask(where, method, json, **query)
        assert response.status_code == status, response.text
        body = response.json()
        return str(body["Errors"][0] if "Errors" in body else body["Message"])

    @property
    def server(self) -> str:
        return str(self.get("/dataservers")["Items"][0]["WebId"])

    def web_id(self, name: str) -> str:
        return str(self.get("/points", path=f"\\\\EMU\\{name}")["WebId"])

    def recorded(self, name: str, start: Any, end: Any, **query: Any) -> list[dict[str, Any]]:
        items = self.get(f"/streams/{self.web_id(name)}/recorded", startTime=start, endTime=end, **query)["Items"]
        return list(items)

    def write(self, name: str, rows: list[tuple[str, Any]], **query: Any) -> requests.Response:
        body = [{"Timestamp": time, "Value": value} for time, value in rows]
        return self.ask(f"/streams/{self.web_id(name)}/recorded", "POST", body, **query)


@pytest.fixture
def pi() -> Iterator[Callable[..., Pi]]:
    """Starts emulators with these arguments, by default with the known points; ends them after the test."""
    started: list[Pi] = []

    def start(*arguments: str, series: Any = KNOWN) -> Pi:
        client = Pi(EmulatorThread(["pi", *arguments], series=series).start())
        started.append(client)
        return client

    yield start
    for client in started:
        client.session.close()
        client.emulator.stop()
