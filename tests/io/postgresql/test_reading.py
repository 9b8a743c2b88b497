"""Rows of any table, as random as they come, are read as a brute-force reader of the same rows reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.postgresql.options import PostgresqlSource
from omnia_beam.io.postgresql.reader import TableRead, WindowReader
from omnia_beam.io.postgresql.source import OtherTable
from tests.io.postgresql.conftest import T0, Database, bits

IDS = ("a", "b", "ø'1")
NAN = float("nan")
Row = tuple[str | None, int | None, Any, int | None]

PRIMARY: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "double": ("double precision", st.sampled_from([None, 0.0, -0.0, 1.5, NAN, math.inf, 5e-324])),
    "real": ("real", st.sampled_from([None, 1.5, -2.25, NAN])),
    "numeric": ("numeric", st.sampled_from([None, "1.1", "-7", "NaN", "1e-400", "123456789012345678901234567890.5"])),
    "integer": ("integer", st.sampled_from([None, -7, 0, 2**31 - 1])),
    "boolean": ("boolean", st.sampled_from([None, True, False])),
}


def as_double(value: Any) -> float:
    return 0.0 if value == "1e-400" else float(value)


def expected(rows: Iterable[Row], span: TimeRange) -> list[tuple[str, int, bytes, int]]:
    """The points of rows in a range: of one series and time the largest value, then the largest status; NaN is the largest."""
    best: dict[tuple[str, int], tuple[tuple[bool, float, int], float, int]] = {}
    for series_id, us, value, status in rows:
        if series_id is None or us is None or value is None:
            continue
        ns, number, status = T0 + us * 1_000, as_double(value), 192 if status is None else status
        rank = (math.isnan(number), 0.0 if math.isnan(number) else number, status)
        if span.start_ns <= ns < span.end_ns and (
            (series_id, ns) not in best or rank > best[series_id, ns][0] or rank[1:] == best[series_id, ns][0][1:]
        ):
            best[series_id, ns] = (rank, number, status)
    return sorted((name, ns, bits(number), status) for (name, ns), (_, number, status) in best.items())


def rows_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    series = st.one_of(st.sampled_from(IDS), st.none())
    times = st.one_of(st.integers(-5, 40), st.none())
    statuses = st.sampled_from([None, 0, 192, 2**31 - 1])
    return st.lists(st.tuples(series, times, values, statuses), max_size=60)


@pytest.mark.long
@pytest.mark.parametrize("form", PRIMARY)
@pytest.mark.parametrize("indexed", [False, True])
def test_random_rows_are_read_as_by_brute_force(database: Database, form: str, indexed: bool) -> None:
    type_, values = PRIMARY[form]
    database.run(f"create table points (series_id text, time timestamptz, value {type_}, status int)")
    if indexed:
        database.run("create index on points (series_id, time)")
    options = PostgresqlSource.model_validate(database.source())
    table = OtherTable(options_database(options), options)
    layout = table.layout()

    @settings(max_examples=25, deadline=None)
    @given(rows=rows_of(values), most=st.integers(1, 30), first=st.integers(0, 10), length=st.integers(1, 40))
    def check(rows: list[Row], most: int, first: int, length: int) -> None:
        with psycopg.connect(database.url) as connection:
            connection.execute("truncate points")
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"insert into points values (%s, timestamptz '2024-01-01Z' + %s * interval '1 us', %s::text::{type_}, %s)",
                    [(a, b, None if c is None else str(c), d) for a, b, c, d in rows],
                )
        span = TimeRange(T0 + first * 1_000 - 1, T0 + (first + length) * 1_000 - 500)
        found: list[tuple[str, int, bytes, int]] = []
        repeats = dict.fromkeys(IDS, 0)

        def note(finding: str, series_id: str, points: int) -> None:
            assert finding == "duplicates"
            repeats[series_id] += points

        reader = WindowReader(TableRead(table.database, layout, max(most, 20)), note)
        for chunk in reader.read(ChunkKey(IDS, span)):
            for series_id, _, points in chunk.by_series():
                assert all(chunk.key.range.start_ns <= ns < chunk.key.range.end_ns for ns in points.times)
                found += [
                    (series_id, int(ns), bits(value), int(status))
                    for ns, value, status in zip(points.times, points.values, points.statuses, strict=True)
                ]
        reader.close()
        assert canonical(found) == canonical(expected(rows, span))
        counts = table.counts(layout, IDS, span)
        assert counts == {each: len([1 for name, *_ in found if name == each]) for each in IDS}
        edges = (span.start_ns, *range(T0 + (first + 1) * 1_000, span.end_ns, 3_000), span.end_ns)
        density = table.density(layout, IDS, tuple(sorted(set(edges))))
        assert density.totals() == counts

    check()


def canonical(rows: Iterable[tuple[str, int, bytes, int]]) -> list[tuple[str, int, bytes, int]]:
    """Rows with one zero: which one of two equal zeros of one time is read is not said."""
    return sorted((name, ns, bits(0.0) if value == bits(-0.0) else value, status) for name, ns, value, status in rows)


def options_database(options: PostgresqlSource) -> Any:
    from omnia_beam.io.postgresql.connection import Database as Product

    return Product.of(options)
