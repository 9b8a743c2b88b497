"""One kind of fault at a time, through the whole pipeline: the copy is exact; or one window fails, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import TransientServiceError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import differences, emulated_points, stored_points

START, END = parse_time("2024-01-01"), parse_time("2024-02-01")
QUICK: dict[str, Any] = {
    "rate": {"requests_per_second": None, "max_in_flight": 2},
    "retry": {"attempts": 5, "deadline": "20s", "first_wait": "1ms", "max_wait": "5ms"},
    "timeouts": {"read": "500ms"},
    "page_limit": 500,
}


def series(count: int) -> dict[str, Any]:
    """Half of the points in the first hour, the rest over the month: some queries take many pages, and so tokens."""
    made = {}
    for number in range(count):
        burst = START + np.arange(1_500) * 2_000_000_000 + number
        rest = START + 7_200 * 10**9 + np.arange(1_500) * 1_700 * 10**9 + number
        times = np.concatenate([burst, rest])
        made[f"tag-{number}"] = (times, np.sin(times / 1e12), 192)
    return made


def job(load: Callable[..., JobConfig], url: str) -> JobConfig:
    return load(url, source=QUICK, max_chunk_points=1_000)


def patient(load: Callable[..., JobConfig], url: str) -> JobConfig:
    """The same with so many attempts that no faults drawn at random, in whatever order threads ask, use them all up."""
    return load(url, source={**QUICK, "retry": {**QUICK["retry"], "attempts": 30}}, max_chunk_points=1_000)


@pytest.mark.parametrize(
    "rule",
    [
        "status=429 count=1 after=2",
        pytest.param("status=429 retry_after=1 count=1 after=2", marks=pytest.mark.long),
        "status=500 rate=0.3",
        "status=502 body=empty rate=0.3",
        "status=502 body=html rate=0.3",
        "status=503 rate=0.3",
        "status=503 retry_after=1 count=1 after=3",
        "status=504 body=html rate=0.3",
        "status=408 rate=0.2",
        "status=200 body=empty rate=0.1",
        "status=200 body=html rate=0.15",
        "reset rate=0.3",
        "truncate rate=0.3",
        "stall=0.8 count=2 after=2",
        "slow=30000 count=2 after=2",
        "garbage rate=0.15",
        "reorder rate=0.5",
        "wrong_total rate=0.15",
        "wrong_total=-7 rate=0.15",
        "repeat_page rate=0.2",
        "repeat_page count=12 after=3",
        "duplicate_page rate=0.8",
        "duplicate_page count=1",
        "bad_token rate=0.5",
        "bad_token",
    ],
)
def test_each_fault_alone_is_survived(
    rule: str, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    # For each 429 the client slows down, and rightly.
    with EmulatorThread(series=series(1 if "429" in rule else 2), arguments=["--seed", "7"]) as emulator:
        emulator.set_faults([f"path=/data {rule}"])
        summary = run_backfill(patient(load, emulator.url), context)
        faults = emulator.stats()["faults_total"]
        expected = emulated_points(emulator, START, END)
    assert faults > 0
    assert summary.status == "complete"
    assert differences(stored_points(tmp_path / "out"), expected) == {}


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("status=404 after=4", "NotFoundError", "404"),
        ("status=403 after=4", "ForbiddenError", "403"),
        ("status=400 after=4", "BadRequestError", "400"),
        ("wrong_total after=1", "IncompleteReadError", "the service counts"),
        ("garbage after=4", "WireFormatError", "page"),
        ("status=500 after=4 count=15", "TransientServiceError", "500"),
    ],
)
def test_a_bad_series_stops_no_other_and_is_tried_again(
    fault: str, error: str, words: str, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=series(3)) as emulator:
        bad = emulator.store.listed().__next__().id
        config = job(load, emulator.url)
        emulator.set_faults([f"path=/{bad}/data {fault}"])
        summary = run_backfill(config, context)
        assert (summary.status, summary.exit_code) == ("incomplete", 1)
        failures = summary.details["failures"]
        assert {series_id for each in failures for series_id in each["series"]} == {bad}
        assert len(failures) == summary.windows_failed
        assert all(START <= each["start_ns"] < each["end_ns"] <= END for each in failures)
        assert {each["error"] for each in failures} == {error}
        assert words in failures[0]["message"]
        expected = emulated_points(emulator, START, END)
        wrong = differences(stored_points(tmp_path / "out"), expected)
        assert set(wrong) == {bad}
        emulator.set_faults([])
        again = run_backfill(config, context)
    assert again.status == "complete"
    assert again.windows_done < summary.windows_done  # the others are not read again
    assert differences(stored_points(tmp_path / "out"), expected) == {}


def test_a_service_that_is_down_ends_the_run_soon_and_loses_nothing(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=series(5)) as emulator:
        config = job(load, emulator.url)
        emulator.set_faults(["path=/data status=503 after=25"])
        with pytest.raises(TransientServiceError, match="503"):
            run_backfill(config, context)
        emulator.set_faults([])
        summary = run_backfill(config, context)
        expected = emulated_points(emulator, START, END)
    assert summary.status == "complete"
    assert summary.windows_skipped > 0
    assert differences(stored_points(tmp_path / "out"), expected) == {}
