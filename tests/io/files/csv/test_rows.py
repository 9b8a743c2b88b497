"""Cells of CSV: bit for bit what Python makes of them, and named where nobody can read them."""

from __future__ import annotations

import csv
import io
import struct
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.files.csv.header import CsvColumns, read_header
from omnia_beam.io.files.csv.lines import CsvReading, read_lines
from omnia_beam.io.files.csv.rows import read_rows
from omnia_beam.io.files.csv.times import TimeForm
from omnia_beam.io.files.forms import CsvForm

READING = CsvReading("pump.csv", lambda name: True)

Point = tuple[int, int, int]


def bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def plain(found: dict[str, Points]) -> dict[str, list[Point]]:
    return {
        name: [
            (time, bits(value), status)
            for time, value, status in zip(*(column.tolist() for column in points[:3]), strict=True)
        ]
        for name, points in found.items()
    }


def header(text: str, **form: Any) -> CsvColumns:
    return read_header(text, CsvForm(**form), "pump.csv")


times = st.integers(-(2**63) + 1, 2**63 - 1)
floats = st.floats(allow_nan=False)
numbers = st.one_of(
    floats.map(repr),
    floats.map(lambda value: f"{value:.3e}"),
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=30).map(str),
    st.sampled_from(["nan", "NaN", "inf", "-inf", "Infinity", "1.", ".5", "-0", "1e400", "2.4703282292062328e-324"]),
)
cells = st.one_of(st.just(""), numbers)
# What only the slow half reads: its presence must not change the meaning of the cells around it.
odd_cells = st.one_of(cells, numbers.map(lambda text: f" {text} "), st.just("  "), st.just("+1.5"))
stamps = st.one_of(
    times.map(format_time),
    times.map(lambda ns: format_time(ns, 9).replace("T", " ").removesuffix("Z")),
    times.map(lambda ns: format_time(ns, 9).replace("Z", "+00:00")),
)


