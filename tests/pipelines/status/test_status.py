"""Status: from the job's records alone; a service that does not exist is never missed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.config import JobConfig
from omnia_beam.core.chunk import Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import UsageError
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import parse_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.mapping.series_memory import remember_series
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.selection_memory import remember_selection
from omnia_beam.pipelines.status.command import run_status
from omnia_beam.pipelines.status.facts import SeriesCoverage, job_status
from omnia_beam.pipelines.status.page import coverage_bar

NOWHERE = "http://127.0.0.1:1/plant/timeseries/v1.7"
A, B, C = (f"00000000-0000-0000-0000-00000000000{i}" for i in range(3))


@pytest.fixture
def job(load: Callable[..., JobConfig]) -> JobConfig:
    return load(NOWHERE, source={"series": {"ids": [A, B, C]}}, window={"start": "2024-01-01", "end": "2024-01-11"})


def record(job: JobConfig, *receipts: tuple[tuple[str, ...], str, str, int]) -> None:
    """Receipts as a run would leave them: series, first and last day, dead letters; 7 points a series."""
    state_dir, scope = StateDir.open(job.state, job.name), scope_of(job)
    with (
        Lease.acquire(state_dir, LeaseOwner.here("test"), heartbeat=False) as lease,
        LedgerWriter(state_dir, scope, lease.token, clock=lambda: parse_time("2024-02-01T12:00:00Z")) as writer,
    ):
        for ids, start, end, dead_letters in receipts:
            key = ChunkKey(ids, TimeRange.parse(f"2024-01-{start}", f"2024-01-{end}"))
            series = tuple(SeriesReceipt(each, each, 7, None, None, ((192, 7),), "0" * 32) for each in ids)
            writer.append(Receipt(key, scope.sink, series, dead_letters=dead_letters))


def test_a_job_that_never_ran(job: JobConfig, context: RunContext) -> None:
    summary = run_status(job, context).summary.to_json()
    assert (summary["status"], summary["share"], summary["holes"], summary["last_run"]) == ("incomplete", 0.0, 3, 0)
    assert (summary["lease"], summary["last_recorded"]) == ("free", None)
    assert not Path(job.state).exists()  # who looks makes nothing


def test_shares_and_holes(job: JobConfig, context: RunContext) -> None:
    record(job, ((A, B), "01", "06", 0), ((A,), "06", "11", 0), ((B,), "07", "08", 0))
    summary = run_status(job, context).summary.to_json()
    assert summary["share"] == pytest.approx((10 + 6) / 30, abs=1e-6)
    assert (summary["series"], summary["series_incomplete"], summary["holes"]) == (3, 2, 3)
    assert summary["incomplete"] == [
        {
            "series_id": C,
            "share": 0.0,
            "holes": 1,
            "named_holes": [["2024-01-01T00:00:00Z", "2024-01-11T00:00:00Z"]],
        },
        {
            "series_id": B,
            "share": 0.6,
            "holes": 2,
            "named_holes": [
                ["2024-01-06T00:00:00Z", "2024-01-07T00:00:00Z"],
                ["2024-01-08T00:00:00Z", "2024-01-11T00:00:00Z"],
            ],
        },
    ]
    assert (summary["windows_planned"], summary["points_recorded"]) == (3, 28)
    assert summary["last_recorded"].startswith("2024-02-01T12:00:00")


def test_all_is_there(job: JobConfig, context: RunContext) -> None:
    record(job, ((A, B, C), "01", "11", 0))
    summary = run_status(job, context).summary
    assert (summary.status, summary.exit_code, summary.details["share"]) == ("complete", 0, 1.0)


def test_nearly_all_is_not_all(job: JobConfig) -> None:
    record(job, ((A, B, C), "01", "11", 0))
    end = parse_time("2024-01-11") + 1
    later = job.model_copy(update={"window": job.window.model_copy(update={"end": end})})
    status = job_status(later)
    assert status.share < 1
    assert [each.share for each in status.incomplete] == [0.999999] * 3


def test_dead_letters_make_it_incomplete(job: JobConfig, context: RunContext) -> None:
    record(job, ((A, B, C), "01", "11", 3))
    key = ChunkKey((A, B, C), TimeRange.parse("2024-01-01", "2024-01-11"))
    points = Points(np.arange(3), np.full(3, np.nan), np.zeros(3, np.uint32))
    DeadLetterFiles.of(StateDir.open(job.state, job.name)).put(key, [DeadLetter(key, A, A, points, "NaN")])
    summary = run_status(job, context).summary
    assert (summary.status, summary.dead_letters) == ("incomplete", 3)


def test_a_run_that_goes_on_is_told(job: JobConfig) -> None:
    record(job, ((A,), "01", "02", 0))
    with Lease.acquire(StateDir.open(job.state, job.name), LeaseOwner.here("other"), heartbeat=False):
        status = job_status(job)
        assert status.lease.state == "running"
        assert "running: run 2, host " in status.lease.text
    assert job_status(job).lease.state == "free"


def test_a_run_that_died_is_told(job: JobConfig) -> None:
    gone = replace(LeaseOwner.here("gone"), started="1")  # this process's id, and another process
    Lease.acquire(StateDir.open(job.state, job.name), gone, heartbeat=False)
    assert job_status(job).lease.state == "died"


def test_a_search_is_answered_from_the_ledger_and_says_so(load: Callable[..., JobConfig]) -> None:
    job = load(NOWHERE, source={"series": {"ids": [A], "search": {"name": "*"}}})
    record(job, ((B, C), "01", "11", 0))
    status = job_status(job)
    assert status.series == 3
    assert "a search is resolved by the service, which was not called" in status.notes[0]


def searching(load: Callable[..., JobConfig], name: str = "*") -> JobConfig:
    return load(
        NOWHERE, source={"series": {"search": {"name": name}}}, window={"start": "2024-01-01", "end": "2024-01-11"}
    )


def remember(job: JobConfig, *series_ids: str) -> None:
    digest = scope_of(job).digest
    remember_selection(
        StateDir.open(job.state, job.name), job, digest, series_ids, TimeRange.parse("2024-01-01", "2024-01-11")
    )


def test_series_that_a_dead_run_never_came_to_are_missing(load: Callable[..., JobConfig], context: RunContext) -> None:
    job = searching(load)
    record(job, ((B,), "01", "11", 0))
    assert run_status(job, context).summary.status == "complete"  # nothing tells of others
    remember(job, C, A, B)
    summary = run_status(job, context).summary
    assert (summary.status, summary.series) == ("incomplete", 3)
    assert [each.series_id for each in job_status(job).incomplete] == [A, C]
    assert "those of the last run" in job_status(job).notes[0]


def test_what_another_search_found_does_not_count(load: Callable[..., JobConfig]) -> None:
    remember(searching(load, "PT*"), A, B, C)
    job = searching(load)
    record(job, ((B,), "01", "11", 0))
    assert (job_status(job).series, job_status(job).incomplete) == (1, ())


def test_a_damaged_memory_is_left_out(load: Callable[..., JobConfig]) -> None:
    job = searching(load)
    remember(job, A)
    path = Path(job.state) / job.name / "plan" / "selection"
    path.write_bytes(path.read_bytes()[:-5])
    assert job_status(job).series == 0


def test_another_configuration_is_told(job: JobConfig, load: Callable[..., JobConfig]) -> None:
    record(job, ((A, B, C), "01", "11", 0))
    other = load(NOWHERE, source={"series": {"ids": [A]}, "status": [192]})
    status = job_status(other)
    assert (status.windows, len(status.incomplete)) == (0, 1)
    assert "statuses was all, is now 192" in status.notes[0]


def test_without_an_end_it_reaches_as_far_as_the_last_run(load: Callable[..., JobConfig]) -> None:
    job = load(NOWHERE, source={"series": {"ids": [A]}}, window={"start": "2024-01-01"})
    record(job, ((A,), "01", "05", 0))
    assert job_status(job).wanted == TimeRange.parse("2024-01-01", "2024-01-05")


def test_files_without_a_window_and_without_a_run(load: Callable[..., JobConfig]) -> None:
    job = load(NOWHERE).model_copy(update={"window": None})
    with pytest.raises(UsageError, match="window: give one"):
        job_status(job)


def test_the_table_for_people(job: JobConfig, context: RunContext) -> None:
    record(job, ((A, B), "01", "06", 0))
    wide = io.StringIO()
    run_status(job, replace(context, out=Console(file=wide, width=160))).render()
    text = wide.getvalue()
    assert "33.33%, 3 holes in 3 series" in text
    assert f"{C}  {'·' * 24}  0.00%    1      [2024-01-01T00:00:00Z, 2024-01-11T00:00:00Z)" in text
    assert f"{A}  {'█' * 12}{'·' * 12}  50.00%   1      [2024-01-06T00:00:00Z, 2024-01-11T00:00:00Z)" in text
    assert text.startswith(
        "job: 33.33% of 3 series, 2024-01-01 to 2024-01-11 is copied; 3 holes in 3 series.\nRun the job again"
    )
    assert text.index("33.33%, 3 holes") < text.index(C) < text.index(A)


def test_names_stand_before_ids_and_whole_series_have_bars_too(job: JobConfig, context: RunContext) -> None:
    record(job, ((A, B), "01", "11", 0))
    remember_series(StateDir.open(job.state, job.name), [Timeseries(A, "27-PT-1001", "1"), Timeseries(C, "alarm", "1")])
    shown = io.StringIO()
    result = run_status(job, replace(context, out=Console(file=shown, width=200)))
    result.render()
    text = shown.getvalue()
    assert re.search(rf"alarm \({C}\) +{'·' * 24}  0.00%", text)
    assert re.search(rf"27-PT-1001 \({A}\) +{'█' * 24}  100%", text)
    assert text.index("alarm") < text.index("27-PT-1001") > 0
    assert result.summary.to_json()["incomplete"][0]["name"] == "alarm"


@pytest.mark.parametrize(
    ("holes", "bar"),
    [
        ([], "████"),
        ([(0, 100)], "····"),
        ([(0, 25), (99, 100)], "·██▒"),
        ([(24, 51)], "▒·▒█"),
        ([(0, 1), (26, 27), (50, 75)], "▒▒·█"),
    ],
)
def test_a_bar_shows_only_whole_cells_as_covered(holes: list[tuple[int, int]], bar: str) -> None:
    found = SeriesCoverage("a", TimeRange(0, 100), TimeRangeSet(TimeRange(*each) for each in holes))
    assert coverage_bar(found, 4) == bar


def test_a_bar_of_less_time_than_cells() -> None:
    assert coverage_bar(SeriesCoverage("a", TimeRange(0, 2), TimeRangeSet()), 4) == "████"
    assert "█" not in coverage_bar(SeriesCoverage("a", TimeRange(0, 2), TimeRangeSet([TimeRange(0, 2)])), 4)
    assert coverage_bar(SeriesCoverage("a", TimeRange(5, 5), TimeRangeSet()), 4) == ""


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """The command line sets the root logger up; give it back."""
    import logging

    root, ours = logging.getLogger(), logging.getLogger("omnia_beam")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.usefixtures("quiet_logging")
def test_the_command(job: JobConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(job, ((A, B, C), "01", "11", 0))
    assert main(["status", str(tmp_path / "job.yaml"), "--json"]) == 0
    assert '"share": 1.0' in capsys.readouterr().out.splitlines()[-1]
    assert main(["status", str(tmp_path / "job.yaml"), "--end", "2024-02-01"]) == 1
    assert "holes in 3 series" in capsys.readouterr().out
