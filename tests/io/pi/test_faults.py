"""Faults of a third of all responses: what arrives is exact, or its window is named."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points

START, END = "2024-01-01", "2024-01-03"
PLANT = ["pi", "--synthetic", "mixed:series=12,days=3,step=60s", "--synthetic", "hostile-pi", "--max-items", "3000"]
ACCEPT = ["text_values"]
KINDS = ("status=503", "reset", "truncate", "garbage", "web_exception", "empty", "short", "outside", "left_out")


def is_exact_or_named(summary: Summary, emulator: EmulatorThread, out: Path) -> None:
    truth = Truth.of(emulator.archive, parse_time(START), parse_time(END)).points
    failures = summary.details.get("failures", [])
    named = {series for each in failures for series in each["series"]}
    wrong = differences(stored_points(out), truth)
    assert wrong.keys() <= named
    assert all(series not in stored_points(out) or what for series, what in wrong.items())
    assert summary.status == ("incomplete" if failures else "complete")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_third_of_all_responses_is_damaged(
    kind: str, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread([*PLANT, "--fault", f"path=/recorded rate=0.33 {kind}"]) as emulator:
        config = load(emulator.url, window={"start": START, "end": END}, accept=ACCEPT)
        summary = run_backfill(config, context)
        is_exact_or_named(summary, emulator, tmp_path / "out")


@pytest.mark.long
def test_every_fault_together(load: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> None:
    faults = [word for kind in KINDS for word in ("--fault", f"rate=0.035 {kind}")]
    with EmulatorThread([*PLANT, *faults]) as emulator:
        config = load(emulator.url, window={"start": START, "end": END}, accept=ACCEPT)
        summary = run_backfill(config, context)
        is_exact_or_named(summary, emulator, tmp_path / "out")


@pytest.mark.parametrize("kind", ["empty", "short", "value_errors", "web_exception", "outside"])
def test_a_steady_fault_of_one_series_fails_its_windows_alone(
    kind: str, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(["pi", "--synthetic", "dense:series=3,days=3,step=60s"]) as emulator:
        [point, *_] = emulator.archive.ordered()
        query = urlencode({"path": f"\\\\EMU\\{point.name}"})
        with urllib.request.urlopen(f"{emulator.url}/points?{query}") as response:
            web_id = json.load(response)["WebId"]
        emulator.set_faults([f"path={web_id}/recorded rate=1 {kind}", "path=streamsets rate=1 status=400"])
        config = load(emulator.url, window={"start": "2024-01-02", "end": END})
        summary = run_backfill(config, context)
        stored = stored_points(tmp_path / "out")
        truth = Truth.of(emulator.archive, parse_time("2024-01-02"), parse_time(END)).points
        assert summary.status == "incomplete"
        named = {series for each in summary.details.get("failures", []) for series in each["series"]}
        assert set(differences(stored, truth)) == named == {point.name}