def expected_wide(names: list[str], rows: list[list[str]], time_ns: list[int]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for ns, row in zip(time_ns, rows, strict=True):
        for name, cell in zip(names, row, strict=True):
            if cell.strip():
                found.setdefault(name, []).append((ns, bits(float(cell)), 192))
    return found


@pytest.mark.parametrize("read", [read_rows, read_lines])
@given(data=st.data())
def test_wide_files_are_read_as_python_reads_them(read: Any, data: st.DataObject) -> None:
    names = ["a", "b;c", 'd"e']
    time_ns = data.draw(st.lists(times, max_size=8))
    one_cell = data.draw(st.sampled_from([cells, odd_cells]))
    rows = [[data.draw(one_cell) for _ in names] for _ in time_ns]
    digits = data.draw(st.sampled_from([9, None]))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator=data.draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerows([format_time(ns, digits), *row] for ns, row in zip(time_ns, rows, strict=True))
    columns = CsvColumns(("t", *names), ";", "wide", 0)
    found = read(text.getvalue().encode(), columns, READING, 2)
    assert plain(found) == expected_wide(names, rows, time_ns)


@given(st.lists(st.tuples(stamps, st.sampled_from(["x", "y z"]), odd_cells, st.sampled_from(["", "0", "192", "0xC0"]))))
def test_long_files_are_read_the_same_both_ways(rows: list[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    columns = header("time,name,value,status")
    data = text.getvalue().encode()
    assert plain(read_rows(data, columns, READING, 2)) == plain(read_lines(data, columns, READING, 2))


@given(times)
def test_every_time_that_fits_is_exact(ns: int) -> None:
    for text in (format_time(ns, 9), format_time(ns, 9).replace("T", " ")):
        found = read_rows(f"{text};1\n".encode(), header("t;a"), READING, 2)
        assert found["a"].times.tolist() == [ns]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("epoch_s", "1583748873", "2020-03-09T10:14:33Z"),
        ("epoch_s", "1583748873.123456789", "2020-03-09T10:14:33.123456789Z"),
        ("epoch_ms", "-1", "1969-12-31T23:59:59.999Z"),
        ("epoch_us", "1583748873000001", "2020-03-09T10:14:33.000001Z"),
        ("epoch_ns", "1583748873000000001", "2020-03-09T10:14:33.000000001Z"),
        ("%d.%m.%Y %H:%M:%S", "09.03.2020 10:14:33", "2020-03-09T10:14:33Z"),
        ("%Y-%m-%d %H:%M:%S.%f%z", "2020-03-09 10:14:33.5+0130", "2020-03-09T08:44:33.500Z"),
        (None, "2020-03-09", "2020-03-09T00:00:00Z"),
        (None, "2020-03-09 10", "2020-03-09T10:00:00Z"),
        (None, "2020-03-09T10:14:33+01", "2020-03-09T09:14:33Z"),
    ],
)
@pytest.mark.parametrize("read", [read_rows, read_lines])
def test_time_formats(read: Any, form: str | None, text: str, expected: str) -> None:
    reading = CsvReading("pump.csv", lambda name: True, TimeForm(form))
    found = read(f"{text};1\n".encode(), header("t;a"), reading, 2)
    assert [format_time(ns) for ns in found["a"].times.tolist()] == [expected]


@pytest.mark.parametrize("read", [read_rows, read_lines])
@given(moment=st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 31)))
def test_times_of_a_zone_are_those_of_the_zone_database(read: Any, moment: datetime) -> None:
    zone = ZoneInfo("Europe/Oslo")
    both = {moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    reading = CsvReading("pump.csv", lambda name: True, TimeForm(None, "Europe/Oslo"))
    data = f"{moment.isoformat()};1\n".encode()
    if len(both) > 1:
        with pytest.raises(UsageError, match="happened twice or never in Europe/Oslo"):
            read(data, header("t;a"), reading, 2)
        return
    found = read(data, header("t;a"), reading, 2)
    since = both.pop() - datetime(1970, 1, 1, tzinfo=UTC)
    assert found["a"].times.tolist() == [(since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000]


@pytest.mark.parametrize(
    ("line", "form", "says"),
    [
        ("2020-01-01;1;x y", {}, "pump.csv:3: column 3 (b): 'x y' is not a number"),
        ("2020-01-01;1;1,5", {}, 'set source.decimal: ","'),
        ("2020-01-01;1;1.5", {"decimal": ","}, "column 3 (b): '1.5' is not a number"),
        ("2020-01-01;1;1_000", {}, "'1_000' is not a number"),
        ("2020-01-01;1;-", {}, "add it to source.missing"),
        ("2020-02-30;1;2", {}, "pump.csv:3: column 1 (t): '2020-02-30' is not a time"),
        (";1;2", {}, "column 1 (t): '' is not a time"),
        ("2020-01-01;1", {}, "pump.csv:3: 2 cells where the header has 3"),
        ('"2020-01-01;1;2', {}, "a quoted cell must be closed"),
        ("2300-01-01;1;2", {}, "outside what 64-bit nanoseconds can hold"),
        ("0x10;1;2", {"time_format": "epoch_s"}, "column 1 (t): '0x10' is not a time as epoch_s"),
    ],
)
def test_what_cannot_be_read_is_named(line: str, form: dict[str, Any], says: str) -> None:
    reading = CsvReading("pump.csv", lambda name: True, TimeForm(form.pop("time_format", None)), **form)
    good = "1;1;1" if reading.times.pattern else "2020-01-01;1;1"
    with pytest.raises(UsageError) as caught:
        read_rows(f"{good}\n{line}\n".encode(), header("t;a;b"), reading, 2)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2020-01-01,,1,192", "pump.csv:2: column 2 (name): '' names no series"),
        ("2020-01-01,a,1,-1", "column 4 (status): '-1' is not a status"),
        ("2020-01-01,a,1,4294967296", "column 4 (status): '4294967296' is not a status"),
    ],
)
def test_what_cannot_be_read_of_a_long_file_is_named(line: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_rows(f"{line}\n".encode(), header("time,name,value,status"), READING, 2)
    assert says in str(caught.value)


def test_missing_texts_decimal_marks_and_encodings() -> None:
    reading = CsvReading(
        "pump.csv", lambda name: name != "no", missing=frozenset({"Bad", "-"}), decimal=",", encoding="latin-1"
    )
    data = "2020-01-01;1,5;Bad;x\n2020-01-01;-;-2,25e1;x\n".encode("latin-1")
    found = read_rows(data, header("t;Trykk;Høyde;no"), reading, 2)
    assert {name: points.values.tolist() for name, points in found.items()} == {"Trykk": [1.5], "Høyde": [-22.5]}


@pytest.mark.parametrize(
    ("text", "form", "layout", "delimiter"),
    [
        ("datetime;a;b", {}, "wide", ";"),
        ("time,a", {}, "wide", ","),
        ("name\tvalue\ttime", {}, "long", "\t"),
        ("time,series_id,value,status", {}, "long", ","),
        ("time,series_id,value,status", {"layout": "wide"}, "wide", ","),
        (
            "Tag|When|What",
            {"delimiter": "|", "series_column": "Tag", "value_column": "What", "time_column": "When"},
            "long",
            "|",
        ),
    ],
)
def test_headers(text: str, form: dict[str, Any], layout: str, delimiter: str) -> None:
    columns = header(text, **form)
    assert (columns.layout, columns.delimiter) == (layout, delimiter)


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        ("t;a;a", {}, "columns 2 and 3 have the same name 'a'"),
        ("t;;a", {}, "column 2 has no name"),
        ("t", {}, "a wide file has a time and at least one series"),
        ("t;a", {"time_column": "when"}, "there is no column when; the columns are t, a: set source.time_column"),
        ("time;name;value", {"status_column": "quality"}, "set source.status_column"),
        ("time;a;value", {"layout": "long"}, "there is no column series_id or name"),
    ],
)
def test_headers_that_cannot_be_understood(text: str, form: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=r"pump\.csv:1") as caught:
        header(text, **form)
    assert says in str(caught.value)
