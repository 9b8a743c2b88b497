"""Sensor files through the emulator and back: point by point, bit for bit, whichever way the unknowns turn out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import Rows, differences, rows, stored_points

# The Skoltech Anomaly Benchmark, where a copy stands beside this checkout: it is not ours to ship.
SKAB = Path(__file__).parents[2].parent / "shared" / "data" / "skab"

BOTH_WAYS = list(product(("exclusive", "inclusive"), ("item", "answer"), ("protobuf", "json")))
FIRST_AND_LAST = (BOTH_WAYS[0], BOTH_WAYS[-1])
"""They differ in everything: with them alone a run of the tests stays short. `make test-long` has the others."""


def read_plainly(files: list[Path]) -> dict[str, Rows]:
    """Wide `;`-separated files by the standard library alone: the later row wins."""
    series: dict[str, dict[int, float]] = {}
    for file in files:
        with file.open(newline="") as text:
            lines = csv.reader(text, delimiter=";")
            names = next(lines)[1:]
            for row in lines:
                moment = datetime.fromisoformat(row[0]).replace(tzinfo=UTC)
                time_ns = int(moment.timestamp()) * 1_000_000_000
                for name, cell in zip(names, row[1:], strict=True):
                    series.setdefault(name, {})[time_ns] = float(cell)
    return {
        series_id("EMU", name): rows(list(points), list(points.values()), [192] * len(points))
        for name, points in series.items()
    }


def make_sample(folder: Path) -> list[Path]:
    """Files like those of a test bed: 1 Hz, gaps of minutes and weeks, files that overlap and disagree."""
    starts = ["2020-02-08 13:30:47", "2020-03-01 15:44:06", "2020-03-01 15:50:00", "2020-03-09 10:14:33"]
    for number, start in enumerate(starts):
        first = datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()
        lines = ["datetime;Pressure;Volume Flow RateRMS"]
        for i in range(900):
            at = first + i + (120 if i > 500 else 0)
            moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
            lines.append(f"{moment};{(i * 7 + number) % 13 * 0.1 - 0.05:.6g};{(i + number) / 3!r}")
        (folder / f"run_{number}.csv").write_text("\n".join(lines) + "\n")
    return sorted(folder.glob("*.csv"))


def check_backfill(
    files: list[Path],
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    way: tuple[str, str, str],
) -> None:
    end_time, limit_scope, format = way
    expected = read_plainly(files)
    arguments = ["--data", *map(str, files), "--end-time", end_time, "--limit-scope", limit_scope]
    with EmulatorThread(arguments) as emulator:
        config = load(
            emulator.url,
            source={"format": format, "page_limit": 5_000},
            window={"start": "2020-01-01", "end": "2020-04-01"},
            max_chunk_points=20_000,
        )
        summary = run_backfill(config, context)
        again = run_backfill(config, context)
    assert differences(stored_points(tmp_path / "out"), expected) == {}
    assert summary.status == "complete"
    assert summary.points_written == sum(map(len, expected.values()))
    assert (again.windows_done, again.points_written) == (0, 0)
    assert again.windows_skipped >= 1


@pytest.mark.parametrize("way", BOTH_WAYS, ids="-".join)
def test_a_sample_arrives_bit_for_bit(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path, way: tuple[str, str, str]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    check_backfill(make_sample(folder), load, context, tmp_path, way)


@pytest.mark.skipif(not SKAB.is_dir(), reason="the SKAB files do not stand beside this checkout")
@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=() if way in FIRST_AND_LAST else pytest.mark.long, id="-".join(way)) for way in BOTH_WAYS],
)
def test_the_pump_test_bed_arrives_bit_for_bit(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path, way: tuple[str, str, str]
) -> None:
    files = sorted(SKAB.glob("*.csv"))
    assert len(files) == 35
    check_backfill(files, load, context, tmp_path, way)
