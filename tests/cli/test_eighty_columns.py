"""A terminal of 80 columns cuts no id, no time and no fact."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from rich.console import Console

from omnia_beam.beam.progress_bar import draw_bar
from omnia_beam.core.series import Timeseries
from omnia_beam.core.summary import ProgressFacts
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.pipelines.plan import windows_table
from omnia_beam.pipelines.series_list import series_table
from omnia_beam.pipelines.status.facts import SeriesCoverage
from omnia_beam.pipelines.status.page import coverage_table
from omnia_beam.plan.plan import Plan

IDS = tuple(f"{number:08d}-0000-0000-0000-000000000000" for number in range(3))
WANTED = TimeRange.parse("2024-01-01", "2024-01-31")
SERIES = [
    Timeseries(each, f"1191-PT-10{at}", "1191", unit="bar", description="Pressure, gas lift manifold")
    for at, each in enumerate(IDS)
]


def screen(width: int) -> Console:
    return Console(file=StringIO(), width=width, force_terminal=True, no_color=True, legacy_windows=False)


def shown(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("width", "described"), [(70, ""), (80, "Pressure, ga…"), (120, "Pressure, gas lift manifold")]
)
def test_series_are_listed_with_whole_ids_and_names(width: int, described: str) -> None:
    console = screen(width)
    console.print(series_table(SERIES, width))
    for each in SERIES:
        (line,) = (line for line in shown(console).splitlines() if each.id in line)
        assert each.name in line
        assert described in line
    assert ("description" in shown(console)) is bool(described)


def test_a_plan_shows_whole_times_and_numbers() -> None:
    window = Window(ChunkKey(IDS, TimeRange.parse("2024-01-01", "2024-01-02T12:00Z")), 12_345_678, 1_234)
    console = screen(80)
    console.print(windows_table(Plan.of_windows([window]), {each.id: each.name for each in SERIES}))
    for text in ("2024-01-01T00:00Z", "2024-01-02T12:00Z", "12,345,678", "1234", "1191-PT-100"):
        assert text in shown(console)


@pytest.mark.parametrize("width", [80, 200])
def test_progress_shows_what_holds_a_run_up(width: int) -> None:
    facts = ProgressFacts(
        windows=1, windows_total=13, points=5_000_000, points_expected=10_000_000, source_s=9.0, decode_s=1.0, retries=1
    )
    console = screen(width)
    done = threading.Event()
    done.set()
    draw_bar(lambda: facts, done, console, lambda: 1.0, passing=False)
    assert "1/13 windows" in shown(console)
    assert "ETA" in shown(console)
    assert "bottleneck source" in shown(console)
    assert ("━" in shown(console)) is (width == 200)


def coverage(number: int, holes: TimeRangeSet) -> SeriesCoverage:
    return SeriesCoverage(IDS[number], WANTED, holes, f"1191-PT-10{number}")


def test_status_shows_bars_and_where_the_first_hole_begins() -> None:
    hole = TimeRangeSet([TimeRange.parse("2024-01-11", "2024-01-21")])
    rows = [coverage(0, hole), coverage(1, TimeRangeSet())]
    narrow, wide = screen(80), screen(200)
    narrow.print(coverage_table(rows, WANTED, width=80))
    wide.print(coverage_table(rows, WANTED, width=200))
    bar = "████████········████████"
    for text in ("1191-PT-100", bar, "66.66%", "from 2024-01-11T00:00:00Z", "█" * 24):
        assert text in shown(narrow), shown(narrow)
    assert "…" not in shown(narrow)
    for text in (f"1191-PT-100 ({IDS[0]})", bar, "[2024-01-11T00:00:00Z, 2024-01-21T00:00:00Z)"):
        assert text in shown(wide)
    whole = screen(80)
    whole.print(coverage_table(rows[1:], WANTED, width=80))
    assert "hole" not in shown(whole)
