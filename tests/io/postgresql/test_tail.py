"""A tail from a table and into one, and what comes late at the source."""

from __future__ import annotations

import pyarrow.dataset as ds

from omnia_beam.beam.context import RunContext
from omnia_beam.pipelines.replay.replay import run_replay
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.tail.tail import run_tail
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady

WINDOW = {"start": "2024-01-01", "end": "2024-01-01T00:10:00Z"}
TAIL = {"poll": "1s", "lag": "1s", "refresh": "1h"}


def test_a_tail_copies_a_table_into_a_table_and_what_changed_since(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    points = steady("ab", 600)
    run_migrate(jobs.job(jobs.csv(points), database.sink(), "fill"), context)
    job = jobs.job(database.source(), database.sink(table="copied"), "tail", window=WINDOW, tail=TAIL)
    assert run_tail(job, context).status == "complete"
    assert database.rows(table="copied") == as_rows(points)
    database.run("update points set value = -1 where series_id = 'a' and time = '2024-01-01 00:09:59Z'")
    database.run("insert into points values ('b', '2024-01-01 00:09:59.5Z', 7, 7)")
    again = jobs.job(database.source(), database.sink(table="copied"), "tail", window=WINDOW, refresh="1h")
    assert run_migrate(again, context).status == "complete"
    assert database.rows(table="copied") == database.rows()


def test_a_tail_from_a_table_into_files(database: Database, jobs: Jobs, context: RunContext) -> None:
    run_migrate(jobs.job(jobs.csv(steady("a", 600)), database.sink(), "fill"), context)
    sink = {"kind": "parquet", "path": str(jobs.folder / "out")}
    summary = run_tail(jobs.job(database.source(), sink, "tail", window=WINDOW, tail=TAIL), context)
    assert summary.status == "complete"
    assert ds.dataset(jobs.folder / "out", format="parquet", partitioning=None).count_rows() == 600


def test_dead_letters_of_times_stay_until_the_job_cuts_them(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    points = {"a": [(T0, 1.0, 192), (T0 + 5_001, 2.0, 192)]}
    first = run_migrate(jobs.job(jobs.csv(points), database.sink(), accept=["time_resolution"]), context)
    assert (first.status, first.dead_letters) == ("incomplete", 1)
    cut = run_migrate(jobs.job(jobs.csv(points), database.sink(time_resolution="truncate")), context)
    assert (cut.status, cut.dead_letters) == ("complete", 0)
    assert database.rows() == [("a", T0, bits(1.0), 192), ("a", T0 + 5_000, bits(2.0), 192)]


def test_a_replay_reads_the_windows_of_dead_letters_again(database: Database, jobs: Jobs, context: RunContext) -> None:
    points = {"a": [(T0, 1.0, 192), (T0 + 5_001, 2.0, 192)]}
    job = jobs.job(jobs.csv(points), database.sink(), accept=["time_resolution"])
    assert run_migrate(job, context).dead_letters == 1
    replayed = run_replay(job, context)
    assert (replayed.status, replayed.dead_letters) == ("incomplete", 1)
    assert database.rows() == [("a", T0, bits(1.0), 192)]
