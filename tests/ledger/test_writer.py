"""The writer: when it flushes, what a failure leaves, and that it stops once its run has lost the lease."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.lease_file import LEASE_FILE
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import SCOPE, SINK, FakeClock, key, lease_for, ranges, receipt, segment_paths
from tests.store.memory_objects import MemoryObjects

D = SCOPE.digest


class Quota:
    """A disk with room for so many bytes, as `os.write` shows it: it takes what fits, and then nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: Any) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(descriptor, bytes(data)[: self.room])
        self.room -= taken
        return taken


def test_flushed_by_number_and_by_age(state: StateDir) -> None:
    clock = FakeClock()
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_records=3, flush_age_s=10.0, monotonic=clock.steady)
    waiting = []
    for at, now_s in enumerate([0, 1, 2, 3, 4, 15, 16, 17, 40]):
        clock.steady_s = 50.0 + now_s
        writer.append(receipt("a", at, at + 1))
        waiting.append(writer.waiting)
    # The first at once, since none was flushed for long; then the third that waits; then whatever comes after 10 s.
    assert waiting == [0, 1, 2, 0, 1, 0, 1, 2, 0]
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 9))
    writer.close()


def wait_for(happened: Callable[[], object]) -> None:
    """Until it has; a test that waits in vain is stopped from outside."""
    while not happened():
        time.sleep(0.01)


def test_what_waits_is_flushed_though_nothing_more_is_appended(state: StateDir) -> None:
    """The next window may take minutes: a kill meanwhile must not cost the receipts of those before."""
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=0.05, flush_behind=True, monotonic=lambda: 0.0)
    for at in range(3):
        writer.append(receipt("a", at, at + 1))
    wait_for(lambda: not writer.waiting)
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 3))
    writer.append(receipt("a", 3, 4))
    writer.close()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 4))


def test_a_flush_behind_that_fails_is_told_by_the_next_call(
    state: StateDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=0.05, flush_behind=True, monotonic=lambda: 0.0)
    writer.append(receipt("a", 0, 1))  # at once, as the first
    quota = Quota(monkeypatch, 0)
    writer.append(receipt("a", 1, 2))
    wait_for(lambda: caplog.messages)
    assert writer.waiting == 1
    with pytest.raises(StateError, match="No space left"):
        writer.flush()
    quota.room = 10_000
    writer.close()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 2))


def test_nothing_is_flushed_behind_a_closed_writer(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=0.05, flush_behind=True, monotonic=lambda: 0.0)
    writer.append(receipt("a", 0, 1))
    quota = Quota(monkeypatch, 0)
    writer.append(receipt("a", 1, 2))
    with pytest.raises(StateError, match="No space left"):
        writer.close()
    quota.room = 10_000
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 1))


def test_nothing_is_there_before_the_flush_and_all_after(state: StateDir) -> None:
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=-1e9, flush_records=100, monotonic=lambda: 0.0)
    writer.flush()
    assert segment_paths(state) == [], "a writer without records leaves no file"
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=1e9, flush_records=100)
    writer.append(receipt("a", 0, 1))  # the first is flushed
    writer.append(receipt("a", 1, 2))
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 1))
    writer.flush()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 2))
    writer.append(receipt("a", 2, 3))
    writer.close()
    writer.close()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 3))
    assert len(segment_paths(state)) == 1


def test_an_intent_is_durable_when_it_returns(state: StateDir) -> None:
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=1e9, flush_records=100)
    writer.append(receipt("a", 0, 10))
    writer.append(receipt("b", 0, 10))
    writer.intend(key("a", 0, 10))
    ledger = Ledger.load(state)
    assert not ledger.coverage(D, "a")
    assert list(ledger.coverage(D, "b")) == ranges((0, 10)), "what waited before went first"
    writer.close()


def test_receipts_that_do_not_belong_are_refused(state: StateDir) -> None:
    with LedgerWriter(state, SCOPE, lease_for(state, 1)) as writer:
        with pytest.raises(ValueError, match="sink"):
            writer.append(receipt("a", 0, 1, sink="another"))
        with pytest.raises(ValueError, match="no time"):
            writer.append(receipt("a", 5, 5))
    assert segment_paths(state) == []


def test_many_threads_may_share_one(state: StateDir) -> None:
    with LedgerWriter(state, SCOPE, lease_for(state, 1), flush_records=7) as writer:

        def write(series_id: str) -> None:
            for at in range(50):
                writer.append(receipt(series_id, at, at + 1))

        threads = [threading.Thread(target=write, args=(each,)) for each in "abcd"]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    ledger = Ledger.load(state)
    assert [list(ledger.coverage(D, each)) for each in "abcd"] == [ranges((0, 50))] * 4


