"""A table as the sink: what arrives, what is refused, what is written again."""

from __future__ import annotations

import math
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import DestinationError, UnreachableError, UsageError
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.postgresql.conftest import T0, Database, Jobs, as_rows, bits, steady

SECOND = 10**9
SPECIAL = [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1]


def special() -> dict[str, list[tuple[int, float, int]]]:
    values = {"odd 'name\" ø": [(T0 + i * SECOND, value, 2**32 - 1 - i) for i, value in enumerate(SPECIAL)]}
    return values | {"before 1970": [(-SECOND, 1.0, 0), (-1_000, 2.0, 192)]}


@pytest.mark.parametrize("time", ["timestamptz", "bigint_ns"])
def test_values_times_and_statuses_arrive_to_the_bit(
    database: Database, jobs: Jobs, context: RunContext, time: str
) -> None:
    points = special()
    job = jobs.job(jobs.csv(points), database.sink(time=time))
    summary = run_migrate(job, context)
    assert (summary.status, summary.points_written) == ("complete", 10)
    assert database.rows(time) == as_rows(points)
    again = run_migrate(job, context)
    assert (again.status, again.windows_done) == ("complete", 0)
    assert run_verify(job, context, source=True).status == "complete"


def test_times_finer_than_a_microsecond_become_dead_letters_or_are_cut_towards_the_past(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    times = [-1_500, -1_000, 0, 1_999, 2_000, 5_001, 5_002]
    points = {"a": [(ns, float(i), 192) for i, ns in enumerate(times)]}
    kept = run_migrate(jobs.job(jobs.csv(points), database.sink(), accept=["time_resolution"]), context)
    assert (kept.status, kept.dead_letters, kept.points_written) == ("incomplete", 4, 3)
    assert [ns for _, ns, _, _ in database.rows()] == [-1_000, 0, 2_000]
    cut = jobs.job(jobs.csv(points), database.sink(table="cut", time_resolution="truncate"), "cut")
    summary = run_migrate(cut, context)
    # The first one would leave its window; the last one meets the one before.
    assert [(ns, value) for _, ns, value, _ in database.rows(table="cut")] == [
        (-1_000, bits(1.0)),
        (0, bits(2.0)),
        (1_000, bits(3.0)),
        (2_000, bits(4.0)),
        (5_000, bits(5.0)),
    ]
    assert summary.dead_letters == 2
    exact = jobs.job(jobs.csv(points), database.sink(table="ns", time="bigint_ns"), "ns")
    assert run_migrate(exact, context).status == "complete"
    assert [ns for _, ns, _, _ in database.rows("bigint_ns", "ns")] == times


def form(
    tag: str = "series_id", id: str = "text", time: str = "timestamptz", value: str = "float8", more: str = ""
) -> str:
    return (
        f"create table points ({tag} {id}, time {time}, value {value}, status bigint{more}, primary key ({tag}, time))"
    )


FORMS = {
    "other type": form(value="real"),
    "other name": form(tag="tag"),
    "further": form(more=", unit text"),
    "no zone": form(time="timestamp"),
    "short": form(id="varchar(5)"),
    "no key": "create table points (series_id text not null, time timestamptz not null, value float8, status bigint)",
    "view": "create view points as select 'a'::text series_id, now() as time, 1.0::float8 as value, 1::bigint as status",
}


@pytest.mark.parametrize("which", FORMS)
def test_a_table_of_another_form_is_refused_with_the_statement_that_would_fit(
    database: Database, jobs: Jobs, context: RunContext, which: str
) -> None:
    database.run(FORMS[which])
    with pytest.raises(UsageError) as refused:
        run_migrate(jobs.job(jobs.csv(steady("ab", 3)), database.sink()), context)
    text = str(refused.value)
    assert "does not fit" in text
    made = text[text.index("create table") :]
    database.run("drop view points" if which == "view" else "drop table points")
    database.run(made)
    assert run_migrate(jobs.job(jobs.csv(steady("ab", 3)), database.sink(create=False)), context).status == "complete"


def test_a_table_that_fits_in_another_order_of_columns_is_taken(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    database.run(
        "create table points (status bigint, time timestamptz not null, value double precision, series_id varchar not null)"
    )
    database.run("create unique index on points (time, series_id)")
    points = steady("ab", 5)
    assert run_migrate(jobs.job(jobs.csv(points), database.sink()), context).status == "complete"
    assert database.rows() == as_rows(points)


def test_without_create_a_missing_table_is_named_with_its_statement(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    with pytest.raises(UsageError, match=r"no table points\. Set sink\.create: true, or make it: create table"):
        run_migrate(jobs.job(jobs.csv(steady("a", 1)), database.sink(create=False)), context)


def changed(points: dict[str, list[tuple[int, float, int]]]) -> dict[str, list[tuple[int, float, int]]]:
    """One value, one sign of zero, one status changed, one point gone, one new."""
    a, b = list(points["a"]), list(points["b"])
    a[0] = (a[0][0], 99.5, 192)
    a[1] = (a[1][0], a[1][1], 0)
    b[0] = (b[0][0], -0.0, 192)
    del a[2]
    b.append((b[-1][0] + 500_000_000, 1.25, 192))
    return {"a": a, "b": b}


def test_a_window_that_is_read_again_is_in_the_table_as_the_source_shows_it_now(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    points = {"a": steady("a", 20)["a"], "b": [(T0 + i * SECOND, float(i), 192) for i in range(20)]}
    run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    before = dict(database.run("select series_id || time, xmin::text from points"))
    now = changed(points)
    summary = run_migrate(jobs.job(jobs.csv(now), database.sink()), context)
    assert (summary.status, summary.points_removed) == ("complete", 1)
    assert database.rows() == as_rows(now)
    after = dict(database.run("select series_id || time, xmin::text from points"))
    untouched = [name for name, version in before.items() if after.get(name) == version]
    assert len(untouched) == 36, "rows that did not change are not written again"


def test_rows_of_others_in_a_new_window_stay_and_are_warned_of(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    points = steady("ab", 10)
    run_migrate(jobs.job(jobs.csv({"z": [(T0, 1.0, 1)]}), database.sink(), "other"), context)
    database.run(
        "insert into points values ('a', '2024-01-01 00:00:00.5Z', 7, 7), ('a', '2024-01-01 00:00:01Z', 8, null)"
    )
    summary = run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    assert summary.status == "complete"
    assert any("others write there too" in each for each in summary.warnings)
    theirs = [("a", T0 + SECOND // 2, bits(7.0), 7), ("z", T0, bits(1.0), 1)]
    assert database.rows() == sorted([*as_rows(points), *theirs])


PLANTED = {
    "value": (
        "update points set value = value + 1 where series_id = 'a' and time = '2024-01-01 00:00:03Z'",
        "changed_value",
    ),
    "zero": ("update points set value = '-0' where series_id = 'b' and time = '2024-01-01 00:00:00Z'", "changed_value"),
    "status": (
        "update points set status = 5 where series_id = 'a' and time = '2024-01-01 00:00:03Z'",
        "changed_status",
    ),
    "no status": ("update points set status = null where series_id = 'a' and time = '2024-01-01 00:00:03Z'", ""),
    "gone": ("delete from points where series_id = 'a' and time = '2024-01-01 00:00:03Z'", "missing_point"),
    "extra": ("insert into points values ('a', '2024-01-01 00:00:03.5Z', 1, 1)", "extra_point"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_change_is_found_by_verify_and_repaired(
    database: Database, jobs: Jobs, context: RunContext, planted: str
) -> None:
    points = {"a": steady("a", 10)["a"], "b": [(T0 + i * SECOND, float(i), 192) for i in range(10)]}
    job = jobs.job(jobs.csv(points), database.sink())
    run_migrate(job, context)
    statement, kind = PLANTED[planted]
    database.run(statement)
    found = run_verify(job, context)
    assert found.status == ("incomplete" if kind else "complete")
    assert kind in str(found.details)
    repaired = run_verify(job, context, repair=True)
    assert repaired.status == "complete"
    if kind:
        assert database.rows() == as_rows(points)


def test_what_is_lost_at_the_destination_is_written_again_by_the_next_run(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    points = steady("ab", 10)
    job = jobs.job(jobs.csv(points), database.sink())
    run_migrate(job, context)
    for loss in (
        "delete from points where series_id = 'a' and value > 4",
        "delete from points where series_id = 'b'",
        "truncate points",
        "drop table points",
    ):
        database.run(loss)
        assert run_migrate(job, context).status == "complete"
        assert database.rows() == as_rows(points), loss


def test_a_vanished_series_is_kept_and_followed_as_the_job_says(
    database: Database, jobs: Jobs, context: RunContext
) -> None:
    points = steady("ab", 10)
    run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    gone = {"a": points["a"]}
    kept = run_migrate(jobs.job(jobs.csv(gone), database.sink()), context)
    assert (kept.status, kept.points_kept) == ("incomplete", 10)
    assert database.rows() == as_rows(points)
    assert run_migrate(jobs.job(jobs.csv(gone), database.sink()), context).status == "complete"
    followed = run_migrate(jobs.job(jobs.csv(gone), database.sink(), vanished="follow"), context)
    assert (followed.status, followed.points_removed) == ("complete", 10)
    assert database.rows() == as_rows(gone)


def test_more_removals_than_allowed_are_none(database: Database, jobs: Jobs, context: RunContext) -> None:
    points = steady("a", 50)
    run_migrate(jobs.job(jobs.csv(points), database.sink()), context)
    fewer = {"a": points["a"][:20]}
    refused = run_migrate(jobs.job(jobs.csv(fewer), database.sink(), max_removed=29), context)
    assert refused.status == "incomplete"
    assert database.rows() == as_rows(points)
    done = run_migrate(jobs.job(jobs.csv(fewer), database.sink(), max_removed=30), context)
    assert (done.status, done.points_removed) == ("complete", 30)
    assert database.rows() == as_rows(fewer)


def test_missing_rights_are_named(database: Database, jobs: Jobs, context: RunContext) -> None:
    database.run("create role writer login")
    database.run(form(value="float8 not null"))
    url = database.url.replace("postgres@", "writer@")
    job = jobs.job(jobs.csv(steady("a", 3)), database.sink(url=url, create=False))
    with pytest.raises(DestinationError, match=r"permission denied for table points.*docs/postgresql.md"):
        run_migrate(job, context)
    database.run("grant select, insert, update, delete on points to writer")
    assert run_migrate(job, context).status == "complete"


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"url": "postgresql://postgres@127.0.0.1:1/plant"}, UnreachableError, "127.0.0.1:1/plant: .*refused"),
        ({"sslmode": "verify-full"}, UnreachableError, "sslmode"),
        ({"table": "nowhere.points"}, UsageError, "nowhere"),
        ({"table": "points", "create": False}, UsageError, "there is no table points"),
    ],
)
def test_what_cannot_be_reached_is_one_clear_message(
    database: Database, jobs: Jobs, context: RunContext, change: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink(**change)), context)


def test_a_database_that_is_not_there_and_an_account_that_is_none(
    database: Database, jobs: Jobs, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database.url.replace(database.name, "nowhere")
    with pytest.raises(UsageError, match='database "nowhere" does not exist'):
        run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink(url=url)), context)
    monkeypatch.setenv("PGUSER_HERE", "nobody")
    monkeypatch.setenv("PGPASSWORD_HERE", "a-password-of-the-test")
    account = {"kind": "basic", "username_env": "PGUSER_HERE", "password_env": "PGPASSWORD_HERE"}
    with pytest.raises(Exception, match='role "nobody" does not exist') as refused:
        run_migrate(jobs.job(jobs.csv(steady("a", 3)), database.sink(credential=account)), context)
    assert "a-password-of-the-test" not in repr(refused.value)
