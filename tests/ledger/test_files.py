"""Stamps of files: written with the receipt, found again through segments and snapshots, absent in what is older."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.receipt import Receipt
from omnia_beam.ledger.compaction import compact_ledger
from omnia_beam.ledger.files import receipts_of_files, recorded_stamps
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope, decode_line, encode_receipt
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import write_durably
from tests.ledger.fakes import SINK, key, lease_for, receipt, recorded


def stamped(receipt: Receipt, *stamps: FileStamp) -> Receipt:
    return replace(receipt, stamps=stamps)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.open(str(tmp_path / "state"), "job")


def test_a_stamp_is_what_the_file_is(tmp_path: Path) -> None:
    stamp = write_durably(f"{tmp_path}/x", b"12345")
    found = (tmp_path / "x").stat()
    assert stamp == FileStamp(5, found.st_mtime_ns)


def test_a_receipt_without_stamps_is_the_line_that_it_was() -> None:
    assert "stamps" not in decode_line(encode_receipt(receipt("ab", 0, 10, ["f"]), 1)[:-1])


def test_stamps_come_back_from_json() -> None:
    one = stamped(receipt("ab", 0, 10, ["f", "g"]), FileStamp(3, 7), FileStamp(4))
    assert Receipt.from_json(one.to_json()) == one
    with pytest.raises(ValueError, match="1 stamps for 2 files"):
        Receipt.from_json({**one.to_json(), "stamps": [[1, 2]]})
    with pytest.raises(TypeError, match="whole number"):
        Receipt.from_json({**one.to_json(), "stamps": [[1, 2], ["3", None]]})


@pytest.mark.parametrize("compacted", [False, True])
def test_the_last_receipt_of_a_file_tells_its_stamp(state: StateDir, compacted: bool) -> None:
    old, new = FileStamp(3, 7), FileStamp(3, 8)
    recorded(state, 1, stamped(receipt("ab", 0, 10, ["f"]), old), receipt("ab", 10, 20, ["g"]))
    recorded(state, 2, stamped(receipt("ab", 0, 10, ["f"]), new), stamped(receipt("c", 0, 10, ["h"]), FileStamp(9)))
    if compacted:
        compact_ledger(Ledger.load(state), lease_for(state, 3))
    ledger = Ledger.load(state)
    assert recorded_stamps(ledger, SINK) == {"f": new, "g": None, "h": FileStamp(9)}
    assert recorded_stamps(ledger, "parquet:elsewhere/") == {}


def test_a_sink_that_no_receipt_names_has_no_files(state: StateDir) -> None:
    there = Scope.of({"source": "https://one.invalid", "status": "192", "sink": "parquet:there/"})
    recorded(state, 1, receipt("a", 0, 10, ["f"]))
    recorded(state, 1, receipt("a", 0, 10, ["g"], sink="parquet:there/"), scope=there, writer_id="x")
    ledger = Ledger.load(state)
    assert recorded_stamps(ledger, SINK) == {"f": None}
    assert recorded_stamps(ledger, "parquet:there/") == {"g": None}
    assert recorded_stamps(ledger, "parquet:elsewhere/") == {}
    assert receipts_of_files(ledger, "parquet:elsewhere/", ["f", "g"]) == []


def test_the_windows_of_a_file_are_those_of_the_receipts_that_count(state: StateDir) -> None:
    recorded(state, 1, receipt("ab", 0, 10, ["f", "g"]), receipt("c", 0, 10, ["h"]), receipt("d", 0, 10))
    recorded(state, 2, receipt("c", 0, 10, ["h2"]))
    ledger = Ledger.load(state)
    assert [each.receipt.key for each in receipts_of_files(ledger, SINK, ["g", "h"])] == [key("ab", 0, 10)]
    assert receipts_of_files(ledger, SINK, []) == []