def test_an_error_on_its_way_still_flushes_and_is_not_hidden(state: StateDir) -> None:
    def run() -> None:
        with LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=1e9) as writer:
            writer.append(receipt("a", 0, 1))
            writer.append(receipt("a", 1, 2))
            raise KeyError("the cause")

    with pytest.raises(KeyError, match="the cause"):
        run()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 2))


@pytest.mark.parametrize("room", [0, 1, 100, 400, 700, 1000])
def test_a_full_disk_loses_nothing_and_the_next_flush_goes_on(
    state: StateDir, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=1e9, flush_records=1000)
    writer.append(receipt("a", 0, 1))
    for at in range(1, 6):
        writer.append(receipt("a", at, at + 1))
    with monkeypatch.context() as patch:
        Quota(patch, room)
        with pytest.raises(StateError) as caught:
            writer.flush()
    (path,) = segment_paths(state)
    assert str(path) in str(caught.value)
    assert "No space left on device; free some space" in str(caught.value)
    assert "\n" not in str(caught.value)
    during = Ledger.load(state)
    assert list(during.coverage(D, "a")) == ranges((0, 1)), "what was flushed before is intact"
    assert during.notices == (), "half a record was cut off again"
    assert writer.waiting == 5
    writer.close()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 6))


def test_a_write_that_fails_after_it_was_done_counts_once(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync fails, and so does cutting the record off: it may be in the file, and is written once more."""
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=1e9, flush_records=1000)
    writer.append(receipt("a", 0, 1, ["0"]))
    writer.append(receipt("a", 0, 1, ["1"]))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(StateError, match="Input/output error"):
            writer.flush()
    writer.close()
    ledger = Ledger.load(state)
    assert len(segment_paths(state)) == 2
    assert len(ledger) == 3, "the second record is there twice"
    assert [each.receipt.files for each in ledger.receipts(D)] == [("1",)]
    assert ledger.superseded_files(SINK) == {"0"}


@pytest.mark.parametrize("left", ["another", "released", "nothing"])
def test_a_run_that_lost_its_lease_stops_writing(state: StateDir, left: str) -> None:
    token = lease_for(state, 1)
    writer = LedgerWriter(state, SCOPE, token, flush_age_s=1e9)
    writer.append(receipt("a", 0, 1))
    writer.append(receipt("a", 1, 2))
    path = Path(state.path(LEASE_FILE))
    if left == "another":
        lease_for(state, 2)
    elif left == "released":
        path.write_text(path.read_text().replace('"released": false', '"released": true'))
    else:
        path.unlink()
    with pytest.raises(StateError, match=r"run 1 has lost its lease and stops writing"):
        writer.close()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 1))


def test_a_lease_lost_in_the_middle_of_a_flush_is_not_acknowledged(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that took over may have compacted the segment, and deleted it, before the record came into it."""
    writer = LedgerWriter(state, SCOPE, lease_for(state, 1), flush_age_s=1e9)
    writer.append(receipt("a", 0, 1))
    writer.append(receipt("a", 1, 2))
    fsync = os.fsync

    def take_over(descriptor: int) -> None:
        fsync(descriptor)
        monkeypatch.setattr(os, "fsync", fsync)
        lease_for(state, 2)

    monkeypatch.setattr(os, "fsync", take_over)
    with pytest.raises(StateError, match="lost its lease"):
        writer.flush()
    assert writer.waiting == 1
    with pytest.raises(StateError, match="lost its lease"):
        writer.close()


@pytest.fixture
def remote(object_store: MemoryObjects) -> StateDir:
    return StateDir.open("s3://bucket/state", "job")


def test_without_append_each_flush_is_one_object(remote: StateDir, object_store: MemoryObjects) -> None:
    with LedgerWriter(remote, SCOPE, lease_for(remote, 1), flush_records=2, flush_age_s=1e9, writer_id="w") as writer:
        for at in range(6):
            writer.append(receipt("a", at, at + 1))
        writer.intend(key("a", 0, 1))
    names = [name.rpartition("/")[2] for name in sorted(object_store.objects) if "/ledger/" in name]
    assert names == [f"segment-00000001-w-{part:04d}.jsonl" for part in range(4)]
    assert list(Ledger.load(remote).coverage(D, "a")) == ranges((1, 6))


@pytest.mark.parametrize("lands", [True, False])
def test_an_object_that_cannot_be_put_is_put_again(remote: StateDir, object_store: MemoryObjects, lands: bool) -> None:
    writer = LedgerWriter(remote, SCOPE, lease_for(remote, 1), flush_age_s=1e9)
    writer.append(receipt("a", 0, 1))
    writer.append(receipt("a", 1, 2))
    object_store.lands = lands
    object_store.fail_from = 0
    with pytest.raises(StateError, match="refused by the store"):
        writer.flush()
    assert list(Ledger.load(remote).coverage(D, "a")) == ranges((0, 2 if lands else 1))
    object_store.fail_from = None
    writer.close()
    assert list(Ledger.load(remote).coverage(D, "a")) == ranges((0, 2))
