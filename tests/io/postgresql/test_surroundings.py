"""What stands around a table: poolers, accounts with few sessions, servers that cancel, encodings, rights that rows need."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.core.errors import DestinationError, SelectionError, UsageError
from omnia_beam.io.postgresql.connection import DURABLY
from omnia_beam.io.postgresql.connection import Database as Product
from omnia_beam.io.postgresql.failure import database_error
from omnia_beam.io.postgresql.options import PostgresqlSink
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady
from tests.io.postgresql.server import Server, as_postgres
from tests.io.postgresql.test_source import WINDOW, read, stored

SECOND = 10**9
PLAIN = (
    "create table points (series_id text, time timestamptz, value float8, status bigint, primary key (series_id, time))"
)


@pytest.fixture
def pooled(server: Server, database: Database) -> Iterator[Database]:
    """The database behind PgBouncer, which gives each transaction any of three sessions."""
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("there is no PgBouncer on this machine: apt-get install pgbouncer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Path(server.folder) / f"{database.name}.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nunix_socket_dir =\n"
    )
    settings.chmod(0o644)
    process = subprocess.Popen(as_postgres([program, "-q", settings]), stderr=subprocess.DEVNULL)
    try:
        behind = Database(Server(server.bin, server.folder, port), database.name)
        for _ in range(100):
            try:
                behind.run("select 1")
                break
            except psycopg.OperationalError:
                time.sleep(0.05)
        yield behind
    finally:
        process.terminate()
        process.wait(10)


def test_a_pooler_that_gives_each_transaction_another_session_is_no_hindrance(
    pooled: Database, database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run(f"alter database {database.name} set synchronous_commit = off")
    points = steady("abcd", 1_500)
    keys = {"max_chunk_points": 300, "workers": 2}
    job = jobs.job(jobs.csv(points), pooled.sink(commit_points=600), **keys)
    assert run_migrate(job, context).status == "complete"
    assert database.rows() == as_rows(points)
    assert run_verify(job, context, source=True).status == "complete"
    copied = jobs.job(pooled.source(), pooled.sink(table="copied", commit_points=600), "copy", window=WINDOW, **keys)
    assert run_migrate(copied, context).status == "complete"
    database.run("update points set value = -value")
    assert run_verify(copied, context, source=True, repair=True).status == "complete"
    assert database.rows(table="copied") == database.rows()


def test_an_account_that_may_have_one_session_reads_with_one(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run(PLAIN)
    database.run(
        "insert into points select 'a', timestamptz '2024-01-01Z' + i * interval '1 s', i, 1 from generate_series(0, 999) i"
    )
    database.run("create role single login connection limit 1")
    database.run("grant select on points to single")
    try:
        url = database.url.replace("postgres@", "single@")
        sink = {"kind": "parquet", "path": str(jobs.folder / "out")}
        job = jobs.job(database.source(url=url), sink, window=WINDOW, max_chunk_points=100)
        assert run_backfill(job, context).status == "complete"
        assert len(stored(jobs.folder / "out")) == 1_000
    finally:
        database.run("drop owned by single")
        database.run("drop role single")


def test_a_standby_that_cancels_each_query_once_is_asked_again(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    """The table is a view that fails as a standby does, at every other query."""
    database.run(PLAIN)
    database.run(
        "insert into points select 'a', timestamptz '2024-01-01Z' + i * interval '1 s', i, 1 from generate_series(0, 99) i"
    )
    database.run("create sequence tries")
    database.run(
        "create function answers() returns bool language plpgsql as $$ begin if nextval('tries') % 2 = 1 then raise exception "
        "'canceling statement due to conflict with recovery' using errcode = '40001'; end if; return true; end $$"
    )
    database.run("create view shown as select * from points where (select answers())")
    assert read(database, jobs, context, table="shown", max_chunk_points=30).status == "complete"
    assert len(stored(jobs.folder / "out")) == 100


def test_a_query_that_somebody_cancels_is_not_said_to_be_too_slow() -> None:
    streamed = OSError("[libpq] Execution error [PGRES_FATAL_ERROR]: ERROR:  canceling statement due to user request\n")
    asked = psycopg.errors.QueryCanceled("canceling statement due to user request")
    for error in (streamed, asked):
        found = database_error(error, "host:5432/plant", "points")
        assert isinstance(found, DestinationError)
        assert "somebody cancelled" in str(found)
        assert "statement_timeout" not in str(found)


def test_ids_that_cannot_be_of_the_column_are_named(database: Database, jobs: Jobs, context: RunContext) -> None:
    for type_, wrong in (("uuid", "zzzzzzzz-0000-0000-0000-00000000000a"), ("int", "--7"), ("bigint", "9" * 5_000)):
        database.run("drop table if exists points")
        database.run(f"create table points (series_id {type_}, time timestamptz, value float8, status int)")
        with pytest.raises(SelectionError, match=f"no series {wrong[:20]}"):
            read(database, jobs, context, series={"ids": [wrong]})


def test_a_domain_over_a_domain_is_read_as_the_type_below(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run("create domain tag as text check (length(value) < 10)")
    database.run("create domain plant_tag as tag check (value like '27%')")
    database.run("create table points (series_id plant_tag, time timestamptz, value float8, status int)")
    database.run("insert into points values ('27PT1', '2024-01-01Z', 1, 1)")
    assert read(database, jobs, context).status == "complete"
    assert stored(jobs.folder / "out") == [("27PT1", T0, bits(1.0), 1)]


@pytest.mark.parametrize("type_", ["mood", "citext"])
def test_a_type_of_others_is_read_through_a_view(
    database: Database, jobs: Jobs, context: RunContext, type_: str
) -> None:
    database.run("create type mood as enum ('a', 'A')" if type_ == "mood" else "create extension citext")
    database.run(f"create table points (series_id {type_}, time timestamptz, value float8, status int)")
    database.run("insert into points values ('a', '2024-01-01Z', 1, 1), ('A', '2024-01-01Z', 2, 1)")
    with pytest.raises(UsageError, match=f"is {type_}, which is not read as a series_id: make a view"):
        read(database, jobs, context)
    database.run("create view shown as select series_id::text, time, value, status from points")
    assert read(database, jobs, context, table="shown").status == "complete"
    assert [name for name, *_ in stored(jobs.folder / "out")] == ["A", "a"]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding(
    server: Server, database: Database, jobs: Jobs, context: RunContext, encoding: str
) -> None:
    name = f"{database.name}_{encoding.lower()}"
    database.run(f"create database {name} encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'")
    other = Database(server, name)
    other.run(PLAIN)
    with psycopg.connect(other.url, autocommit=True, client_encoding=encoding) as connection:
        connection.execute(b"insert into points values ('p\xf8l', '2024-01-01Z', 1, 1), ('b', '2024-01-01Z', 2, 1)")
    if encoding == "LATIN1":
        assert read(other, jobs, context).status == "complete"
        assert [name for name, *_ in stored(jobs.folder / "out")] == ["b", "pøl"]
        with pytest.raises(DestinationError, match="has to be UTF8"):
            run_migrate(jobs.job(jobs.csv(steady(["€"], 1)), other.sink(), "in"), context)
    else:
        with pytest.raises(DestinationError, match="not in UTF-8"):
            read(other, jobs, context)


def test_a_generated_column_is_read_and_not_written(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run(
        "create table points (series_id text, time timestamptz, value float8, "
        "status bigint generated always as (192) stored, primary key (series_id, time))"
    )
    with pytest.raises(UsageError, match="column status is generated"):
        run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink()), context)
    database.run("insert into points values ('a', '2024-01-01Z', 1)")
    assert read(database, jobs, context).status == "complete"
    assert stored(jobs.folder / "out") == [("a", T0, bits(1.0), 192)]


def test_check_tries_what_a_run_does_and_no_row(
    database: Database, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    database.run(f"{PLAIN} partition by range (time)")
    database.run("create table p1 partition of points for values from ('2024-01-01Z') to ('2024-01-02Z')")
    path = str(jobs.write(jobs.csv(steady("a", 3)), database.sink()))
    assert main(["check", path]) == 0, "it has no partition for 1970"
    database.run("drop role if exists guarded")
    database.run("create role guarded login")
    database.run("grant select, insert, update, delete on points to guarded")
    database.run("alter table points enable row level security")
    database.run("create policy every on points using (true) with check (true)")
    try:
        url = database.url.replace("postgres@", "guarded@")
        capsys.readouterr()
        assert main(["check", str(jobs.write(jobs.csv(steady("a", 3)), database.sink(url=url)))]) == 3
        assert "row-level security" in " ".join(capsys.readouterr().out.split())
    finally:
        database.run("drop owned by guarded")
        database.run("drop role guarded")


def test_a_transaction_that_was_ended_for_being_idle_is_carried_out_again(database: Database) -> None:
    found = database_error(psycopg.errors.IdleInTransactionSessionTimeout("terminating connection"), "host", "points")
    assert type(found).__name__ == "TransientServiceError"


def test_a_commit_behind_a_pooler_is_durable_too(database: Database) -> None:
    """Of what a session is set to, a pooler keeps nothing: each transaction says it."""
    database.run(f"alter database {database.name} set synchronous_commit = off")
    product = Product.of(PostgresqlSink.model_validate(database.sink()))
    with product.connected() as connection:
        connection.execute("set synchronous_commit = off")  # as another client of the pooler has left it
        with connection.transaction():
            connection.execute(DURABLY.encode())
            assert connection.execute("show synchronous_commit").fetchone() == ("on",)
        assert connection.execute("show synchronous_commit").fetchone() == ("off",)
