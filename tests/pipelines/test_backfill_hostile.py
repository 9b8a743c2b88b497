"""Everything that has broken a reader of time series before, through the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import differences, emulated_points, stored_points

HOSTILE = ["--synthetic", "hostile:series=1"]


@pytest.mark.parametrize(
    ("end_time", "limit_scope"),
    [("exclusive", "item"), pytest.param("inclusive", "answer", marks=pytest.mark.long)],
)
def test_the_whole_catalogue_is_exact(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path, end_time: str, limit_scope: str
) -> None:
    with EmulatorThread([*HOSTILE, "--end-time", end_time, "--limit-scope", limit_scope]) as emulator:
        config = load(emulator.url, window={"start": "1890-01-01", "end": "2210-01-01"}, max_chunk_points=300_000)
        summary = run_backfill(config, context)
        expected = emulated_points(emulator, parse_time("1890-01-01"), parse_time("2210-01-01"))
    assert summary.status == "complete"
    assert max(map(len, expected.values())) >= 1_000_000
    assert differences(stored_points(tmp_path / "out"), expected) == {}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-03-01T00:00:00.000000100Z", "2024-03-01T00:00:00.000100099Z"),
        ("1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00.000000003Z"),
        ("2023-12-01", "2024-01-01"),
    ],
)
@pytest.mark.parametrize("end_time", ["exclusive", "inclusive"])
def test_windows_that_end_on_points_and_between_ticks(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path, start: str, end: str, end_time: str
) -> None:
    with EmulatorThread([*HOSTILE, "--end-time", end_time]) as emulator:
        config = load(emulator.url, window={"start": start, "end": end}, source={"page_limit": 100})
        summary = run_backfill(config, context)
        expected = emulated_points(emulator, parse_time(start), parse_time(end))
    assert summary.status == "complete"
    assert expected
    assert differences(stored_points(tmp_path / "out"), expected) == {}
