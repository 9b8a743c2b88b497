"""Files of ids: lists, tables, repeats, and the line of each mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.config import read_ids_file
from omnia_beam.config.ids_file import Repeat

from .conftest import Files


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a\nb\n", ("a", "b")),
        ("a", ("a",)),
        ("# of the plant\n\n  a  \n#b\nc # the pump\nd\t# x\ne#f\n", ("a", "c", "d", "e#f")),
        ("id\na\n", ("a",)),
        ("ID\na\n", ("a",)),
        ("# x\nsource\na\n", ("a",)),
        ("series_id;name\na;x\nb;y\n", ("a", "b")),
        ("name,id\nx y,a\nz,b\n", ("a", "b")),
        ('name,id\n"x, y",a\n"q ""z""","b"\n', ("a", "b")),
        ("id,name,source\na,n,IMS\n", ("a",)),
        ("source,id\nIMS,a\n", ("a",)),
        ("source\tscale\na\t2\n", ("a",)),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301\nPI:tag/1\n", ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "PI:tag/1")),
        ("\ufeffid\r\na\r\nb\r\n", ("a", "b")),
    ],
)
def test_forms(files: Files, text: str, ids: tuple[str, ...]) -> None:
    found = read_ids_file(files.write(text, "tags.csv"))
    assert (found.ids, found.repeats) == (ids, ())


def test_repeats_are_reported_and_harmless(files: Files) -> None:
    found = read_ids_file(files.write("a\n\nb\na\nA\na\n", "tags.txt"))
    assert found.ids == ("a", "b", "A")
    assert found.repeats == (Repeat("a", 4, 1), Repeat("a", 6, 1))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["tags.csv: the file of ids holds nothing"]),
        ("# a\n\n", ["tags.csv: the file of ids holds nothing"]),
        ("id\n", ["tags.csv: the file of ids has a header and no ids"]),
        (
            "a\nb c\n\nd\x07\n",
            [
                'tags.csv:2: "b c" is not an id: it holds a blank or a control character; one id to an item',
                'tags.csv:4: "d\\u0007" is not an id: it holds a blank or a control character; one id to an item',
            ],
        ),
        (
            "tag,name\na,b\n",
            [
                "tags.csv:1: the file of ids has several columns, and none is called id, series_id, source: "
                '"tag, name"; name the column of the ids so, or leave one id a line'
            ],
        ),
        ("id,name\na,b\nc\n", ["tags.csv:3: 1 cells where the header has 2; quote a cell that holds the delimiter"]),
        ("id,name\n,b\n", ["tags.csv:2: an id is empty"]),
        (
            'id,name\na,"b\n',
            [
                "tags.csv:2: a quote is not closed on its line, or something follows it; write a quote inside a cell twice"
            ],
        ),
    ],
)
def test_mistakes(files: Files, text: str, lines: list[str]) -> None:
    assert files.fails(read_ids_file, text, "tags.csv") == lines


def test_files_that_cannot_be_read(files: Files) -> None:
    (files.directory / "latin.txt").write_bytes(b"a\n\xc5\n")
    for name, says in [
        ("none.txt", "none.txt: there is no such file (the file of ids)"),
        ("", "the file of ids cannot be read: Is a directory"),
        ("latin.txt", "latin.txt: the file of ids is not UTF-8 text (byte 2): save it as UTF-8"),
    ]:
        problem = ""
        try:
            read_ids_file(str(files.directory / name))
        except Exception as error:
            problem = str(error)
        assert problem.endswith(says)


_id = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8).filter(
    lambda text: not text.startswith("#") and text.lower() not in ("id", "source", "series_id")
)


@given(st.lists(_id, min_size=1, max_size=30), st.sampled_from([",", ";", "\t"]), st.data())
def test_every_id_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], delimiter: str, data: st.DataObject
) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    name = data.draw(st.sampled_from(["id", "series_id", "source"]))
    lines = [f"note{delimiter}{name}{delimiter}x"]
    for series_id in ids:
        lines += data.draw(st.lists(st.sampled_from(["", "# a, b", "  "]), max_size=2))
        lines.append(f"{quoted('n, ; x')}{delimiter}{quoted(series_id)}{delimiter}")
    path = tmp_path_factory.getbasetemp() / "ids.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = read_ids_file(str(path))
    assert list(found.ids) == list(dict.fromkeys(ids))
    assert len(found.ids) + len(found.repeats) == len(ids)
    texts = path.read_text(encoding="utf-8").split("\n")
    assert all(quoted(repeat.series_id) in texts[repeat.line - 1] for repeat in found.repeats)
