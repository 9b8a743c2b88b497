"""Sources that shrink: what becomes of stored points that the source no longer shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from omnia_beam.beam.context import RunContext
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.conftest import stored_points
from tests.pipelines.test_destination_check import MINUTE, PARQUET, T0, Job, counts, service

LONG = {"kind": "csv", "path": "out"}
WIDE = {"kind": "csv", "path": "out", "layout": "wide"}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def held(job: Job) -> int:
    """Points at the destination, whatever its form."""
    folder = job.folder / "out"
    count = sum(len(each) for each in stored_points(folder).values())
    for each in folder.rglob("month=*/*.csv"):
        header, *lines = each.read_text().splitlines()
        wide = "series_id" not in header
        count += sum(sum(bool(cell) for cell in line.split(",")[1:]) if wide else 1 for line in lines)
    return count


@pytest.mark.long
@pytest.mark.parametrize("sink", [PARQUET, LONG, WIDE])
@pytest.mark.parametrize("chunk", [100, 100_000])
def test_an_archived_file_is_kept_named_once_and_removed_when_asked(
    job: Job, context: RunContext, sink: dict[str, Any], chunk: int
) -> None:
    keys = {"max_chunk_points": chunk}
    job.rows("b.csv", 1_000, 1_050)
    assert run_migrate(job.load(sink, **keys), context).status == "complete"
    (job.folder / "in" / "b.csv").unlink()
    first = run_migrate(job.load(sink, **keys), context)
    assert (first.status, first.points_kept, held(job)) == ("incomplete", 100, 700)
    job.rows("c.csv", 2_000, 2_001)
    for _ in range(2):
        later = run_migrate(job.load(sink, **keys), context)
        assert (later.status, later.points_kept, held(job)) == ("complete", 100, 702)
        assert any("100 points" in text for text in later.warnings)
    gone = run_migrate(job.load(sink, **keys, vanished="follow"), context)
    assert (gone.status, gone.points_removed, gone.points_kept, held(job)) == ("complete", 100, 0, 602)


def test_verify_counts_kept_points_and_finds_no_difference(job: Job, context: RunContext) -> None:
    job.rows("b.csv", 150, 160)
    config = job.load(PARQUET, window={"start": "2024-01-01", "end": "2024-12-31"}, max_chunk_points=100_000)
    job.rows("c.csv", 1_000, 1_050)
    (job.folder / "in" / "c.csv").write_text((job.folder / "in" / "c.csv").read_text().replace("time,a,b", "time,a,z"))
    assert run_migrate(config, context).status == "complete"
    (job.folder / "in" / "c.csv").unlink()
    assert run_migrate(config, context).status == "incomplete"
    for source in (False, True):
        found = run_verify(config, context, source=source)
        assert (found.status, found.points_kept, found.details["differences"]) == ("complete", 100, 0)
    files = [each for each in job.files() if each.suffix == ".parquet"]
    files[0].unlink()
    assert run_verify(config, context, source=True).status == "incomplete"


def test_a_file_that_comes_back_is_no_longer_kept(job: Job, context: RunContext) -> None:
    job.rows("b.csv", 1_000, 1_050)
    assert run_migrate(job.load(PARQUET), context).status == "complete"
    (job.folder / "in" / "b.csv").unlink()
    assert run_migrate(job.load(PARQUET), context).status == "incomplete"
    job.rows("b.csv", 1_000, 1_050)
    summary = run_migrate(job.load(PARQUET), context)
    assert (summary.status, summary.points_kept, held(job)) == ("complete", 0, 700)


def test_a_column_that_is_gone_is_kept(job: Job, context: RunContext) -> None:
    assert run_migrate(job.load(PARQUET), context).status == "complete"
    lines = (job.folder / "in" / "a.csv").read_text().splitlines()
    (job.folder / "in" / "a.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    summary = run_migrate(job.load(PARQUET), context)
    assert (summary.status, summary.points_kept, held(job)) == ("incomplete", 300, 600)
    assert run_migrate(job.load(PARQUET), context).status == "complete"


def test_a_log_that_is_begun_anew_keeps_what_it_held(job: Job, context: RunContext) -> None:
    window = {"window": {"start": "2024-01-01", "end": "2024-12-31"}, "max_chunk_points": 100_000}
    assert run_migrate(job.load(PARQUET, **window), context).status == "complete"
    job.rows("a.csv", 400, 450)
    summary = run_migrate(job.load(PARQUET, **window), context)
    assert (summary.status, summary.points_kept, held(job)) == ("incomplete", 600, 700)


@pytest.mark.parametrize("sink", [PARQUET, LONG])
def test_a_file_that_is_cut_short_is_followed_as_far_as_may_be(
    job: Job, context: RunContext, sink: dict[str, Any]
) -> None:
    assert run_migrate(job.load(sink, max_chunk_points=100_000), context).status == "complete"
    job.rows("a.csv", 0, 250)
    job_keys = {"max_chunk_points": 100_000, "max_removed": 99}
    for _ in range(2):
        refused = run_migrate(job.load(sink, **job_keys), context)
        assert (refused.status, refused.points_removed, held(job)) == ("incomplete", 0, 600)
        assert "--set max_removed=100" in refused.details["incomplete"][0]
    summary = run_migrate(job.load(sink, **{**job_keys, "max_removed": 100}), context)
    assert (summary.status, summary.points_removed, held(job)) == ("complete", 100, 500)
    assert "100 points" in summary.warnings[0]


def test_a_service_that_answers_nothing_is_not_believed_once(
    job_file: Any, load: Any, context: RunContext, tmp_path: Path
) -> None:
    times = T0 + np.arange(50) * MINUTE
    with EmulatorThread(series={"a": (times, np.arange(50.0)), "b": (times, np.arange(50.0))}) as emulator:
        config = load(emulator.url, refresh="31d")
        assert run_backfill(config, context).status == "complete"
        before = stored_points(tmp_path / "out")
        for each in emulator.store.listed():
            each.delete(T0, T0 + 60 * MINUTE)
        first = run_backfill(config, context)
        assert (first.status, first.points_kept) == ("incomplete", 100)
        later = run_backfill(config, context)
        assert (later.status, later.points_kept) == ("complete", 100)
        after = stored_points(tmp_path / "out")
        assert {name: rows.tolist() for name, rows in after.items()} == {n: r.tolist() for n, r in before.items()}


def test_a_target_service_loses_what_a_cut_file_no_longer_holds(job: Job, context: RunContext) -> None:
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink), context).status == "complete"
        job.rows("a.csv", 0, 290)
        summary = run_migrate(job.load(sink), context)
        assert (summary.status, summary.points_removed, counts(emulator)) == ("complete", 20, [290, 290])


@pytest.mark.parametrize("beside", [10, 250], ids=["in its place", "elsewhere"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_target_service_loses_a_point_where_another_one_came(
    job: Job, context: RunContext, beside: int, workers: int
) -> None:
    file = job.folder / "in" / "a.csv"
    with EmulatorThread() as emulator:
        config = job.load(service(emulator.url), workers=workers)
        assert run_migrate(config, context).status == "complete"
        header, *rows = file.read_text().splitlines()
        rows.append(rows[beside].replace(":00:00Z", ":30:00Z"))
        del rows[10]
        file.write_text("\n".join([header, *sorted(rows)]) + "\n")
        summary = run_migrate(config, context)
        assert (summary.status, summary.points_removed, len(summary.warnings)) == ("complete", 2, 1)
        wanted = sorted(parse_time(row.split(",")[0]) for row in rows)
        for each in emulator.store.listed():
            assert each.source.read(0, each.source.count()).times.tolist() == wanted
        assert run_migrate(config, context).points_written == 0


def test_what_cannot_be_compared_with_a_target_service_is_not_written(job: Job, context: RunContext) -> None:
    file = job.folder / "in" / "a.csv"
    with EmulatorThread() as emulator:
        config = job.load(service(emulator.url, retry={"attempts": 1}))
        assert run_migrate(config, context).status == "complete"
        file.write_text(file.read_text().replace(",10.5,", ",11.5,"))
        requests.post(f"{emulator.url}/_emulator/faults", json=["path=/query/data status=503 count=1"], timeout=10)
        refused = run_migrate(config, context)
        assert (refused.status, refused.windows_done) == ("incomplete", refused.windows_planned - 1)
        assert "could not be read" in refused.details["incomplete"][0]
        requests.post(f"{emulator.url}/_emulator/faults", json=[], timeout=10)
        assert run_migrate(config, context).status == "complete"
        points = next(iter(emulator.store.listed())).source.read(0, 20)
        assert points.values[10] == 11.5


def test_a_corrected_value_in_a_target_service_removes_nothing(job: Job, context: RunContext) -> None:
    file = job.folder / "in" / "a.csv"
    with EmulatorThread() as emulator:
        config = job.load(service(emulator.url))
        assert run_migrate(config, context).status == "complete"
        file.write_text(file.read_text().replace(",10.5,", ",11.5,"))
        summary = run_migrate(config, context)
        assert (summary.status, summary.points_removed, summary.warnings) == ("complete", 0, ())
        assert counts(emulator) == [300, 300]


def test_a_target_service_keeps_what_an_archived_file_held(job: Job, context: RunContext) -> None:
    job.rows("b.csv", 1_000, 1_050)
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink), context).status == "complete"
        (job.folder / "in" / "b.csv").unlink()
        first = run_migrate(job.load(sink), context)
        assert (first.status, first.points_kept, counts(emulator)) == ("incomplete", 100, [350, 350])
        later = run_migrate(job.load(sink), context)
        assert (later.status, later.points_kept, counts(emulator)) == ("complete", 100, [350, 350])
