"""Runs that die, a server that goes away, a backend that is terminated: in the end every point is there once, and no other."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady

POINTS = 3_000
WINDOW_POINTS = 200
COMMIT_POINTS = 400


def start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "omnia_beam", "migrate", str(path), "--quiet"]
    return subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def count(database: Database) -> int:
    if not database.run("select to_regclass('points') is not null")[0][0]:
        return 0
    return int(database.run("select count(*) from points")[0][0])


def slowed(database: Database) -> None:
    """Each statement that fills the table takes a moment more, so that a kill meets every step of it."""
    database.run(
        "create table points (series_id text not null, time timestamptz not null, value double precision not null, \
        status bigint, primary key (series_id, time))"
    )
    database.run(
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return null; end $$"
    )
    database.run("create trigger slow after insert on points for each statement execute function wait()")


def during(
    database: Database,
    path: Path,
    rows: int,
    act: Callable[[subprocess.Popen[bytes]], None],
    held: Callable[[Database], int] = count,
) -> int:
    """Start the command, act when the table holds so many rows, and return the command's exit code."""
    process = start(path)
    while process.poll() is None and held(database) < rows:
        time.sleep(0.01)
    if process.poll() is None:
        act(process)
    return process.wait(100)


@pytest.mark.services
@pytest.mark.soak
def test_killed_ten_times_and_started_again(database: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady(["a", "b", "c"], POINTS)
    keys = {"max_chunk_points": WINDOW_POINTS}
    path = jobs.write(jobs.csv(points), database.sink(commit_points=COMMIT_POINTS), **keys)
    slowed(database)
    chance = random.Random(7)

    def kill(process: subprocess.Popen[bytes]) -> None:
        time.sleep(chance.random() / 10)
        os.kill(process.pid, signal.SIGKILL)

    killed = 0
    for at in range(10):
        killed += during(database, path, at * 3 * POINTS // 11 + 1, kill) == -signal.SIGKILL
    assert killed == 10
    database.run("drop trigger slow on points")
    summary = run_migrate(jobs.job(jobs.csv(points), database.sink(commit_points=COMMIT_POINTS), **keys), context)
    assert summary.status == "complete"
    assert database.rows() == as_rows(points)
    planted_and_repaired(
        database, jobs.job(jobs.csv(points), database.sink(commit_points=COMMIT_POINTS), **keys), context
    )
    assert database.rows() == as_rows(points)


def planted_and_repaired(database: Database, job: JobConfig, context: RunContext) -> None:
    """One value is changed by its last bit, one row is lost, one is new: verify finds three, and its repair leaves none."""
    database.run("update points set value = value * (1 + 2.220446049250313e-16) where series_id = 'b' and value > 2999")
    database.run("delete from points where series_id = 'a' and time = '2024-01-01 00:10Z'")
    database.run("insert into points values ('c', '2024-01-01 00:10:00.5Z', 0, 192)")
    assert run_verify(job, context).details["differences"] == 3
    repaired = run_verify(job, context, repair=True)
    assert (repaired.status, run_verify(job, context).status) == ("complete", "complete")


@pytest.mark.services
@pytest.mark.soak
def test_killed_while_everything_is_written_again(database: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady(["a", "b", "c"], POINTS)
    keys = {"max_chunk_points": WINDOW_POINTS}
    sink = database.sink(commit_points=COMMIT_POINTS)
    slowed(database)
    assert run_migrate(jobs.job(jobs.csv(points), sink, **keys), context).status == "complete"
    # Other values and statuses, every tenth point gone, and one between each two of the rest.
    now = {
        name: [
            (ns + half, -value, 64) for at, (ns, value, _) in enumerate(rows) if at % 10 for half in (0, 500_000_000)
        ]
        for name, rows in points.items()
    }
    path = jobs.write(jobs.csv(now), sink, max_removed="50%", **keys)

    def written(database: Database) -> int:
        return int(database.run("select count(*) from points where status = 64")[0][0])

    killed = 0
    for at in range(5):
        killed += during(database, path, at * 900 + 1, subprocess.Popen.kill, written) == -signal.SIGKILL
    assert killed == 5
    database.run("drop trigger slow on points")
    summary = run_migrate(jobs.job(jobs.csv(now), sink, max_removed="50%", **keys), context)
    assert summary.status == "complete"
    assert database.rows() == as_rows(now)


@pytest.mark.services
@pytest.mark.long
def test_a_run_goes_on_after_the_server_restarted_and_after_its_backend_was_terminated(
    database: Database, jobs: Jobs
) -> None:
    points = steady(["a", "b", "c"], POINTS)
    path = jobs.write(jobs.csv(points), database.sink(commit_points=COMMIT_POINTS), max_chunk_points=WINDOW_POINTS)
    slowed(database)

    def disturb(process: subprocess.Popen[bytes]) -> None:
        for rows, act in ((0, database.server.restart), (3_000, terminate), (6_000, database.server.restart)):
            while process.poll() is None and count(database) < rows:
                time.sleep(0.01)
            assert process.poll() is None
            act()

    def terminate() -> None:
        found = database.run(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'omnia-beam' and datname = %s",
            (database.name,),
        )
        assert found[0][0] >= 1

    assert during(database, path, 1, disturb) == 0
    assert database.rows() == as_rows(points)


def test_a_server_that_goes_away_for_good_leaves_an_incomplete_run_and_the_next_one_finishes(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for it is cut short: the two minutes are a constant."""
    from omnia_beam.io.postgresql import failure, transaction

    monkeypatch.setattr(failure, "RETRY_S", 0.3)
    points = steady("ab", 1_000)
    job = jobs.job(jobs.csv(points), database.sink(commit_points=200), max_chunk_points=100)
    commit = transaction.TableWriter.write
    written = 0

    def write(self: transaction.TableWriter, windows: object) -> None:
        nonlocal written
        written += 1
        if written == 4:
            database.server.stop()
        commit(self, windows)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(transaction.TableWriter, "write", write)
    try:
        with pytest.raises(OmniaBeamError, match=r"127\.0\.0\.1"):  # the look at the end finds nobody either
            run_migrate(job, context)
    finally:
        database.server.start()
    assert 0 < count(database) < 2_000
    assert run_migrate(job, context).status == "complete"
    assert database.rows() == as_rows(points)


class Dead(BaseException):
    """The process is gone between the commit and the receipt."""


def test_what_a_dead_run_committed_without_a_receipt_goes_before_the_source_is_read_again(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnia_beam.ledger import writer

    points = steady("ab", 100)
    with monkeypatch.context() as patched:
        patched.setattr(writer.LedgerWriter, "append", lambda *args, **keys: (_ for _ in ()).throw(Dead()))
        with pytest.raises(BaseException, match="Dead"):
            run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    assert count(database) == 200
    database.run("insert into points values ('theirs', '2024-01-01Z', 1, 1)")
    fewer = {name: rows[10:] for name, rows in points.items()}
    summary = run_migrate(jobs.job(jobs.csv(fewer), database.sink()), context)
    assert (summary.status, summary.warnings) == ("complete", ())
    assert [row for row in database.rows() if row[0] != "theirs"] == as_rows(fewer)
    assert count(database) == 181


def test_rows_that_others_put_into_the_windows_of_a_dead_run_stay(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnia_beam.ledger import writer

    points = steady("ab", 100)
    with monkeypatch.context() as patched:
        patched.setattr(writer.LedgerWriter, "append", lambda *args, **keys: (_ for _ in ()).throw(Dead()))
        with pytest.raises(BaseException, match="Dead"):
            run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    database.run("insert into points values ('a', '2024-01-01 00:00:07.5Z', 7, 7)")
    database.run("vacuum full freeze points")
    fewer = {name: rows[10:] for name, rows in points.items()}
    summary = run_migrate(jobs.job(jobs.csv(fewer), database.sink()), context)
    assert summary.status == "complete"
    theirs = ("a", T0 + 7_500_000_000, bits(7.0), 7)
    assert database.rows() == sorted([theirs, *as_rows(fewer)])


def test_a_run_that_lost_its_lease_commits_nothing(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnia_beam.core.errors import StateError
    from omnia_beam.ledger import fence

    def lost(self: object) -> None:
        raise StateError("the lease has gone to another run")

    job = jobs.job(jobs.csv(steady("a", 10)), database.sink())
    run_migrate(jobs.job(jobs.csv(steady("z", 1)), database.sink(), "first"), context)
    monkeypatch.setattr(fence.LeaseFence, "check", lost)
    with pytest.raises(StateError):
        run_migrate(job, context)
    assert count(database) == 1


def test_two_workers_write_one_table(database: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady("abcd", 500)
    job: JobConfig = jobs.job(jobs.csv(points), database.sink(), workers=2, max_chunk_points=250)
    assert run_migrate(job, context).status == "complete"
    assert database.rows() == as_rows(points)


def test_rows_that_appear_between_the_look_and_the_copy_are_met_by_an_upsert(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnia_beam.io.postgresql import transaction

    points = steady("a", 10)
    run_migrate(jobs.job(jobs.csv(steady("z", 1)), database.sink(), "first"), context)
    held = transaction.TableWriter._held

    def look(self: transaction.TableWriter, *args: object) -> set[int]:
        found = held(self, *args)  # type: ignore[arg-type]  # handed on as it came
        thread = threading.Thread(
            target=database.run, args=("insert into points values ('a', '2024-01-01 00:00:03Z', 9, 9)",)
        )
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(transaction.TableWriter, "_held", look)
    assert run_migrate(jobs.job(jobs.csv(points), database.sink()), context).status == "complete"
    assert [row for row in database.rows() if row[0] == "a"] == as_rows(points)
