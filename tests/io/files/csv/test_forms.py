"""Files as people have them: each form is read exactly, or refused with its line and the key that would change it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_pattern import check_zone_words, read_pattern
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.files.blocks import BlockFile
from omnia_beam.io.files.csv.write import check_wide_names
from omnia_beam.io.files.forms import CsvForm, FileSource
from omnia_beam.io.files.found import list_files
from omnia_beam.io.files.index import FileIndex, index_file

Rows = dict[str, list[tuple[str, float, int]]]


def index_of(path: Path, size: int, form: dict[str, Any], **source: Any) -> tuple[FileSource, FileIndex]:
    what = FileSource((str(path),), CsvForm(**form), **source)
    return what, FileIndex.from_bytes(index_file(what, list_files(what.paths)[0], size).to_bytes())


def read(path: Path, size: int = 4 << 20, form: dict[str, Any] | None = None, **source: Any) -> Rows:
    """All points of a file, block by block, each block by itself as windows read it."""
    what, index = index_of(path, size, form or {}, **source)
    found: Rows = {}
    with BlockFile(what, str(path)) as opened:
        for block in reversed(range(len(index.places))):
            for name, points in opened.read(index.place(block)).items():
                columns = zip(points.times.tolist(), points.values.tolist(), points.statuses.tolist(), strict=True)
                found[name] = [(format_time(t), value, status) for t, value, status in columns] + found.get(name, [])
    return found


def one(values: list[float], statuses: list[int] | None = None) -> list[tuple[str, float, int]]:
    given = statuses or [192] * len(values)
    return [(f"2024-03-01T00:00:{n:02d}Z", v, s) for n, (v, s) in enumerate(zip(values, given, strict=True))]


T = [f"2024-03-01T00:00:{n:02d}Z" for n in range(5)]
FORMS: list[tuple[str, dict[str, Any], dict[str, Any], Rows]] = [
    (
        f"time,A\n\n# x\n,bar\n{T[0]},1\n# y\n{T[1]},2\nsum,3\n",
        {"comment": "#", "skip_after_header": 1, "skip_footer": 1},
        {},
        {"A": one([1, 2])},
    ),
    (f"time;A;\n{T[0]};1;\n{T[1]};2;\n", {}, {}, {"A": one([1, 2])}),
    (
        f"time;A\n{T[0]};1\u202f234,5\n{T[1]};-1 234 567\n",
        {"thousands": " ", "decimal": ","},
        {},
        {"A": one([1234.5, -1234567])},
    ),
    (
        f"time,A,A.q,B\n{T[0]},1,0,5\n{T[1]},2,192,6\n",
        {"status_suffix": ".q"},
        {},
        {"A": one([1, 2], [0, 192]), "B": one([5, 6])},
    ),
    (f"time,A,QA\n{T[0]},1,64.0\n{T[1]},2,\n", {"quality_columns": (("A", "QA"),)}, {}, {"A": one([1, 2], [64, 192])}),
    (
        f"time,series_id,value,status\n{T[0]},A,1,Good\n{T[1]},A,2,Bad\n",
        {"status_words": (("Good", 192), ("Bad", 0))},
        {},
        {"A": one([1, 2], [192, 0])},
    ),
    (
        "Date,Time,A\n2024-03-01,00:00:00,1\n2024-03-01,00:00:01,2\n",
        {"time_column": ("Date", "Time")},
        {},
        {"A": one([1, 2])},
    ),
    ("time,A\n45352,1\n45352.0000115741,2\n", {"time_format": "excel"}, {}, {"A": one([1, 2])}),
    ("time,A\n2024-03-01 01:00:00,1\n2024-03-01 01:00:01,2\n", {}, {"timezone": "+01:00"}, {"A": one([1, 2])}),
    (f'"time", "A"\n{T[0]}, "1"\n{T[1]}, 2\n', {}, {}, {"A": one([1, 2])}),
    (
        f"time,A,q,B,q\n{T[0]},1,x,3,y\n{T[1]},2,x,4,y\n",
        {},
        {"include": ("A", "B")},
        {"A": one([1, 2]), "B": one([3, 4])},
    ),
]


@pytest.mark.parametrize(("text", "form", "source", "expected"), FORMS)
@pytest.mark.parametrize("size", [1, 4 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_forms(
    tmp_path: Path,
    text: str,
    form: dict[str, Any],
    source: dict[str, Any],
    expected: Rows,
    size: int,
    encoding: str,
    end: str,
) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(text.replace("\n", end).encode(encoding))
    assert read(path, size, form, **source) == expected


@pytest.mark.parametrize("size", [1, 4 << 20])
def test_words_are_bad_points_or_none(tmp_path: Path, size: int) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"time,A\n{T[0]},1\n{T[1]},Bad\n{T[2]},-\n{T[3]},No Data\n")
    found = read(path, size, {"values": (("Bad", 0), ("No Data", 24), ("-", None))})["A"]
    assert [(time, status) for time, _, status in found] == [(T[0], 192), (T[1], 0), (T[3], 24)]
    assert [math.isnan(value) for _, value, _ in found] == [False, True, True]


@pytest.mark.parametrize("size", [1, 30, 4 << 20])
@given(minutes=st.sampled_from([7, 10, 15, 30, 60]))
def test_the_order_of_rows_tells_the_hour_that_came_twice(
    size: int, minutes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fold") / "in.csv"
    start = 1698530400  # 2023-10-28T22:00:00Z, midnight in Oslo
    instants = list(range(start, start + 6 * 3600, minutes * 60))
    local = [each + (7200 if each < 1698541200 else 3600) for each in instants]
    names = ["x", "y"]
    rows = [f"{format_time(t * 10**9)[:-1]},{n},{v}\n" for v, t in enumerate(local) for n in names]
    path.write_text("time,name,value\n" + "".join(rows))
    found = read(path, size, {"dst_fold": "order"}, timezone="Europe/Oslo")
    expected = [(format_time(t * 10**9), float(v), 192) for v, t in enumerate(instants)]
    assert found == dict.fromkeys(names, expected)


def test_what_the_order_does_not_tell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("time,A\n2023-10-29T03:00:00,1\n2023-10-29T02:30:00,2\n2023-10-29T02:00:00,3\n")
    with pytest.raises(UsageError, match=r"in\.csv:3: .*dst_fold"):
        read(path, form={"dst_fold": "order"}, timezone="Europe/Oslo")


def test_the_path_names_the_series(tmp_path: Path) -> None:
    folder = tmp_path / "tag=PT%2F1"
    folder.mkdir()
    for path, pattern, name in (
        (tmp_path / "PT-1.csv", "{series}.csv", "PT-1"),
        (folder / "a.csv", "tag={series}/", "PT/1"),
    ):
        path.write_text(f"time,value\n{T[0]},1\n{T[1]},2\n")
        assert read(path, series_from=pattern) == {name: one([1, 2])}
        with pytest.raises(UsageError, match=r"source\.series_from"):
            read(path)


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        (
            "time,A\n1.70925E+12,1\n",
            {"time_format": "epoch_ms"},
            "in.csv:2: column 1 (time): '1.70925E+12' is not a time",
        ),
        (f"time,A\n{T[0]},１２\n", {}, "in.csv:2: column 2 (A): '１２' is not a number"),
        (f"time,A\n{T[0]},−5\n", {}, "'−5' is not a number"),
        (f"time,A\n{T[0]},1 234\n", {}, "set source.thousands"),
        (f"time,A\n{T[0]},12 34\n", {"thousands": " "}, "'12 34' is not a number"),
        (f'time,A\n{T[0]},"1\n', {}, "in.csv:2: a quoted cell begins here and is not closed"),
        (f'time,series_id,value,note\n{T[0]},A,1,"x"y\n', {}, "in.csv:2:"),
        (f"time;A;\n{T[0]};1;2\n", {}, "in.csv:2: column 3 (): '2' is in a column without a name"),
        (f"Date,Time,A\n2024-03-01,{T[0]},1\n", {}, "set source.time_column: [Date, Time]"),
        ("id,timestamp,A\n1,1709251200,1\n", {"time_format": "epoch_s"}, "set source.time_column"),
        (
            f"time,A.q\n{T[0]},1\n",
            {"status_suffix": ".q"},
            "there is no column 'A', which source.status_suffix names",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str, form: dict[str, Any], says: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read(path, form=form)
    assert says in str(caught.value)


def test_what_a_double_cannot_hold_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    rows = ["9007199254740993", "9007199254740992", "1e309", "inf", "1e300"]
    path.write_text("time,A\n" + "".join(f"{time},{value}\n" for time, value in zip(T, rows, strict=True)))
    for size in (1, 4 << 20):
        _, index = index_of(path, size, {})
        noted = {name: each.points for name, each in index.facts["A"].noted.items()}
        assert noted == {"integer_precision": 1, "infinite_values": 1}


def test_a_long_file_that_was_taken_as_wide_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("timestamp,sensor,reading\n" + "".join(f"{t},{s},{s}\n" for t in T for s in (1, 2, 3)))
    _, index = index_of(path, 4 << 20, {})
    assert index.about.looks_long


@pytest.mark.parametrize(
    "pattern",
    [
        "%H:%M",
        "%Y-%m",
        "%Y-%W",
        "%Y-%m-%d %H %p",
        "%m/%d/%Y %I:%M",
        "%Y-%m-%d %Z",
        "%c",
        "%Y-%m-%d %s",
        "%Y-%m-%d %H:%S",
        "yyyy-MM-dd",
        "%d.%m.%Y %-H",
        "%Y-%m-%d %d",
        "%Y-%j %m",
        "%Y-%m-%d %w",
        "%Y-%m-%d %z",
    ],
)
def test_patterns_with_a_part_that_would_not_count(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"write|use|twice|not count|needs|without|has|leave"):
        read_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "zone"),
    [
        ("%Y-%m-%dT%H:%MZ", "Europe/Oslo"),
        ("%Y-%m-%d %H:%M UTC", "+01:00"),
        ("%Y-%m-%d %H:%M+01:00", "UTC"),
        ("%Y-%m-%d %H CET", "UTC"),
    ],
)
def test_plain_text_that_names_another_zone(pattern: str, zone: str) -> None:
    with pytest.raises(ValueError, match="plain text"):
        check_zone_words(pattern, zone)


@pytest.mark.parametrize("name", ["time", " a", "", "a\nb"])
def test_names_that_a_wide_file_cannot_give_back(name: str) -> None:
    with pytest.raises(UsageError, match=r"sink\.layout: wide"):
        check_wide_names(["PT-1", name])
