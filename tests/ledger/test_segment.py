"""Segments: what a writer appended is read back; torn is dropped and said, damaged is refused, at every single byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope, SegmentHeader, encode_line, encode_receipt
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.table import batch_of_records, receipt_of_record
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import SCOPE, SINK, key, lease_for, ranges, receipt, recorded, segment_paths

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
INT64 = st.integers(-(2**63), 2**63 - 1)
STORED = st.builds(
    SeriesReceipt,
    TEXT,
    TEXT,
    st.integers(0, 2**53),
    st.none() | INT64,
    st.none() | INT64,
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 10**6)), max_size=3).map(tuple),
    TEXT,
)


@st.composite
def any_receipt(draw: st.DrawFn) -> Receipt:
    stored = draw(st.lists(STORED, min_size=1, max_size=3, unique_by=lambda each: each.series_id))
    stored.sort(key=lambda each: each.series_id)
    start, end = sorted(draw(st.lists(INT64, min_size=2, max_size=2, unique=True)))
    ids = [each.series_id for each in stored]
    return Receipt(key(ids, start, end), draw(TEXT), tuple(stored), tuple(draw(st.lists(TEXT, max_size=2))), 7)


@given(any_receipt(), INT64)
def test_any_receipt_comes_back_from_its_line(stored: Receipt, at_ns: int) -> None:
    line = encode_receipt(stored, at_ns)
    assert line.count(b"\n") == 1
    assert receipt_of_record(line[:-1]) == stored


@settings(max_examples=30)
@given(st.lists(any_receipt(), min_size=1, max_size=5))
def test_any_receipt_comes_back_from_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, stored: list[Receipt]
) -> None:
    state = StateDir.open(str(tmp_path_factory.mktemp("state")), "job")
    for number, each in enumerate(stored):
        scope = Scope.of({"sink": each.sink, "number": str(number)})
        recorded(state, number + 1, each, scope=scope)
        found = list(Ledger.load(state).receipts(scope.digest))
        assert [one.receipt for one in found] == [each]


def test_the_lines_are_what_the_documentation_says(state: StateDir) -> None:
    with LedgerWriter(
        state, SCOPE, lease_for(state, 3), writer_id="w", clock=lambda: 1_700_000_000_000_000_000
    ) as writer:
        writer.intend(key("a", 0, 10))
        writer.append(receipt("ab", 0, 10, ["f"]))
    (path,) = segment_paths(state)
    assert path.name == "segment-00000003-w-0000.jsonl"
    assert path.read_text().splitlines() == [
        '{"omnia_beam_ledger":1,"job":"job","run":3,"writer":"w","part":0,"scope":{"sink":"parquet:out/","source":'
        '"https://one.invalid","status":"192"},"created":"2023-11-14T22:13:20Z","crc":"86919f56"}',
        '{"v":1,"kind":"intent","at":1700000000000000000,"start":0,"end":10,"sink":"parquet:out/","ids":["a"],'
        '"crc":"4fc923ad"}',
        '{"v":1,"kind":"receipt","at":1700000000000000001,"ids":["a","b"],"start":0,"end":10,"sink":"parquet:out/",'
        '"files":["f"],"dead_letters":1,"series":[["target-a",3,0,9,[[0,1],[192,2]],"0000000000000000000000000000000a"],'
        '["target-b",3,0,9,[[0,1],[192,2]],"0000000000000000000000000000000a"]],"crc":"91ba0efd"}',
    ]


def test_torn_at_every_byte_of_the_last_record(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 0, 10), receipt("a", 10, 20))
    (path,) = segment_paths(state)
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last, len(whole) - 1):
        path.write_bytes(whole[:cut])
        ledger = Ledger.load(state)
        assert list(ledger.coverage(SCOPE.digest, "a")) == ranges((0, 10))
        assert list(ledger.coverage(SCOPE.digest, "b")) == ranges((0, 10))
        assert [str(path) in notice for notice in ledger.notices] == [True] * (cut > last)
    path.write_bytes(whole[:-1])  # only the newline is missing: the record is whole, and true
    assert list(Ledger.load(state).coverage(SCOPE.digest, "a")) == ranges((0, 20))


def test_torn_at_every_byte_of_the_header(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    (path,) = segment_paths(state)
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n")):
        path.write_bytes(whole[:cut])
        assert len(Ledger.load(state)) == 0


def test_a_tail_of_zeros_is_torn(state: StateDir) -> None:
    """What some filesystems leave of a write that a power cut came between."""
    recorded(state, 1, receipt("a", 0, 10))
    (path,) = segment_paths(state)
    path.write_bytes(path.read_bytes() + b"\0" * 5000)
    ledger = Ledger.load(state)
    assert list(ledger.coverage(SCOPE.digest, "a")) == ranges((0, 10))
    assert "5000 bytes" in ledger.notices[0]


def test_every_flipped_byte_is_found(state: StateDir) -> None:
    """Whatever byte is damaged: refused with file and line; only in the unfinished tail it is dropped."""
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 0, 10))
    (path,) = segment_paths(state)
    whole = path.read_bytes()
    lines = whole.count(b"\n")
    for at in range(len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :])
        with pytest.raises(StateError) as caught:
            Ledger.load(state)
        line = whole[:at].count(b"\n") + 1
        assert str(caught.value).startswith(f"{path}, line {line}: damaged")
        assert "verify" in str(caught.value)
    assert lines == 3


def test_a_flipped_last_newline_keeps_what_went_before(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 0, 10))
    (path,) = segment_paths(state)
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    ledger = Ledger.load(state)
    assert list(ledger.coverage(SCOPE.digest, "a")) == ranges((0, 10))
    assert not ledger.coverage(SCOPE.digest, "b")
    assert len(ledger.notices) == 1


def test_a_lost_line_in_the_middle_is_just_not_recorded(state: StateDir) -> None:
    """The cure that the message names works."""
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 0, 10))
    (path,) = segment_paths(state)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    ledger = Ledger.load(state)
    assert not ledger.coverage(SCOPE.digest, "a")
    assert list(ledger.coverage(SCOPE.digest, "b")) == ranges((0, 10))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v": 2}, "line 2: it is of format 2"),
        ({"v": None}, "line 2: damaged: no 'v'"),
        ({"kind": "wish"}, "line 2: it is a record of kind 'wish'"),
        ({"kind": None}, "line 2: it is a record of kind None"),
        ({"start": "soon"}, "line 2: damaged"),
        ({"ids": None}, "line 2: damaged"),
        ({"ids": [1]}, "line 2: damaged"),
        ({"at": 0.5}, "line 2: damaged"),
    ],
)
def test_a_whole_line_that_is_no_record(state: StateDir, change: dict[str, object], words: str) -> None:
    recorded(state, 1, receipt("a", 0, 10), receipt("b", 0, 10))
    (path,) = segment_paths(state)
    lines = path.read_bytes().splitlines(keepends=True)
    data = json.loads(lines[1])
    del data["crc"]
    path.write_bytes(lines[0] + encode_line({**data, **change}) + lines[2])
    with pytest.raises(StateError) as caught:
        Ledger.load(state)
    assert f"{path}, {words}" in str(caught.value)


def test_a_record_that_is_null_ends_no_process() -> None:
    header = SegmentHeader("job", 1, "w", 0, SCOPE, "2024-01-01T00:00:00Z")
    for lines in ([b"null"], [b"null", b"{}"], [b" null"], [b"[]"]):
        with pytest.raises(ValueError, match="no record"):
            batch_of_records(header, lines)


def test_a_segment_of_a_newer_format_is_refused(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    (path,) = segment_paths(state)
    lines = path.read_bytes().splitlines(keepends=True)
    data = json.loads(lines[0])
    del data["crc"]
    path.write_bytes(encode_line({**data, "omnia_beam_ledger": 2}) + lines[1])
    with pytest.raises(StateError, match=r"line 1: it is of format 2, and this omnia-beam reads format 1"):
        Ledger.load(state)


def test_a_segment_under_another_name_is_refused(state: StateDir) -> None:
    """A copy beside the original would speak with a voice of its own."""
    recorded(state, 1, receipt("a", 0, 10))
    (path,) = segment_paths(state)
    path.with_name("segment-00000009-w-0000.jsonl").write_bytes(path.read_bytes())
    with pytest.raises(StateError, match="its header is that of segment-00000001-w-0000"):
        Ledger.load(state)


def test_files_of_others_are_ignored_and_said(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    Path(state.root, "ledger", "notes.txt").write_text("hello")
    ledger = Ledger.load(state)
    assert "notes.txt" in ledger.notices[0]
    assert list(ledger.coverage(SCOPE.digest, "a")) == ranges((0, 10))


def test_records_of_many_blocks(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are cut by blocks anywhere."""
    many = [receipt("ab", i, i + 1, [f"f{i}"]) for i in range(60)]
    recorded(state, 1, *many)
    for size in (1, 7, 100, 311):
        monkeypatch.setattr("omnia_beam.ledger.segment.BLOCK_BYTES", size)
        ledger = Ledger.load(state)
        assert list(ledger.coverage(SCOPE.digest, "b")) == ranges((0, 60))
        assert ledger.live_files(SINK) == {f"f{i}" for i in range(60)}
        found = sorted((one.receipt for one in ledger.receipts(SCOPE.digest)), key=lambda each: each.key.range)
        assert found == many
