"""The hostile plant, copied whole: compared with the archive, and every loss counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points

START, END = "1968-01-01", "2031-01-01"
ACCEPT = ["text_values"]
STATES = {"I/O Timeout": 8, "bad input": 16, "Shutdown": 28}
TOO_MANY = {"hostile-pi-burst-at-limit", "hostile-pi-burst-above-limit"}


def truth_of(emulator: EmulatorThread, same_time: str = "last") -> Truth:
    states = {"I/O Timeout": 8, "Bad Input": 16, "Shutdown": 28}
    return Truth.of(emulator.archive, parse_time(START), parse_time(END), same_time=same_time, states=states)


@pytest.mark.long
@pytest.mark.parametrize("same_time", ["last", "first", "dead_letter"])
@pytest.mark.parametrize("streams", ["stream", "request"])
@pytest.mark.parametrize("rounding", ["nearest", "none", "down", "up"])
def test_the_hostile_plant_is_copied_exactly(
    same_time: str, streams: str, rounding: str, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    arguments = ["pi", "--synthetic", "hostile-pi", "--max-items", "700", "--streamset-limit", streams]
    arguments += ["--rounding", rounding]
    with EmulatorThread(arguments) as emulator:
        source: dict[str, Any] = {"same_time": same_time, "states": STATES}
        config = load(emulator.url, source=source, window={"start": START, "end": END}, accept=ACCEPT)
        summary = run_backfill(config, context)
        truth = truth_of(emulator, same_time)
        whole = {name: found for name, found in truth.points.items() if name not in TOO_MANY}
        stored = stored_points(tmp_path / "out")
        assert differences(stored, whole) == {}
        lost = {name: points for name, points in truth.same_time.items() if points and name not in TOO_MANY}
        assert summary.details["found"]["same_time"] == lost
        assert summary.details["found"]["text_values"] == {n: t for n, t in truth.texts.items() if t}
        kept = same_time != "dead_letter"
        assert summary.duplicates == (sum(lost.values()) if kept else 0)
        assert summary.dead_letters == (0 if kept else sum(lost.values()))
        assert summary.points_read == summary.points_written == sum(map(len, whole.values()))
        assert summary.status == "incomplete"
        failures = summary.details["failures"]
        assert {name for each in failures for name in each["series"]} == TOO_MANY
        assert all("700 values or more stand at 2024-01-01T00:10:00Z" in each["message"] for each in failures)
