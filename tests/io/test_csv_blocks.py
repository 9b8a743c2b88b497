"""Files of text cut into blocks: every line once, its number right, whatever the block's size."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.io.csv_blocks import cut_blocks, read_first_line

lines = st.lists(st.binary(max_size=12).map(lambda each: each.replace(b"\n", b"")), max_size=20)


@given(
    header=st.sampled_from([b"t;a\n", b"\xef\xbb\xbft;a\r\n"]), lines=lines, last=st.booleans(), size=st.integers(1, 40)
)
def test_blocks_are_whole_lines_and_all_of_the_file(header: bytes, lines: list[bytes], last: bool, size: int) -> None:
    body = b"\n".join(lines) + (b"\n" if last and lines else b"")
    file = io.BytesIO(header + body)
    assert read_first_line(file, "utf-8", "x.csv") == ("t;a", len(header))
    blocks = list(cut_blocks(file, len(header), "x.csv", size))
    assert b"".join(block.data for block in blocks) == body
    for block in blocks:
        assert (header + body)[block.start : block.start + len(block.data)] == block.data
        assert block.first_line == (header + body)[: block.start].count(b"\n") + 1
        assert block.data.endswith(b"\n") or block is blocks[-1]


@pytest.mark.parametrize(
    ("content", "encoding", "says"),
    [
        (b"", "utf-8", "x.csv:1: there is no header"),
        (b"\n1;2\n", "utf-8", "x.csv:1: there is no header"),
        (b"t;\xff\n", "utf-8", "x.csv:1: is not utf-8 text"),
        (b"t;a\n", "utf-16", "lines cannot be told apart"),
        (b"t;a\n", "klingon", "'klingon' is no encoding"),
    ],
)
def test_headers_that_are_no_text(content: bytes, encoding: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_first_line(io.BytesIO(content), encoding, "x.csv")
    assert says in str(caught.value)


def test_a_file_without_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnia_beam.io.csv_blocks._LONGEST_LINE", 100)
    with pytest.raises(UsageError, match=r"x\.csv:2: the line is longer"):
        list(cut_blocks(io.BytesIO(b"x" * 1_000), 0, "x.csv", 40))
