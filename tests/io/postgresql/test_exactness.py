"""Tables at the edges of what there can be: names, keys, collations, isolation, numbers and times that are no points."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import DestinationError, UsageError
from omnia_beam.io.postgresql.connection import Database as Product
from omnia_beam.io.postgresql.names import TableName
from omnia_beam.io.postgresql.options import PostgresqlSink
from omnia_beam.io.postgresql.series_table import SeriesTable
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady
from tests.io.postgresql.test_source import read, stored

SECOND = 10**9
ODD = ["it's", 'a "b"', "back\\slash", "100%s", "{x}", "$$;--", "two\nlines", "ø\U0001f600", " blank ", "A", "a"]


@pytest.mark.parametrize("table", ['plant."100%s ""odd"""', '"we.ird"', "Points", '"""; drop table x; --"'])
def test_any_names_of_tables_and_series_are_written_checked_repaired_and_read(
    database: Database, jobs: Jobs, context: RunContext, table: str
) -> None:
    database.run("create schema plant")
    name = TableName.parse(table).sql
    points = steady(ODD, 4)
    job = jobs.job(as_parquet(jobs, points), database.sink(table=table))
    assert run_migrate(job, context).status == "complete"
    assert database.rows(table=name) == as_rows(points)
    database.run(f"delete from {name} where value = 1")
    assert run_verify(job, context).status == "incomplete"
    assert run_migrate(job, context).status == "complete"
    assert database.rows(table=name) == as_rows(points)
    window = {"start": "2024-01-01", "end": "2024-01-02"}
    copied = jobs.job(database.source(table=table), database.sink(table="copied"), "copy", window=window)
    assert run_migrate(copied, context).status == "complete"
    assert database.rows(table="copied") == as_rows(points)
    named = database.source(table=table, series={"ids": ODD[:5], "search": ["\\*", "two*"]})
    some = jobs.job(named, database.sink(table="some"), "some", window=window)
    assert run_migrate(some, context).series == 6


def as_parquet(jobs: Jobs, points: dict[str, list[tuple[int, float, int]]]) -> dict[str, Any]:
    rows = [(name, *row) for name, each in points.items() for row in each]
    names, times, values, statuses = zip(*rows, strict=True)
    table = {
        "series_id": pa.array(names),
        "time": pa.array(times).cast(pa.timestamp("ns", "UTC")),
        "value": pa.array(values),
        "status": pa.array(statuses, pa.uint32()),
    }
    pq.write_table(pa.table(table), jobs.folder / "in.parquet")
    return {"kind": "parquet", "path": str(jobs.folder / "in.parquet")}


def test_a_table_without_a_schema_is_the_first_of_the_search_path(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run("create schema plant")
    database.run(f"alter database {database.name} set search_path = plant, public")
    assert run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink()), context).status == "complete"
    assert database.run("select schemaname from pg_tables where tablename = 'points'") == [("plant",)]
    assert database.rows(table="plant.points") == as_rows(steady("a", 3))


KEYS = {
    "deferrable": (
        "create table points (series_id text, time timestamptz, value float8, status bigint, "
        "unique (series_id, time) deferrable)",
        "not unique",
    ),
    "partial": (
        "create table points (series_id text, time timestamptz, value float8, status bigint); "
        "create unique index on points (series_id, time) where value > 0",
        "not unique",
    ),
    "collation": (
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); "
        "create table points (series_id text collate loose, time timestamptz, value float8, status bigint, "
        "primary key (series_id, time))",
        "takes different ids for the same one",
    ),
}


@pytest.mark.parametrize("which", KEYS)
def test_a_key_that_does_not_keep_rows_apart_is_refused(
    database: Database, jobs: Jobs, context: RunContext, which: str
) -> None:
    statement, why = KEYS[which]
    database.run(statement)
    with pytest.raises(UsageError, match=why):
        run_migrate(jobs.job(jobs.csv(steady("aA", 3)), database.sink()), context)
    if which == "collation":
        with pytest.raises(UsageError, match="make a view"):
            read(database, jobs, context)


def test_a_partitioned_table_is_filled_and_a_row_without_a_partition_ends_the_run(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run(
        "create table points (series_id text, time timestamptz, value float8, status bigint, primary key (series_id, time)) "
        "partition by range (time)"
    )
    database.run("create table p1 partition of points for values from ('2024-01-01Z') to ('2024-01-02Z')")
    points = steady("ab", 50)
    assert run_migrate(jobs.job(jobs.csv(points), database.sink()), context).status == "complete"
    points["a"].append((T0 + 86_400 * SECOND, 1.0, 1))
    with pytest.raises(DestinationError, match="no partition of relation"):
        run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    database.run("create table p2 partition of points default")
    assert run_migrate(jobs.job(jobs.csv(points), database.sink()), context).status == "complete"
    assert database.rows() == as_rows(points)


def test_a_trigger_that_leaves_rows_out_is_noticed(database: Database, jobs: Jobs, context: RunContext) -> None:
    run_migrate(jobs.job(jobs.csv(steady("z", 1)), database.sink(), "first"), context)
    database.run(
        "create function less() returns trigger language plpgsql as "
        "$$ begin if new.value = 3 then return null; end if; return new; end $$"
    )
    database.run("create trigger less before insert on points for each row execute function less()")
    with pytest.raises(DestinationError, match=r"took 9 of 10 rows.*remove the trigger"):
        run_migrate(jobs.job(jobs.csv(steady("a", 10)), database.sink()), context)
    assert database.run("select count(*) from points") == [(1,)]


def test_a_row_of_others_without_a_value_is_overwritten(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run(
        "create table points (series_id text, time timestamptz, value float8, status bigint, primary key (series_id, time))"
    )
    database.run(
        "insert into points values ('a', '2024-01-01Z', null, 192), ('a', 'infinity', 1, 1), ('a', '-infinity', 1, 1)"
    )
    job = jobs.job(jobs.csv(steady("a", 3)), database.sink())
    assert run_migrate(job, context).status == "complete"
    assert run_verify(job, context).status == "complete"
    database.run("delete from points where not isfinite(time)")
    assert database.rows() == as_rows(steady("a", 3))


def test_a_commit_is_durable_whatever_the_account_is_set_to(database: Database) -> None:
    database.run(f"alter database {database.name} set synchronous_commit = off")
    product = Product.of(PostgresqlSink.model_validate(database.sink()))
    with product.connected() as connection:
        assert connection.execute("show synchronous_commit").fetchone() == ("on",)
    database.run(f"alter database {database.name} set synchronous_commit = remote_apply")
    with product.connected() as connection:
        assert connection.execute("show synchronous_commit").fetchone() == ("remote_apply",)


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_two_jobs_that_write_the_same_series_at_once_leave_each_row_once(
    database: Database, jobs: Jobs, level: str
) -> None:
    database.run(f"alter database {database.name} set default_transaction_isolation = '{level}'")
    points = steady("ab", 400)
    paths = [
        jobs.write(jobs.csv(points), database.sink(commit_points=100), name, max_chunk_points=50)
        for name in ("one", "two")
    ]
    running = [
        subprocess.Popen([sys.executable, "-m", "omnia_beam", "migrate", str(path), "--quiet"], stderr=subprocess.PIPE)
        for path in paths
    ]
    outcomes = [(each.communicate()[1], each.returncode) for each in running]
    assert [code for _, code in outcomes] == [0, 0], outcomes
    assert database.rows() == as_rows(points)


def test_two_runs_may_make_the_table_at_once(database: Database) -> None:
    product = Product.of(PostgresqlSink.model_validate(database.sink()))

    def make(name: str) -> str:
        with product.connected() as connection:
            SeriesTable(TableName(None, name)).ready(connection, create=True)
            return TableForm(TableName(None, name), "timestamptz", 192).ready(connection, create=True)

    with ThreadPoolExecutor(8) as pool:
        for at in range(20):
            assert all(str(at) in each for each in pool.map(make, [f"t{at}"] * 8))


def test_a_statement_that_takes_too_long_says_which_setting_ended_it(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    run_migrate(jobs.job(jobs.csv(steady("z", 1)), database.sink(), "first"), context)
    database.run(
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(5); return new; end $$"
    )
    database.run("create trigger slow before insert on points for each row execute function wait()")
    database.run(f"alter database {database.name} set statement_timeout = '200ms'")
    with pytest.raises(DestinationError, match="statement_timeout"):
        run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink()), context)


def test_local_times_that_are_one_instant_are_one_point_and_counted_once(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run(
        "create table points (series_id text, time timestamp, value float8, status int, primary key (series_id, time))"
    )
    database.run(
        "insert into points select 'a', timestamp '2024-03-31 01:00' + i * interval '30 minutes', i, 1 from generate_series(0, 6) i"
    )
    window = {"start": "2024-03-30", "end": "2024-04-01"}
    summary = read(database, jobs, context, timezone="Europe/Oslo", window=window)
    assert (summary.status, summary.points_written, summary.duplicates) == ("complete", 5, 2)
    midnight = 1_711_843_200 * SECOND  # 2024-03-31T00:00Z, 01:00 in Oslo
    assert [(ns - midnight) // (60 * SECOND) for _, ns, _, _ in stored(jobs.folder / "out")] == [0, 30, 60, 90, 120]


def test_the_hour_that_comes_twice_is_the_later_one(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run("create table points (series_id text, time timestamp, value float8, status int)")
    database.run(
        "insert into points select 'a', timestamp '2024-10-27 01:30' + i * interval '1 hour', i, 1 from generate_series(0, 2) i"
    )
    read(database, jobs, context, timezone="Europe/Oslo", window={"start": "2024-10-27", "end": "2024-10-28"})
    window = {"start": "2024-10-26", "end": "2024-10-28"}
    read(database, jobs, context, timezone="Europe/Oslo", window=window)
    start = 1_729_987_200 * SECOND  # 2024-10-27T00:00Z
    assert [(ns - start) // (60 * SECOND) for _, ns, _, _ in stored(jobs.folder / "out")] == [-30, 90, 150]


def test_rows_of_tables_that_inherit_are_points_too_and_their_repeats_are_counted(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run(
        "create table points (series_id text, time timestamptz, value float8, status int, primary key (series_id, time))"
    )
    database.run("create table older () inherits (points)")
    database.run("insert into points values ('a', '2024-01-01Z', 1, 1), ('a', '2024-01-01 1:00Z', 2, 1)")
    database.run("insert into older values ('a', '2024-01-01Z', 5, 1), ('b', '2024-01-01Z', 6, 1)")
    summary = read(database, jobs, context)
    assert (summary.status, summary.points_written, summary.duplicates) == ("complete", 3, 1)


def test_numbers_that_no_double_holds_fail_their_window_alone(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run("create table points (series_id text, time timestamptz, value numeric, status int)")
    database.run(
        "insert into points select 'a', timestamptz '2024-01-01Z' + i * interval '1 second', i, 1 from generate_series(0, 99) i"
    )
    database.run(
        "insert into points values ('b', '2024-01-01Z', 'Infinity', 1), ('b', '2024-01-01 1:00Z', '-1e-400', 1), "
        "('b', '2024-01-01 2:00Z', 5e-324, 1), ('b', '2024-01-01 3:00Z', 'NaN', 1), ('b', '2024-01-01 4:00Z', "
        "123456789012345678901234567890.5, 1), ('b', 'infinity', 1, 1), ('b', '-infinity', 1, 1)"
    )
    assert read(database, jobs, context).status == "complete"
    values = [value for name, _, value, _ in stored(jobs.folder / "out") if name == "b"]
    assert values == [bits(each) for each in (float("inf"), 0.0, 5e-324, float("nan"), 1.2345678901234568e29)]
    database.run("insert into points values ('c', '2024-01-01Z', 1e400, 1)")
    job = jobs.job(
        database.source(),
        {"kind": "parquet", "path": str(jobs.folder / "out")},
        window={"start": "2023-12-31", "end": "2024-01-02"},
        max_chunk_points=50,
    )
    summary = run_backfill(job, context)
    assert summary.status == "incomplete"
    assert any("no double holds it" in str(each) for each in (summary.warnings, summary.details, summary.to_json()))
    assert len([1 for name, *_ in stored(jobs.folder / "out") if name == "a"]) == 100


FAKE_EXTENSION = """
insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
values (99999, 'timescaledb', 10, 2200, false, '2.0');
create table calls (relation regclass, dimension name, chunk text, there boolean);
create function create_hypertable(relation regclass, time_column_name name, chunk_time_interval anyelement, if_not_exists boolean)
returns text language sql as $$ insert into calls values ($1, $2, $3::text, $4) returning 'made' $$;
"""


@pytest.mark.parametrize(("time", "chunk"), [("timestamptz", "7 days"), ("bigint_ns", str(7 * 86_400 * SECOND))])
def test_a_new_table_is_a_hypertable_where_the_extension_is_installed(
    database: Database, jobs: Jobs, context: RunContext, time: str, chunk: str
) -> None:
    """The extension is a row of the catalog and a function that notes its call; `test_timescaledb` tries the extension itself."""
    database.run(FAKE_EXTENSION)
    job = jobs.job(jobs.csv(steady("a", 3)), database.sink(table='"Odd table"', time=time))
    assert run_migrate(job, context).status == "complete"
    assert run_migrate(job, context).status == "complete"
    calls: list[tuple[Any, ...]] = database.run("select relation::text, dimension, chunk, there from calls")
    assert calls == [('"Odd table"', "time", chunk, True)]
