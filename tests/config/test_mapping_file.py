"""Mapping files: rows, and every mistake by line and column."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.config import MappingRow, read_mapping_file
from omnia_beam.config.mapping_file import COLUMNS
from omnia_beam.core.errors import UsageError

from .conftest import Files

HEADER = "source,target_name,target_facility,target_id,target_unit,scale,offset,status_map\n"


def read(files: Files, text: str) -> tuple[MappingRow, ...]:
    return read_mapping_file(files.write(text, "tags.csv"))


def test_all_columns(files: Files) -> None:
    text = f"{HEADER}Volume Flow RateRMS,flow,1191,,m3/h,3.6,-1e-3,pi\n# PT\n\nPT-2,,,g-2,,,,\n"
    assert read(files, text) == (
        MappingRow("Volume Flow RateRMS", "flow", "1191", None, "m3/h", 3.6, -0.001, "pi"),
        MappingRow("PT-2", target_id="g-2"),
    )
    assert [row.line for row in read(files, text)] == [2, 5]


def test_source_units_and_comments(files: Files) -> None:
    text = 'source,source_unit,target_name,target_unit,why\nPT-1,bar,p,kPa,"the same, but for case"\n'
    assert read(files, text) == (MappingRow("PT-1", "p", target_unit="kPa", source_unit="bar"),)


def test_series_metadata_is_a_mapping_file(files: Files) -> None:
    text = (
        "series_id,name,facility,description,unit,step,value_type,states,asset_id,external_id,source_system,extra\n"
        'PT-1,27PT-1,1191,"pressure, outlet",bar,false,float64,,,,PI,"{""a"": 1}"\n'
    )
    assert read(files, text) == (MappingRow("PT-1", "27PT-1", "1191", source_unit="bar"),)


def test_metadata_with_a_foreign_column_is_no_mapping_file(files: Files) -> None:
    with pytest.raises(UsageError, match="the column source is missing"):
        read(files, "series_id,name,tag\nPT-1,p,t\n")


@pytest.mark.parametrize(
    "text",
    [
        "source\na\n",
        "\ufeffSource\r\na\r\n",
        "scale;source\n;a\n",
        "# x\nsource\ttarget_name\na\t\n",
        'source\n"a"\n',
    ],
)
def test_forms_of_the_same_row(files: Files, text: str) -> None:
    assert read(files, text) == (MappingRow("a"),)


def test_every_mistake_is_told_by_line_and_column(files: Files) -> None:
    text = """\
source,target_nam,target_facility,target_id,target_name,target_unit,scale,offset,status_map
,,,g-1,,,,,
a,,,g 2,,,,,
b,,,g-3,n,,,,
c,,1191,,,,,,
d,,,,n4,,"0,5",1x,
e,,,,n5,,0,inf,ip12
e,,,,n6,,,,
f,,,g-7,,,,,
g,,,g-7,,,,,
h,,1191,,n8,,,,
i,,1191,,n8,,,,
j,,1192,,n8,,,,
k,,,
l,,,,"n
"""
    assert files.fails(read_mapping_file, text, "tags.csv") == [
        'tags.csv:1: column 2: "target_nam" is not a column; did you mean "target_name"? known: ' + ", ".join(COLUMNS),
        "tags.csv:2: column 1 (source): is empty; every row needs the id or name of a timeseries of the source",
        'tags.csv:3: column 4 (target_id): "g 2" is not an id: it holds a blank or a control character; one id to an item',
        "tags.csv:4: column 4 (target_id): target_name and target_id exclude each other: the id alone names the target",
        "tags.csv:5: column 3 (target_facility): a facility without target_name names no timeseries",
        'tags.csv:6: column 7 (scale): "0,5" is not a finite number; write 0.5',
        'tags.csv:6: column 8 (offset): "1x" is not a finite number; write it like 0.001 or 1e-3, or leave it empty',
        "tags.csv:7: column 7 (scale): 0 would make every value the same",
        'tags.csv:7: column 8 (offset): "inf" is not a finite number; write it like 0.001 or 1e-3, or leave it empty',
        'tags.csv:7: column 9 (status_map): "ip12" is not a status map; did you mean "ip21"? '
        "known: pi, ip21, omnia_to_pi, omnia_to_ip21",
        'tags.csv:10: target "g-7" is in line 9 already: two series would become one',
        'tags.csv:12: target "n8 in 1191" is in line 11 already: two series would become one',
        'tags.csv:14: 4 cells where the header has 9; leave cells empty, and quote one that holds ","',
        "tags.csv:15: a quote is not closed on its line, or something follows it; write a quote inside a cell twice",
    ]


def test_duplicate_sources(files: Files) -> None:
    lines = files.fails(read_mapping_file, "source,target_name\na,x\nb,y\na,z\n", "tags.csv")
    assert lines == ['tags.csv:4: source "a" is in line 2 already']


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "tags.csv: the mapping file holds nothing"),
        ("source\n", "tags.csv: the mapping file has a header and no rows"),
        ("target_id\na\n", f"tags.csv:1: the column source is missing; the first line names the columns: {', '.join(COLUMNS)}"),
        ("source,scale,source\na,1,b\n", "tags.csv:1: column 3 (source): the column is given twice, first as column 1"),
        ("source,,scale\na,,1\n", f'tags.csv:1: column 2: "" is not a column; known: {", ".join(COLUMNS)}'),
        ("source,scale\na,1_0\n", 'tags.csv:2: column 2 (scale): "1_0" is not a finite number; write'),
        ("source,scale\na,1e999\n", 'tags.csv:2: column 2 (scale): "1e999" is not a finite number; write it like'),
    ],
)  # fmt: skip
def test_single_mistakes(files: Files, text: str, line: str) -> None:
    [found] = files.fails(read_mapping_file, text, "tags.csv")
    assert found.startswith(line)


def test_own_status_maps_are_known_where_they_are_given(files: Files) -> None:
    path = files.write("source,status_map\na,plant\n", "tags.csv")
    assert read_mapping_file(path, ["plant"])[0].status_map == "plant"
    assert files.fails(read_mapping_file, "source,status_map\na,plant\n", "tags.csv")[0].startswith(
        "tags.csv:2: column 2 (status_map)"
    )


_text = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=8).map(str.strip)
_number = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
_row = st.fixed_dictionaries(
    {
        "source": _text.filter(lambda text: bool(text) and not text.startswith("#")),
        "target_name": _text,
        "target_unit": _text,
        "scale": _number.filter(lambda number: number != 0),
        "offset": _number,
        "status_map": st.sampled_from(["", "pi", "ip21"]),
    }
)
_rows = st.lists(
    _row,
    min_size=1,
    max_size=10,
    unique_by=(lambda row: row["source"], lambda row: row["target_name"] or row["source"] + "|"),
)


@given(
    _rows,
    st.permutations(["source", "target_name", "target_unit", "scale", "offset", "status_map"]),
    st.sampled_from(",;\t"),
)
def test_rows_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], columns: list[str], delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([columns, *([("" if row[name] is None else row[name]) for name in columns] for row in rows)])
    path = tmp_path_factory.getbasetemp() / "mapping.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    found = read_mapping_file(str(path))
    expected = [
        MappingRow(**{name: (value if isinstance(value, float) else value or None) for name, value in row.items()})
        for row in rows
    ]
    assert list(found) == expected
    assert [row.line for row in found] == list(range(2, len(rows) + 2))
