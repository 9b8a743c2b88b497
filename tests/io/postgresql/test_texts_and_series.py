"""Texts in a table, the metadata of series in the table beside it, and the profile of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import UsageError
from omnia_beam.io.postgresql.held import NUL_IN_TEXT
from omnia_beam.ledger.dead_letters import read_dead_letters
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.profile.command import run_profile
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady

SECOND = 10**9
TEXTS = [None, "running", "", "two\nlines \\ 'quoted'", "på", "\U0001f600", "x" * 70_000]
WINDOW = {"start": "2023-12-31", "end": "2024-01-02"}


def texts_file(folder: Path, texts: list[str | None], **more: list[str | None]) -> dict[str, Any]:
    """A source of one series of numbers and texts each."""
    folder.mkdir(exist_ok=True)
    for name, each in {"mode": texts, **more}.items():
        table = {
            "series_id": pa.array([name] * len(each)),
            "time": pa.array(np.arange(len(each)) * SECOND + T0).cast(pa.timestamp("ns", "UTC")),
            "value": pa.array([1.5 if one is None else float("nan") for one in each]),
            "status": pa.array([192] * len(each), pa.uint32()),
            "text": pa.array(each, pa.string()),
        }
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return {"kind": "parquet", "path": str(folder / "*.parquet")}


def held(database: Database, table: str = "points") -> list[str | None]:
    return [text for (text,) in database.run(f"select text from {table} where series_id = 'mode' order by time")]


def test_texts_are_kept_verified_changed_and_repaired(database: Database, jobs: Jobs, context: RunContext) -> None:
    folder = jobs.folder / "in"
    source = texts_file(folder, TEXTS, only=[None, None])
    job = jobs.job(source, database.sink(text=True))
    assert run_migrate(job, context).status == "complete"
    assert held(database) == TEXTS
    assert database.run("select count(*) from points where value = 'NaN' and text is not null") == [(len(TEXTS) - 1,)]
    assert run_verify(job, context, source=True).status == "complete"
    changed = [*TEXTS[:4], "pa", *TEXTS[5:]]
    texts_file(folder, changed)
    found = run_verify(job, context, source=True)
    assert (found.status, found.details["by_kind"]["changed_text"]) == ("incomplete", 1)
    assert run_migrate(job, context).status == "complete"
    assert held(database) == changed
    database.run("update points set text = 'planted' where text = 'pa'")
    database.run("alter table points alter value drop not null")
    database.run("update points set value = null where text = ''")
    assert run_verify(job, context).details["differences"] == 2
    assert run_verify(job, context, repair=True).status == "complete"
    assert held(database) == changed
    assert database.run("select count(*) from points where value is null") == [(0,)]


def test_without_the_key_texts_are_a_finding_and_the_scope_is_as_before(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    source = texts_file(jobs.folder / "in", TEXTS)
    with pytest.raises(UsageError, match="text_values"):
        run_migrate(jobs.job(source, database.sink()), context)
    job = jobs.job(source, database.sink(), accept=["text_values"])
    assert job.sink.identity()["writing"] == "time=timestamptz time_resolution=dead_letter"
    assert run_migrate(job, context).status == "complete"
    assert [value for *_, value, _ in database.rows()] == [bits(1.5), *[bits(float("nan"))] * (len(TEXTS) - 1)]


def test_a_table_without_the_column_is_refused_with_the_statement_that_adds_it(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink(), "first"), context)
    source = texts_file(jobs.folder / "in", TEXTS)
    with pytest.raises(UsageError, match=r"column text, which sink\.text wants") as refused:
        run_migrate(jobs.job(source, database.sink(text=True)), context)
    statement = str(refused.value).partition("wants: ")[2].partition(";")[0]
    database.run(statement)
    assert run_migrate(jobs.job(source, database.sink(text=True)), context).status == "complete"
    assert held(database) == TEXTS


def test_a_text_with_a_nul_is_a_dead_letter(database: Database, jobs: Jobs, context: RunContext) -> None:
    source = texts_file(jobs.folder / "in", ["before", "a\0b", "after"])
    job = jobs.job(source, database.sink(text=True))
    summary = run_migrate(job, context)
    assert (summary.status, summary.dead_letters, summary.points_written) == ("incomplete", 1, 2)
    assert held(database) == ["before", "after"]
    [letter] = read_dead_letters(StateDir.open(str(jobs.folder / "state"), "job", create=False))
    assert letter.reason == NUL_IN_TEXT
    assert letter.points.texts is not None
    assert letter.points.texts.tolist() == ["a\0b"]
    assert run_verify(job, context, source=True).details["differences"] == 0


@pytest.mark.parametrize("named", [False, True])
def test_texts_of_a_table_are_read(database: Database, jobs: Jobs, context: RunContext, named: bool) -> None:
    column = "note" if named else "text"
    database.run(
        f"create table points (series_id text, time timestamptz, value float8, status int, {column} text, unique (series_id, time))"
    )
    database.run(
        "insert into points values ('a', '2024-01-01Z', 1, 192, 'not read beside a number'), "
        "('a', '2024-01-01 00:00:01Z', 'NaN', 192, 'running'), ('a', '2024-01-01 00:00:02Z', null, 192, 'no value'), "
        "('a', '2024-01-01 00:00:03Z', 'NaN', 192, null)"
    )
    keys: dict[str, Any] = {"columns": {"text": "note"}} if named else {}
    source = database.source(**keys)
    with pytest.raises(UsageError, match=rf"text_values.*{2 if named else 1} value"):
        run_migrate(jobs.job(source, database.sink(table="plain"), "plain", window=WINDOW), context)
    job = jobs.job(source, database.sink(table="copied", text=True), window=WINDOW)
    assert run_migrate(job, context).status == "complete"
    found = database.run("select extract(second from time)::int, text from copied order by time")
    assert found == [(0, None), (1, "running"), *([(2, "no value")] if named else []), (3, None)]
    assert run_verify(job, context, source=True).status == "complete"


def test_the_metadata_of_series_stands_beside_the_table_and_is_read_with_it(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    source = jobs.csv(steady(["a", "b"], 5))
    (jobs.folder / "_series.csv").write_text(
        "series_id,name,facility,description,unit,step,value_type,states,asset_id,external_id,source_system,extra\n"
        'a,27PT1,PLANT,"a ""quoted"" text",bar,true,digital,"{""0"":""closed"",""1"":""open""}",7,ext,PI,"{""area"":7}"\n'
        "b,,,,,,,,,,,\n"
    )
    job = jobs.job(source, database.sink())
    assert run_migrate(job, context).status == "complete"
    rows = database.run("select * from points_series order by series_id")
    columns = (True, "digital", {"0": "closed", "1": "open"}, "7", "ext", "PI", {"area": 7})
    assert rows[0] == ("a", "27PT1", "PLANT", 'a "quoted" text', "bar", *columns)
    assert rows[1][:2] == ("b", "b")
    database.run("insert into points_series (series_id, name) values ('of another job', 'theirs')")
    before = dict(database.run("select series_id, xmin::text from points_series"))
    assert run_migrate(job, context).status == "complete"
    assert dict(database.run("select series_id, xmin::text from points_series")) == before
    copied = jobs.job(database.source(), database.sink(table="copied"), "copy", window=WINDOW)
    assert run_migrate(copied, context).status == "complete"
    assert database.run("select * from copied_series order by series_id") == rows
    files = jobs.job(database.source(), {"kind": "csv", "path": str(jobs.folder / "out")}, "files", window=WINDOW)
    assert run_migrate(files, context).status == "complete"
    assert "27PT1,PLANT" in (jobs.folder / "out" / "_series-files.csv").read_text()


BESIDE = {
    "other columns": ("create table points_series (series_id text primary key, n int)", "name is missing"),
    "no key": (
        "create table points_series (series_id text, name text, facility text, description text, unit text, step bool, "
        "value_type text, states jsonb, asset_id text, external_id text, source_system text, extra jsonb)",
        "no key series_id",
    ),
}


@pytest.mark.parametrize("which", BESIDE)
def test_another_table_of_that_name_is_left_alone_and_said(
    database: Database, jobs: Jobs, context: RunContext, which: str
) -> None:
    statement, why = BESIDE[which]
    database.run(statement)
    (jobs.folder / "_series.csv").write_text("series_id,unit\na,bar\n")
    summary = run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink()), context)
    assert summary.status == "complete"
    assert any("no metadata of series is kept" in each and why in each for each in summary.warnings)
    assert database.run("select count(*) from points_series") == [(0,)]


def test_an_account_that_may_not_make_or_write_it_copies_the_points_all_the_same(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    (jobs.folder / "_series.csv").write_text("series_id,unit\na,bar\n")
    database.run("create role clerk login")
    run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink(), "first"), context)
    database.run("grant select, insert, update, delete on points to clerk")
    sink = database.sink(url=database.url.replace("postgres@", "clerk@"))
    summary = run_migrate(jobs.job(jobs.csv(steady("a", 4)), sink), context)
    assert (summary.status, database.run("select count(*) from points")) == ("complete", [(4,)])
    assert any("lacks the right to select and insert and update" in each for each in summary.warnings)
    database.run("drop table points_series")
    summary = run_migrate(jobs.job(jobs.csv(steady("a", 5)), sink), context)
    assert any("points_series is missing, and the account may make no table" in each for each in summary.warnings)
    silent = run_migrate(jobs.job(jobs.csv(steady("a", 6)), {**sink, "create": False}), context)
    assert (silent.status, silent.warnings) == ("complete", ())
    source = database.source(url=sink["url"])
    database.run("create table points_series (series_id text primary key, unit text)")
    copied = jobs.job(source, {"kind": "csv", "path": str(jobs.folder / "out")}, "files", window=WINDOW)
    assert any("may not read it" in each for each in run_migrate(copied, context).warnings)


def test_a_long_name_has_no_table_beside_it(database: Database, jobs: Jobs, context: RunContext) -> None:
    (jobs.folder / "_series.csv").write_text("series_id,unit\na,bar\n")
    table = "p" * 63
    summary = run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink(table=table)), context)
    assert summary.status == "complete"
    assert any("longer than the 63 bytes" in each for each in summary.warnings)
    assert database.rows(table=table) == as_rows(steady("a", 3))


@pytest.mark.parametrize("time", ["timestamptz", "bigint_ns"])
def test_a_table_is_profiled_from_the_table(database: Database, jobs: Jobs, context: RunContext, time: str) -> None:
    points = steady(["a", "b"], 5_000)
    points["b"][7] = (points["b"][7][0], float("nan"), 24)
    (jobs.folder / "_series.csv").write_text("series_id,name,unit\na,27PT1,bar\n")
    job = jobs.job(jobs.csv(points), database.sink(time=time))
    assert run_profile(job, context).summary.warnings[0].endswith("run the job first, or correct sink.table")
    run_migrate(job, context)
    database.run("insert into points_series (series_id, name) values ('b', 'second') on conflict do nothing")
    summary = run_profile(job, context).summary
    assert (summary.status, summary.points_read, summary.series) == ("complete", 10_000, 2)
    first, second = summary.details["profile"]
    assert (first["name"], first["unit"], first["points"], first["minimum"], first["maximum"]) == (
        "27PT1",
        "bar",
        5_000,
        0.0,
        4_999.0,
    )
    assert (second["points"], second["bad"]) == (5_000, 1)
    page = jobs.folder / "page.html"
    result = run_profile(job, context, html=str(page))
    assert "in 1 table" in page.read_text()
    assert result.summary.details["gap_count"] == 0
