"""Files of text cut into blocks: every row once, its number right, whatever the block's size, quotes and encoding."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.csv.blocks import BlockForm, CsvBlock, cut_blocks
from omnia_beam.io.files.csv.head import CsvHead, read_head
from omnia_beam.io.files.csv.quotes import count_lines, scan_quotes
from omnia_beam.io.files.csv.text import TextForm
from omnia_beam.io.files.forms import CsvForm

lines = st.lists(st.text("ab,;\t 1", max_size=12), max_size=20)
cells = st.text('ab,;\n\r" #', max_size=6)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1")


def head_of(data: bytes, **form: Any) -> CsvHead:
    return read_head(io.BytesIO(data), CsvForm(**form), "x.csv")


def blocks_of(data: bytes, size: int, **form: Any) -> list[CsvBlock]:
    head = head_of(data, **form)
    file = io.BytesIO(data)
    file.seek(head.body)
    asked = CsvForm(**form)
    block_form = BlockForm(head.text, ",", asked.comment, asked.skip_footer)
    return list(cut_blocks(file, head.body, "x.csv", block_form, size, head.body_line))


def rows_of(block: CsvBlock, text: TextForm) -> list[list[str]]:
    data = io.StringIO(block.data.decode(text.encoding), newline="")
    return [row for row in csv.reader(data, strict=True) if row]


@given(lines=lines, last=st.booleans(), size=st.integers(1, 40), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_blocks_are_whole_lines_and_all_of_the_file(lines: list[str], last: bool, size: int, end: str) -> None:
    header = f"t,a{end}".encode()
    body = (end.join(lines) + (end if last and lines else "")).encode()
    blocks = blocks_of(header + body, size)
    assert b"".join(block.data for block in blocks) == body
    for block in blocks:
        before = (header + body)[: block.start]
        assert (header + body)[block.start : block.start + len(block.data)] == block.data
        assert block.first_line == len((before + b"x").decode().splitlines())
        assert block.data.endswith(end.encode()) or block is blocks[-1]


@given(
    rows=st.lists(st.lists(cells, min_size=2, max_size=3), max_size=12),
    size=st.integers(1, 60),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    all_quoted=st.booleans(),
    encoding=st.sampled_from(ENCODINGS),
)
def test_no_quoted_cell_is_cut(rows: list[list[str]], size: int, end: str, all_quoted: bool, encoding: str) -> None:
    def shown(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if all_quoted or set(cell) & set(',"\r\n') else cell

    text = "".join(",".join(map(shown, row)) + end for row in [["t", "a"], *rows])
    data = text.encode(encoding)
    form = {} if encoding != "latin-1" else {"encoding": encoding}
    blocks = blocks_of(data, size, **form)
    found = [row for block in blocks for row in rows_of(block, head_of(data, **form).text)]
    assert found == [row for row in rows if row]


@given(st.text('a,"\n\r #', max_size=40), st.sampled_from([None, "#"]))
def test_a_scan_sees_what_a_reader_sees(text: str, comment: str | None) -> None:
    """Sign by sign, as RFC 4180 says it."""
    quoted, at_start, begins_line, skipping = set(), True, True, False
    inside, at = False, 0
    while at < len(text):
        sign = text[at]
        if inside:
            quoted.add(at)
            if sign == '"' and text[at + 1 : at + 2] == '"':
                quoted.add(at + 1)
                at += 1
            elif sign == '"':
                inside = False
        elif sign in "\r\n":
            at_start = begins_line = True
            skipping = False
        elif not skipping:
            skipping = comment is not None and begins_line and sign == comment
            if sign == '"' and at_start:
                inside = True
                quoted.add(at)
            at_start = sign == "," or (at_start and sign == " ")
            begins_line = False
        at += 1
    scan = scan_quotes(text.encode(), ",", comment)
    ends = [at for at, sign in enumerate(text) if sign in "\r\n"]
    assert [at for at in ends if scan.is_quoted(at)] == [at for at in ends if at in quoted]
    assert (scan.open_at is not None) == inside


@given(st.text("a\r\n", max_size=20))
def test_lines_are_counted_as_readers_count_them(text: str) -> None:
    assert count_lines(text.encode()) == len((text + "x").splitlines()) - 1


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_footers_are_cut_off_at_the_end_alone(size: int) -> None:
    data = b't,a\n1,2\n3,"x\ny"\n5,6\n\nmin,2\n"max\n",6\n\n\n'
    rows = [row for block in blocks_of(data, size, skip_footer=2) for row in rows_of(block, TextForm("utf-8"))]
    assert rows == [["1", "2"], ["3", "x\ny"], ["5", "6"]]
    assert blocks_of(data, size, skip_footer=9) == []


@pytest.mark.parametrize(
    ("content", "form", "header", "line", "rest"),
    [
        (b"\xef\xbb\xbft;a\r\n1;2", {}, "t;a", 1, b"1;2"),
        (b"sep=;\r\nt;a\r\n1;2", {}, "t;a", 2, b"1;2"),
        (b'"sep=|"\nt|a\n1|2', {}, "t|a", 2, b"1|2"),
        (b"Logger\n\nx\nt,a\n1,2", {"skip_rows": 3}, "t,a", 4, b"1,2"),
        (b"sep=;\nt;a\n1;2", {"skip_rows": 1}, "t;a", 2, b"1;2"),
        (b"# x\n\n# y\nt,a\n1,2", {"comment": "#"}, "t,a", 4, b"1,2"),
        (b't,a\n\n"in\nbar",\n1,2', {"skip_after_header": 1}, "t,a", 1, b"1,2"),
        (b't,"a\nb"\n1,2', {}, 't,"a\nb"', 1, b"1,2"),
        (b't,5" pipe\n1,2', {}, 't,5" pipe', 1, b"1,2"),
        (b"t,a", {}, "t,a", 1, b""),
    ],
)
def test_heads(content: bytes, form: dict[str, Any], header: str, line: int, rest: bytes) -> None:
    head = head_of(content, **form)
    assert (head.header, head.line, content[head.body :]) == (header, line, rest)
    assert head.body_line == 1 + count_lines(content[: head.body])


def test_a_header_of_very_many_columns() -> None:
    names = ",".join(f"A-TAG-{number:06d}" for number in range(30_000))
    assert head_of(f"t,{names}\n1".encode()).header == f"t,{names}"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_known(encoding: str) -> None:
    head = head_of("time,Trykk Øst\n2024-03-01,1\n".encode(encoding))
    assert head.header == "time,Trykk Øst"
    assert head.text.is_utf16


@pytest.mark.parametrize(
    ("content", "form", "says"),
    [
        (b"", {}, "x.csv:1: there is no header"),
        (b"\n1;2\n", {}, "x.csv:1: there is no header"),
        (b"t;\xff\n", {}, "x.csv:1: is not utf-8 text (byte 2)"),
        (b"t,a\n", {"encoding": "cp037"}, "lines cannot be separated"),
        (b"t;a\n", {"encoding": "klingon"}, "'klingon' is no encoding"),
        (b"t;a\n", {"skip_rows": 2}, "x.csv: has 1 lines, and source.skip_rows skips 2"),
        (b'time,"a\n1,2\n', {}, "x.csv:1: a quoted cell is not closed"),
        (b"PK\x03\x04rest", {}, "an Excel workbook (.xlsx)"),
        (b"\xff\xfe\x00\x00t\x00\x00\x00", {}, "is UTF-32 text"),
        (b"PAR1....", {}, "set source.kind: parquet"),
    ],
)
def test_what_is_no_beginning_of_a_csv_file(content: bytes, form: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        head_of(content, **form)
    assert says in str(caught.value)


@pytest.mark.parametrize("size", [4, 1_000])
def test_a_quoted_cell_that_is_never_closed_is_named(size: int) -> None:
    with pytest.raises(UsageError, match=r"x\.csv:3: a quoted cell begins here and is not closed"):
        blocks_of(b't,a\n1,2\n3,"4\n5,6\n', size)


def test_a_file_without_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnia_beam.io.files.csv.blocks.LONGEST_LINE", 100)
    with pytest.raises(UsageError, match=r"x\.csv:2: the line is longer"):
        list(cut_blocks(io.BytesIO(b"x" * 1_000), 0, "x.csv", block_bytes=40))
