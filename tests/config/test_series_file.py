"""Files of series metadata: they read back as written, also by the standard reader of CSV, and as lists and mapping files."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.config import read_ids_file, read_mapping_file
from omnia_beam.config.series_file import (
    SERIES_COLUMNS,
    find_series_files,
    read_series_file,
    series_file_name,
    series_table,
)
from omnia_beam.core.errors import UsageError
from omnia_beam.core.series import VALUE_TYPES, Timeseries

texts = st.text("ab1#,;\"'=\\\n\r\t \u2028æ°€𝄞", max_size=6)
words = st.text("ab1#,;\"'=\\æ°€𝄞", min_size=1, max_size=6)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def some(of: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return of.map(lambda text: text or None)


series = st.builds(
    Timeseries,
    id=words,
    name=texts,
    facility=texts,
    description=some(texts),
    step=st.none() | st.booleans(),
    unit=some(texts),
    asset_id=some(texts),
    external_id=some(texts),
    source=some(texts),
    value_type=st.none() | st.sampled_from(VALUE_TYPES),
    states=st.dictionaries(st.integers(-(2**31), 2**31), texts, max_size=4),
    extra=st.dictionaries(texts, plain, max_size=3),
)
tables = st.lists(series, min_size=1, max_size=5, unique_by=lambda each: each.id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("series")


@settings(max_examples=40)
@given(tables)
def test_what_is_written_is_read_back(folder: Path, rows: list[Timeseries]) -> None:
    path = folder / "_series-job.csv"
    path.write_bytes(series_table(rows))
    found, problems = read_series_file(str(path))
    assert (problems, [each.series for each in found]) == ([], rows)


@settings(max_examples=40)
@given(tables)
def test_any_reader_of_csv_finds_the_columns_of_the_contract(rows: list[Timeseries]) -> None:
    text = series_table(rows).decode()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert text.startswith(
        "series_id,name,facility,description,unit,step,value_type,states,asset_id,external_id,source_system,extra\n"
    )
    for row, each in zip(found, rows, strict=True):
        states = {int(code): name for code, name in json.loads(row["states"] or "{}").items()}
        given = (
            row["series_id"],
            row["name"],
            row["unit"],
            row["source_system"],
            states,
            json.loads(row["extra"] or "{}"),
        )
        assert given == (each.id, each.name, each.unit or "", each.source or "", each.states, each.extra)


@settings(max_examples=40)
@given(tables)
def test_it_is_a_list_of_ids_and_a_mapping_file(folder: Path, rows: list[Timeseries]) -> None:
    path = folder / "_series-job.csv"
    path.write_bytes(series_table(rows))
    assert read_ids_file(str(path)).ids == tuple(each.id for each in rows)
    targets = {(each.name, each.facility) for each in rows}
    if len(targets) < len(rows):
        return  # two series would become one, which is refused
    for row, each in zip(read_mapping_file(str(path)), rows, strict=True):
        assert (row.source, row.source_unit, row.target_name or "") == (each.id, each.unit, each.name)
        assert (row.target_facility or "") == (each.facility if each.name else "")
        assert (row.target_id, row.target_unit, row.scale, row.offset, row.status_map) == (None,) * 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("series_id,unit\nPT-1,bar\n", Timeseries("PT-1", "", "", unit="bar")),
        ("\ufeffSeries_ID;Name;remark\r\nPT-1;a;b\r\n", Timeseries("PT-1", "a", "")),
        ("sep=;\n# exported\nseries_id;step\n\n#PT-0;true\nPT-1;TRUE\n", Timeseries("PT-1", "", "", step=True)),
    ],
)
def test_files_that_people_write(tmp_path: Path, text: str, expected: Timeseries) -> None:
    path = tmp_path / "_series.csv"
    path.write_text(text, encoding="utf-8", newline="")
    found, problems = read_series_file(str(path))
    assert (problems, [each.series for each in found]) == ([], [expected])


HEADER = ",".join(SERIES_COLUMNS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no series metadata"),
        ("name,unit\na,b\n", ":1: has no column series_id"),
        ("series_id,name\nPT-1\n", ":2: 1 cells where the header has 2"),
        ("series_id,name\n,x\n", ":2: the row has no series_id"),
        ("series_id,step\nPT-1,yes\n", ":2: step yes is not true or false"),
        ("series_id,value_type\nPT-1,float\n", ":2: value_type float is not one of float64, float32, int16"),
        ("series_id,states\nPT-1,open\n", ":2: states is not a JSON object"),
        ('series_id,states\nPT-1,"{""a"":""b""}"\n', ":2: states is not a JSON object"),
        ("series_id,extra\nPT-1,[1]\n", ":2: extra is not a JSON object"),
        ('series_id,name\n\nPT-1,"a\n', ":3: unexpected end of data"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "_series.csv"
    path.write_text(text, encoding="utf-8")
    found, problems = read_series_file(str(path))
    assert (found, len(problems)) == ([], 1)
    assert problem in problems[0].replace('"', "")
    assert problems[0].startswith(str(path))


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "_series.csv").write_bytes(b"series_id\n\xff\n")
    assert "is not UTF-8 text" in read_series_file(str(tmp_path / "_series.csv"))[1][0]
    assert "cannot be read" in read_series_file(str(tmp_path / "_series-gone.csv"))[1][0]


def test_a_mapping_file_with_a_damaged_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "_series-job.csv"
    path.write_text(f"{HEADER}\nPT-1,a,F,,bar,maybe,,,,,,\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"_series-job\.csv:2: step"):
        read_mapping_file(str(path))
    with pytest.raises(UsageError, match=r"_series-job\.csv:2: step"):
        read_ids_file(str(path))


def test_the_files_of_a_folder_come_oldest_first(tmp_path: Path) -> None:
    names: list[Any] = [series_file_name("job"), "_series.csv", "_series_old.csv"]
    for age, name in enumerate(names):
        (tmp_path / name).write_text("series_id\na\n", encoding="utf-8")
        os.utime(tmp_path / name, ns=(10 - age, 10 - age))
    for other in ("series.csv", "_series-x.parquet", "a.csv", "._series.csv"):
        (tmp_path / other).write_text("", encoding="utf-8")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "_series-y.csv").write_text("", encoding="utf-8")
    assert find_series_files(str(tmp_path)) == [str(tmp_path / name) for name in reversed(names)]
    assert find_series_files(str(tmp_path / "nowhere")) == []
