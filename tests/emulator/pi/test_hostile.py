"""The hostile plant, read by plain requests to the last value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from omnia_beam.emulator.pi.events import GOOD, STATE
from omnia_beam.emulator.pi.times import shown_times

from .conftest import Pi

Start = Callable[..., Pi]
LIMIT = 500


def test_every_point_is_served_as_it_is_held(pi: Start) -> None:
    client = pi("--synthetic", "hostile-pi", "--max-items", str(LIMIT), series={})
    points = client.archive.ordered()
    assert len(points) > 35
    for point in points:
        events = client.archive.events(point.name)
        seen = whole(client, point.name)
        assert [item["Timestamp"].encode() for item in seen] == shown_times(events.times).to_pylist()
        assert [item["Good"] for item in seen] == [bool(mark & GOOD) for mark in events.marks.tolist()]
        states = [isinstance(item["Value"], dict) and item["Value"]["IsSystem"] for item in seen]
        assert states == [bool(mark & STATE) for mark in events.marks.tolist()]


def whole(client: Pi, name: str) -> list[dict[str, Any]]:
    """Every value, by stretches of time with fewer values than the limit, and a burst beyond it from both of its ends."""
    path = f"/streams/{client.web_id(name)}/recorded"
    times, counts = np.unique(client.archive.events(name).times, return_counts=True)
    seen: list[dict[str, Any]] = []
    first = 0
    while first < len(times):
        stop = first + max(1, int(np.searchsorted(np.cumsum(counts[first:]), LIMIT)))
        start, end = (time.decode() for time in shown_times(times[[first, stop - 1]]).to_pylist())
        page = client.get(path, startTime=start, endTime=end, maxCount=LIMIT)["Items"]
        if len(page) == LIMIT:  # one time with as many values as a request may return, or more
            backwards = client.get(path, startTime=end, endTime=start, maxCount=LIMIT, boundaryType="Outside")["Items"]
            assert stop == first + 1
            page += backwards[: int(counts[first]) - LIMIT]
        seen += page
        first = stop
    return seen


def test_bursts_stand_below_at_and_above_the_limit(pi: Start) -> None:
    client = pi("--synthetic", "hostile-pi", "--max-items", str(LIMIT), series={})
    for label, size in (("below", LIMIT - 1), ("at", LIMIT), ("above", LIMIT + 1)):
        name = f"hostile-pi-burst-{label}-limit"
        burst = {"startTime": "2024-01-01T00:10:00Z", "endTime": "2024-01-01T00:10:00Z", "maxCount": LIMIT}
        page = client.get(f"/streams/{client.web_id(name)}/recorded", **burst)["Items"]
        assert len(page) == min(size, LIMIT)
        assert len(client.archive.events(name)) == size + 19
    assert len(client.archive.events("hostile-pi-exactly-the-limit")) == LIMIT


def test_what_is_special_about_it(pi: Start) -> None:
    client = pi("--synthetic", "hostile-pi", "--max-items", str(LIMIT), "--now", "2025-06-01T12:00:00Z", series={})
    events = client.archive.events
    assert (np.diff(events("hostile-pi-finer-than-the-grid").times) == 0).any()
    future = events("hostile-pi-future").times
    assert (future > client.emulator.archive.events("hostile-pi-one-value").times[0]).sum() > 0
    ahead = client.recorded("hostile-pi-future", "*", "2030-01-01", maxCount=LIMIT)
    assert 0 < len(ahead) < len(future)
    assert np.signbit(events("hostile-pi-float32").numbers).any()
    [odd] = {item["Value"] for item in client.recorded("hostile-pi-not-numbers", "2024-01-01", "2024-01-01")}
    assert odd == "NaN"
    assert client.archive.named("hostile-pi-old-name") is None
    assert len(events("hostile-pi-recreated")) == 20
    search = client.get("/points/search", query="name:hostile\\-pi\\:colon\\(brackets\\)\\~tilde\\^")
    assert [item["Name"] for item in search["Items"]] == ["hostile-pi:colon(brackets)~tilde^"]
