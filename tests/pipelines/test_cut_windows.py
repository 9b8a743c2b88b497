"""Windows that are read again and hold too much for one chunk by now: their parts lose no stored points unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.timestamps import format_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_migrate
from tests.pipelines.test_destination_check import MINUTE, PARQUET, ROWS, T0, Job, counts, service
from tests.pipelines.test_vanished import LONG, WIDE, held


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def write(job: Job, a: range, b: range, rows: int = ROWS) -> None:
    """Rewrite the file with some cells empty."""
    lines = [
        f"{format_time(T0 + i * 60 * MINUTE)},{f'{i}.5' if i in a else ''},{i if i in b else ''}" for i in range(rows)
    ]
    (job.folder / "in" / "a.csv").write_text("\n".join(["time,a,b", *lines]) + "\n")


@pytest.mark.parametrize("sink", [PARQUET, LONG, WIDE], ids=["parquet", "long", "wide"])
def test_points_of_a_part_go_only_when_that_is_allowed(job: Job, context: RunContext, sink: dict[str, Any]) -> None:
    window = {"window": {"start": "2024-01-20", "end": "2024-02-20"}}
    assert run_migrate(job.load(sink, max_chunk_points=100_000, **window), context).status == "complete"
    write(job, range(40, ROWS), range(ROWS))
    refused = run_migrate(job.load(sink, refresh="31d", max_removed=39, **window), context)
    assert (refused.status, refused.points_removed) == ("incomplete", 0)
    assert any("40 points" in text and "max_removed=40" in text for text in refused.details["incomplete"])
    assert held(job) >= 2 * ROWS
    again = run_migrate(job.load(sink, max_removed=39, **window), context)  # it is no hole that a run fills
    assert (again.status, again.points_removed) == ("incomplete", 0)
    asked = run_migrate(job.load(sink, max_removed=40, **window), context)
    assert (asked.status, asked.points_removed, held(job)) == ("complete", 40, 2 * ROWS - 40)
    assert run_migrate(job.load(sink, **window), context).points_written == 0


@pytest.mark.parametrize("sink", [PARQUET, LONG, WIDE], ids=["parquet", "long", "wide"])
def test_a_series_that_shows_nothing_is_kept_in_every_part(job: Job, context: RunContext, sink: dict[str, Any]) -> None:
    window = {"window": {"start": "2024-01-20", "end": "2024-02-20"}}
    assert run_migrate(job.load(sink, max_chunk_points=100_000, **window), context).status == "complete"
    write(job, range(ROWS), range(0))
    first = run_migrate(job.load(sink, refresh="31d", **window), context)
    assert (first.status, first.points_kept, first.points_removed, held(job)) == ("incomplete", ROWS, 0, 2 * ROWS)
    second = run_migrate(job.load(sink, refresh="31d", **window), context)
    assert (second.status, second.points_kept, held(job)) == ("complete", ROWS, 2 * ROWS)
    gone = run_migrate(job.load(sink, vanished="follow", max_removed=ROWS, **window), context)
    assert (gone.status, gone.points_removed, held(job)) == ("complete", ROWS, ROWS)


def test_a_point_that_left_a_part_stays_in_a_target_service_and_is_named(job: Job, context: RunContext) -> None:
    window = {"window": {"start": "2024-01-20", "end": "2024-02-20"}}
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink, max_chunk_points=100_000, **window), context).status == "complete"
        write(job, range(40, ROWS), range(ROWS))
        for allowed in (39, 40):
            refused = run_migrate(job.load(sink, refresh="31d", max_removed=allowed, **window), context)
            assert (refused.status, refused.points_removed) == ("incomplete", 0)
        assert "40 points that the target holds there" in refused.details["incomplete"][0]
        assert counts(emulator) == [ROWS, ROWS]
        write(job, range(ROWS), range(ROWS))
        whole = run_migrate(job.load(sink, refresh="31d", **window), context)
        assert (whole.status, whole.points_removed, counts(emulator)) == ("complete", 0, [ROWS, ROWS])


def test_a_series_that_shows_nothing_in_a_part_is_kept_in_a_target_service(job: Job, context: RunContext) -> None:
    window = {"window": {"start": "2024-01-20", "end": "2024-02-20"}}
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink, max_chunk_points=100_000, **window), context).status == "complete"
        write(job, range(ROWS), range(0))
        for ended in ("incomplete", "complete"):  # named once
            kept = run_migrate(job.load(sink, refresh="31d", **window), context)
            assert (kept.status, kept.points_kept, kept.points_removed) == (ended, ROWS, 0)
        assert counts(emulator) == [ROWS, ROWS]
