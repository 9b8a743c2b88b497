"""Hypertables of TimescaleDB itself: made, filled, written again, killed in between, verified, repaired and read.

These run where the server has the extension and are skipped elsewhere: Debian has no package of it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.postgresql.connection import Database as Product
from omnia_beam.io.postgresql.names import TableName
from omnia_beam.io.postgresql.options import PostgresqlSink
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.io.postgresql.transaction import TableWriter, WindowRows
from omnia_beam.pipelines.profile.command import run_profile
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady
from tests.io.postgresql.server import SETTINGS, Server, programs, running_server
from tests.io.postgresql.test_killed import during
from tests.io.postgresql.test_sink import changed
from tests.io.postgresql.test_source import stored

SECOND = 10**9
HOUR = 3_600 * SECOND
PRELOADED = f"{SETTINGS}shared_preload_libraries = 'timescaledb'\ntimescaledb.telemetry_level = off\n"

pytestmark = [pytest.mark.services]


@pytest.fixture(scope="module")
def extended() -> Iterator[Server]:
    """A server that has loaded the extension."""
    if programs() is None:
        pytest.skip("there is no PostgreSQL server on this machine: apt-get install postgresql")
    with running_server() as server:
        found = Database(server, "postgres").run("select 1 from pg_available_extensions where name = 'timescaledb'")
    if not found:
        pytest.skip("the PostgreSQL server of this machine has no extension timescaledb: Debian has no package of it")
    with running_server(PRELOADED) as server:
        yield server


@pytest.fixture
def hyper(extended: Server, request: pytest.FixtureRequest) -> Database:
    """A database with the extension, in the schema that the test asks for."""
    name = "plant"
    with psycopg.connect(f"{extended.base}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    database = Database(extended, name)
    schema = getattr(request, "param", "public")
    database.run(f"create schema if not exists {schema}")
    database.run(f"create extension timescaledb schema {schema}")
    return database


def hypertables(database: Database) -> list[tuple[str, int]]:
    return [(name, int(chunks)) for name, chunks in database.run(HYPERTABLES)]


HYPERTABLES = (
    "select hypertable_schema || '.' || hypertable_name, num_chunks from timescaledb_information.hypertables order by 1"
)


@pytest.mark.parametrize("hyper", ["public", "extension"], indirect=True)
@pytest.mark.parametrize("time", ["timestamptz", "bigint_ns"])
def test_a_new_table_is_a_hypertable_of_weeks_wherever_the_extension_has_its_functions(
    hyper: Database, jobs: Jobs, context: RunContext, time: str
) -> None:
    points = steady("ab", 1_000, HOUR)
    job = jobs.job(jobs.csv(points), hyper.sink(time=time))
    assert run_migrate(job, context).status == "complete"
    assert hypertables(hyper) == [("public.points", 7)]
    assert hyper.rows(time) == as_rows(points)
    now = changed(points)
    again = run_migrate(jobs.job(jobs.csv(now), hyper.sink(time=time)), context)
    assert (again.status, again.points_removed) == ("complete", 1)
    assert hyper.rows(time) == as_rows(now)
    assert run_verify(jobs.job(jobs.csv(now), hyper.sink(time=time)), context, source=True).status == "complete"


def test_planted_changes_are_found_repaired_and_profiled(hyper: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady("ab", 1_000, HOUR)
    job = jobs.job(jobs.csv(points), hyper.sink())
    run_migrate(job, context)
    hyper.run("update points set value = value + 1 where series_id = 'a' and time = '2024-01-01 03:00Z'")
    hyper.run("delete from points where series_id = 'a' and time = '2024-02-01 03:00Z'")
    hyper.run("insert into points values ('b', '2024-01-20 00:30Z', 0, 192)")
    assert run_verify(job, context).details["differences"] == 3
    assert run_verify(job, context, repair=True).status == "complete"
    assert hyper.rows() == as_rows(points)
    hyper.run("select drop_chunks('points', timestamptz '2024-01-10Z')")
    assert run_migrate(job, context).status == "complete"
    assert hyper.rows() == as_rows(points)
    assert run_profile(job, context).summary.points_read == 2_000


MADE = {
    "long chunks": "select create_hypertable('points', 'time', chunk_time_interval => interval '1 year')",
    "space": "select create_hypertable('points', 'time', 'series_id', 2, chunk_time_interval => interval '1 day')",
    "schema": "create schema chunks; select create_hypertable('points', 'time', associated_schema_name => 'chunks')",
}


@pytest.mark.parametrize("how", MADE)
def test_a_hypertable_that_is_there_is_filled_written_again_and_read(
    hyper: Database, jobs: Jobs, context: RunContext, how: str
) -> None:
    hyper.run(TableForm(TableName(None, "points"), "timestamptz", 192).ddl)
    for statement in MADE[how].split(";"):
        hyper.run(statement)
    points = steady("abc", 100, HOUR)
    job = jobs.job(jobs.csv(points), hyper.sink(create=False))
    assert run_migrate(job, context).status == "complete"
    now = {**changed(points), "c": points["c"]}
    assert run_migrate(jobs.job(jobs.csv(now), hyper.sink(create=False)), context).status == "complete"
    assert hyper.rows() == as_rows(now)
    out = jobs.job(hyper.source(), {"kind": "parquet", "path": str(jobs.folder / "out")}, "out", window=LONG)
    assert run_migrate(out, context).status == "complete"
    assert stored(jobs.folder / "out") == as_rows(now)
    assert run_verify(out, context, source=True).status == "complete"


LONG = {"start": "2023-12-31", "end": "2024-03-01"}


def test_a_role_that_may_make_no_hypertable_makes_no_table(hyper: Database, jobs: Jobs, context: RunContext) -> None:
    hyper.run("drop role if exists writer")
    hyper.run("create role writer login")
    hyper.run("grant create on schema public to writer")
    hyper.run("revoke execute on all functions in schema public from public")
    url = hyper.url.replace("postgres@", "writer@")
    try:
        for _ in range(2):
            with pytest.raises(DestinationError, match="permission denied for function create_hypertable"):
                run_migrate(jobs.job(jobs.csv(steady("a", 3)), hyper.sink(url=url)), context)
        assert hyper.run("select to_regclass('points')") == [(None,)]
        hyper.run("grant execute on all functions in schema public to writer")
        assert run_migrate(jobs.job(jobs.csv(steady("a", 3)), hyper.sink(url=url)), context).status == "complete"
        assert hypertables(hyper) == [("public.points", 1)]
    finally:
        hyper.run("drop owned by writer")


def test_what_a_dead_run_left_in_a_hypertable_goes_and_rows_of_others_stay(
    hyper: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnia_beam.ledger import writer

    class Dead(BaseException):
        """The process is gone between the commit and the receipt."""

    points = steady("ab", 400, HOUR)
    with monkeypatch.context() as patched:
        patched.setattr(writer.LedgerWriter, "append", lambda *args, **keys: (_ for _ in ()).throw(Dead()))
        with pytest.raises(BaseException, match="Dead"):
            run_migrate(jobs.job(jobs.csv(points), hyper.sink()), context)
    assert hyper.run("select count(*) from points") == [(800,)]
    hyper.run("insert into points values ('a', '2024-01-01 00:00:07.5Z', 7, 7)")
    fewer = {name: rows[10:] for name, rows in points.items()}
    assert run_migrate(jobs.job(jobs.csv(fewer), hyper.sink()), context).status == "complete"
    theirs = ("a", T0 + 7_500_000_000, bits(7.0), 7)
    assert [row for row in hyper.rows() if row != theirs] == as_rows({**fewer})


def test_several_runs_may_make_the_hypertable_at_once(hyper: Database) -> None:
    product = Product.of(PostgresqlSink.model_validate(hyper.sink()))
    failures: list[BaseException] = []

    def make(name: str) -> None:
        try:
            with product.connected() as connection:
                TableForm(TableName(None, name), "timestamptz", 192).ready(connection, create=True)
        except BaseException as error:
            failures.append(error)

    for at in range(5):
        threads = [threading.Thread(target=make, args=(f"t{at}",)) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert failures == []
    assert [name for name, _ in hypertables(hyper)] == [f"public.t{at}" for at in range(5)]


@pytest.mark.long
def test_killed_between_its_transactions_and_started_again(hyper: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady(["a", "b", "c"], 2_000, HOUR // 2)
    keys = {"max_chunk_points": 200}
    sink = hyper.sink(commit_points=400)
    run_migrate(jobs.job(jobs.csv(steady("z", 1)), sink, "first"), context)
    hyper.run(
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return null; end $$"
    )
    hyper.run("create trigger slow after insert on points for each statement execute function wait()")
    path = jobs.write(jobs.csv(points), sink, **keys)
    codes = [during(hyper, path, 1 + at * 1_500, lambda each: os.kill(each.pid, signal.SIGKILL)) for at in range(3)]
    assert codes == [-signal.SIGKILL] * 3
    job = jobs.job(jobs.csv(points), sink, **keys)
    assert run_migrate(job, context).status == "complete"
    assert [row for row in hyper.rows() if row[0] != "z"] == as_rows(points)
    assert run_verify(job, context, source=True).status == "complete"


def test_two_workers_fill_new_chunks_at_once(hyper: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady("abcd", 500, 12 * HOUR)
    job = jobs.job(jobs.csv(points), hyper.sink(commit_points=200), workers=2, max_chunk_points=100)
    assert run_migrate(job, context).status == "complete"
    assert hyper.rows() == as_rows(points)


def test_a_transaction_locks_the_chunks_of_its_own_windows_alone(
    hyper: Database, jobs: Jobs, context: RunContext
) -> None:
    """Locks are few on a server: of a table of a thousand chunks no transaction may want all."""
    hyper.run(TableForm(TableName(None, "points"), "timestamptz", 192).ddl)
    hyper.run("select create_hypertable('points', 'time', chunk_time_interval => interval '1 hour')")
    points = steady("ab", 200, HOUR)
    run_migrate(jobs.job(jobs.csv(points), hyper.sink()), context)
    form = TableForm(TableName(None, "points"), "timestamptz", 192)
    product = Product.of(PostgresqlSink.model_validate(hyper.sink()))
    span = TimeRange(T0 + 10 * HOUR, T0 + 12 * HOUR)
    times = np.array([span.start_ns, span.start_ns + HOUR], np.int64)
    column = Points(times, np.array([1.5, -1.5]), np.array([192, 192], np.uint32))
    chunk = Chunk.from_points(ChunkKey(("a",), span), {"a": column})
    held: list[int] = []

    class Watched(TableWriter):
        def _copy(self, connection: psycopg.Connection[Any], table: str, windows: Sequence[WindowRows]) -> None:
            super()._copy(connection, table, windows)
            row = connection.execute("select count(*) from pg_locks where pid = pg_backend_pid()").fetchone()
            held.append(0 if row is None else row[0])

        def _merge(self, connection: psycopg.Connection[Any], windows: Sequence[WindowRows]) -> None:
            super()._merge(connection, windows)
            row = connection.execute("select count(*) from pg_locks where pid = pg_backend_pid()").fetchone()
            held.append(0 if row is None else row[0])

    writer = Watched(product, form, None)
    writer.write([WindowRows(chunk, again=True)])
    writer.close()
    assert hyper.run("select array_agg(value order by time) from points where abs(value) = 1.5") == [([1.5, -1.5],)]
    assert max(held) < 60, "the table has 200 chunks, of three relations each"
