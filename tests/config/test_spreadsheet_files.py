"""Lists of ids and mapping files as spreadsheets save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnia_beam.config.ids_file import read_ids_file
from omnia_beam.config.mapping_file import MappingRow, read_mapping_file
from omnia_beam.core.errors import UsageError

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_ids_are_found_however_they_were_saved(tmp_path: Path, encoding: str, end: str, delimiter: str) -> None:
    rows = [("name", "id", ""), ("PT-1", "a-1 ", ""), ("", "", ""), ("PT-2", "b-2", ""), ("", "", "")]
    path = tmp_path / "ids.csv"
    path.write_bytes("".join(delimiter.join(row) + end for row in rows).encode(encoding))
    assert read_ids_file(str(path)).ids == ("a-1", "b-2")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_mappings_are_read_however_they_were_saved(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "tags.csv"
    path.write_bytes("sep=;\r\nsource;target_name;;\r\nPT-1;Trykk Øst;;\r\n;;;\r\n".encode(encoding))
    assert read_mapping_file(str(path)) == (MappingRow("PT-1", "Trykk Øst"),)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("Trykk Øst".encode("cp1252"), "is not UTF-8 text (byte 6): save it as UTF-8"),
        (b"\xff\xfei\x00d\x00\n", "is not UTF-16-LE text"),
        (b"sep=;\r\n;;\r\n", "holds nothing"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "ids.csv"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_ids_file(str(path))
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_cell_in_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_text("source;target_name;\nPT-1;X-1;what is this\n")
    with pytest.raises(UsageError, match=r"tags\.csv:2: 3 cells where the header has 2"):
        read_mapping_file(str(path))
