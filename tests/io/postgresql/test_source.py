"""A table as the source: any columns, wide and long, every type of time, repeats and nulls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import SelectionError, UsageError
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady

SECOND = 10**9
WINDOW = {"start": "2023-12-31", "end": "2024-01-02"}
COLUMNS = {"series_id": "tag", "time": "ts", "value": "val", "status": "quality"}


def stored(folder: Path) -> list[tuple[str, int, bytes, int]]:
    """The points in the Parquet files of a sink, sorted."""
    table = ds.dataset(folder, format="parquet", partitioning=None).to_table()
    times = pc.cast(table["time"], "int64").to_pylist()
    columns = (
        table["series_id"].to_pylist(),
        times,
        map(bits, table["value"].to_pylist()),
        table["status"].to_pylist(),
    )
    return sorted(zip(*columns, strict=True))


def read(database: Database, jobs: Jobs, context: RunContext, **keys: Any) -> Any:
    job = {"window": WINDOW, **{k: keys.pop(k) for k in ("max_chunk_points", "accept", "window") if k in keys}}
    sink = {"kind": "parquet", "path": str(jobs.folder / "out")}
    config = jobs.job(database.source(**keys), sink, **job)
    summary = run_backfill(config, context)
    if summary.status == "complete":
        assert run_verify(config, context, source=True).status == "complete"
    return summary


def test_a_table_with_its_own_columns_is_read_whole(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run("create table points (tag text, ts timestamptz, val double precision, quality int)")
    database.run("create index on points (tag, ts)")
    database.run(
        "insert into points select s, timestamptz '2024-01-01Z' + i * interval '1 second', i / 7.0, "
        "case when i % 2 = 0 then 192 end from generate_series(0, 99) i, unnest(array['a', 'b', 'c''\\d']) s"
    )
    database.run(
        "insert into points values ('a', '2024-01-01 12:00Z', null, 1), (null, '2024-01-01Z', 1, 1), ('a', null, 1, 1)"
    )
    summary = read(database, jobs, context, columns=COLUMNS, default_status=64, max_chunk_points=100)
    assert (summary.status, summary.series, summary.points_written) == ("complete", 3, 300)
    expected = {
        name: [(T0 + i * SECOND, i / 7.0, 192 if i % 2 == 0 else 64) for i in range(100)]
        for name in ("a", "b", "c'\\d")
    }
    assert stored(jobs.folder / "out") == as_rows(expected)


TIMES = {
    "timestamptz": ("timestamptz", "'2024-01-01 00:00:00.123457Z'", {}, T0 + 123_457_000),
    "utc": ("timestamp", "'2024-01-01 00:00:00.5'", {}, T0 + SECOND // 2),
    "oslo": ("timestamp", "'2024-01-01 00:00:00.5'", {"timezone": "Europe/Oslo"}, T0 - 3_600 * SECOND + SECOND // 2),
    "offset": ("timestamp", "'2024-01-01 00:00:00.5'", {"timezone": "+05:30"}, T0 - 19_800 * SECOND + SECOND // 2),
    "date": ("date", "'2024-01-01'", {}, T0),
    "s": ("int", "1704067200", {"time_unit": "s"}, T0),
    "ms": ("bigint", "1704067200001", {"time_unit": "ms"}, T0 + 1_000_000),
    "us": ("bigint", "1704067200000001", {"time_unit": "us"}, T0 + 1_000),
    "ns": ("bigint", "1704067200000000001", {}, T0 + 1),
}


@pytest.mark.parametrize("form", TIMES)
def test_every_form_of_time_is_read(database: Database, jobs: Jobs, context: RunContext, form: str) -> None:
    type_, text, keys, ns = TIMES[form]
    database.run(f"create table points (series_id text, time {type_}, value float8, status int)")
    database.run(f"insert into points values ('a', {text}, 1, 2)")
    assert read(database, jobs, context, **keys).status == "complete"
    assert stored(jobs.folder / "out") == [("a", ns, bits(1.0), 2)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_window_between_two_units_takes_what_lies_in_it(
    database: Database, jobs: Jobs, context: RunContext, unit: str
) -> None:
    each = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    database.run("create table points (series_id text, time bigint, value float8, status int)")
    times = [T0 + i * each for i in range(-3, 4)]
    database.run(f"insert into points select 'a', t / {each}, 0, 0 from unnest(%s::bigint[]) t", (times,))
    start, end = "2023-12-31T23:59:59.999999999Z", "2024-01-01T00:00:00.000000001Z"
    read(database, jobs, context, time_unit=unit, window={"start": start, "end": end})
    assert [ns for _, ns, _, _ in stored(jobs.folder / "out")] == [ns for ns in times if T0 - 1 <= ns < T0 + 1]


VALUES = {
    "real": ("real", "1.5", 1.5),
    "numeric": ("numeric(30, 10)", "1234567890123.0123456789", 1234567890123.0123456789),
    "nan": ("numeric", "'NaN'", float("nan")),
    "smallint": ("smallint", "-7", -7.0),
    "bigint": ("bigint", "9007199254740992", 9007199254740992.0),
    "boolean": ("boolean", "true", 1.0),
}


@pytest.mark.parametrize("form", VALUES)
def test_every_number_is_read_as_the_nearest_double(
    database: Database, jobs: Jobs, context: RunContext, form: str
) -> None:
    type_, text, value = VALUES[form]
    database.run(f"create table points (series_id text, time timestamptz, value {type_})")
    database.run(f"insert into points values ('a', '2024-01-01Z', {text})")
    assert read(database, jobs, context, columns={"status": None}).status == "complete"
    assert stored(jobs.folder / "out") == [("a", T0, bits(value), 192)]


def test_an_integer_that_no_double_holds_fails_its_window_unless_that_is_accepted(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run("create table points (series_id text, time timestamptz, value bigint, status int)")
    database.run("insert into points values ('a', '2024-01-01Z', 9007199254740993, 1), ('a', '2024-01-01 1:00Z', 5, 1)")
    assert read(database, jobs, context).status == "incomplete"
    assert read(database, jobs, context, accept=["integer_precision"]).status == "complete"
    assert [value for *_, value, _ in stored(jobs.folder / "out")] == [bits(9007199254740992.0), bits(5.0)]


@pytest.mark.parametrize(
    ("type_", "ids"),
    [("uuid", ["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"]), ("int", ["-5", "12"])],
)
def test_ids_that_are_no_texts_are_selected_by_their_text(
    database: Database, jobs: Jobs, context: RunContext, type_: str, ids: list[str]
) -> None:
    database.run(f"create table points (series_id {type_}, time timestamptz, value float8, status int)")
    database.run(f"insert into points select i::{type_}, '2024-01-01Z', 1, 1 from unnest(%s::text[]) i", (ids,))
    assert read(database, jobs, context, series={"ids": [ids[1]]}).series == 1
    assert [name for name, *_ in stored(jobs.folder / "out")] == [ids[1]]
    with pytest.raises(SelectionError, match="points has no series nonsense"):
        read(database, jobs, context, series={"ids": [ids[1], "nonsense"]})


@pytest.mark.parametrize("indexed", [False, True])
def test_series_are_selected_by_ids_files_and_patterns(
    database: Database, jobs: Jobs, context: RunContext, indexed: bool
) -> None:
    database.run("create table points (series_id text, time timestamptz, value float8, status int)")
    if indexed:
        database.run("create index on points (series_id)")
    database.run(
        "insert into points select n, '2024-01-01Z', 1, 1 from unnest(array['27PT1', '27PT2', '28PT1', '27[x]?', 'z']) n"
    )
    (jobs.folder / "ids.txt").write_text("z\n")
    read(database, jobs, context, series={"search": "27PT*", "ids_file": str(jobs.folder / "ids.txt")})
    assert [name for name, *_ in stored(jobs.folder / "out")] == ["27PT1", "27PT2", "z"]
    read(database, jobs, context, series={"search": "27[x]?"})
    assert "27[x]?" in [name for name, *_ in stored(jobs.folder / "out")]


def test_a_time_that_comes_twice_is_one_point_and_counted(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run("create table points (series_id text, time timestamptz, value float8, status int)")
    database.run(
        "insert into points select 'a', timestamptz '2024-01-01Z' + i * interval '1 second', i + n, 192 "
        "from generate_series(0, 9) i, generate_series(0, 2) n where i = 5 or n = 0"
    )
    summary = read(database, jobs, context)
    assert (summary.status, summary.points_written, summary.duplicates) == ("complete", 10, 2)
    assert stored(jobs.folder / "out")[5] == ("a", T0 + 5 * SECOND, bits(7.0), 192)


def test_a_wide_table_is_a_column_a_series(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run(
        'create table points ("time" timestamp primary key, "27PT1" float8, "Level %" numeric, running bool, note text)'
    )
    database.run(
        "insert into points select timestamp '2024-01-01' + i * interval '1 second', i, "
        "case when i % 3 = 0 then i / 4.0 end, i > 5, 'x' from generate_series(0, 9) i"
    )
    summary = read(database, jobs, context, layout="wide", max_chunk_points=9)
    assert (summary.status, summary.series, summary.points_written) == ("complete", 3, 24)
    assert any("note (text) is no number" in each for each in summary.warnings)
    expected = {
        "27PT1": [(T0 + i * SECOND, float(i), 192) for i in range(10)],
        "Level %": [(T0 + i * SECOND, i / 4.0, 192) for i in range(0, 10, 3)],
        "running": [(T0 + i * SECOND, float(i > 5), 192) for i in range(10)],
    }
    assert stored(jobs.folder / "out") == as_rows(expected)
    with pytest.raises(SelectionError, match="no series note"):
        read(database, jobs, context, layout="wide", series={"ids": ["note"]})


def test_a_burst_is_cut_into_chunks_of_the_allowed_size(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run("create table points (series_id text, time timestamptz, value float8, status int)")
    database.run(
        "insert into points select s, timestamptz '2024-01-01 12:34:56Z' + i * interval '1 microsecond', i, 1 "
        "from generate_series(0, 999) i, unnest(array['a', 'b']) s"
    )
    summary = read(database, jobs, context, max_chunk_points=300)
    assert (summary.status, summary.points_written) == ("complete", 2_000)
    sizes = [pq.read_metadata(path).num_rows for path in (jobs.folder / "out").rglob("*.parquet")]
    assert max(sizes) <= 300


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"table": "pionts"}, r'no table or view pionts .*did you mean "public.points"|no table or view pionts'),
        ({"columns": {"value": "valeu"}}, r'source\.columns\.value: points has no column valeu; did you mean "value"'),
        ({"columns": {"value": "note"}}, "the column note of points is text, which is not read as a value"),
        ({"columns": {"time": "note"}}, "is text, which is not read as a time"),
        ({"columns": {"status": "quality"}}, r"\(or null, where there is none\)"),
    ],
)
def test_a_column_that_does_not_fit_is_named(
    database: Database, jobs: Jobs, context: RunContext, keys: dict[str, Any], text: str
) -> None:
    database.run("create table points (series_id text, time timestamptz, value float8, status int, note text)")
    database.run("insert into points values ('a', '2024-01-01Z', 1, 1, 'x')")
    with pytest.raises(UsageError, match=text):
        read(database, jobs, context, **keys)


def test_points_that_come_late_are_read_by_a_refresh(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run(
        "create table points (series_id text, time timestamptz, value float8, status int, primary key (series_id, time))"
    )
    database.run("insert into points values ('a', '2024-01-01Z', 1, 1)")
    sink = {"kind": "parquet", "path": str(jobs.folder / "out")}
    config = jobs.job(database.source(), sink, window=WINDOW, refresh="2d")
    run_backfill(config, context)
    database.run("insert into points values ('a', '2024-01-01 1:00Z', 2, 1)")
    database.run("update points set value = 3 where value = 1")
    assert run_backfill(config, context).status == "complete"
    assert [value for *_, value, _ in stored(jobs.folder / "out")] == [bits(3.0), bits(2.0)]


def test_from_a_table_into_a_table(database: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady("ab", 50)
    run_migrate(jobs.job(jobs.csv(points), database.sink(), "first"), context)
    config = jobs.job(
        database.source(), database.sink(table="copied", time="bigint_ns"), window=WINDOW, max_chunk_points=30
    )
    assert run_migrate(config, context).status == "complete"
    assert database.rows("bigint_ns", "copied") == as_rows(points)
    assert run_verify(config, context, source=True).status == "complete"
    assert json.dumps(run_migrate(config, context).windows_done) == "0"
