"""Compaction: the ledger says the same before, after, and after dying at every single step."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.ledger import snapshot
from omnia_beam.ledger.compaction import compact_ledger, compaction_pays, open_ledger
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import encode_line
from omnia_beam.ledger.snapshot import read_manifest
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.store import TEMPORARY_PREFIX
from tests.ledger.fakes import (
    OTHER_SCOPE,
    SCOPE,
    SINK,
    DyingStore,
    Killed,
    answers,
    key,
    lease_for,
    ranges,
    receipt,
    recorded,
)
from tests.store.memory_objects import MemoryObjects

D = SCOPE.digest


@pytest.fixture(params=["local", "object store"])
def state(request: pytest.FixtureRequest, tmp_path: Path, object_store: MemoryObjects) -> StateDir:
    return StateDir.open(str(tmp_path) if request.param == "local" else "s3://bucket/state", "job")


def history(state: StateDir) -> None:
    """Three runs with everything in them: replaced, in part, doubtful, another scope, retired, an earlier snapshot."""
    recorded(state, 1, receipt("ab", 0, 10, ["1"]), receipt("ab", 10, 20, ["2"]), receipt("c", 0, 20, ["3"]))
    recorded(state, 1, receipt("d", 0, 20, ["4"]), scope=OTHER_SCOPE, writer_id="x")
    recorded(state, 2, receipt("ab", 0, 10, ["1", "5"]), receipt("c", 0, 20, ["6"]))
    compact_ledger(Ledger.load(state), lease_for(state, 3))
    recorded(state, 3, receipt("a", 5, 15, ["7"]), receipt("ab", 0, 10, ["8"]))
    with LedgerWriter(state, SCOPE, lease_for(state, 4), writer_id="y") as writer:
        writer.intend(key("c", 15, 25))
        writer.intend(key("d", 0, 20))
        writer.append(receipt("d", 0, 5, ["9"]))


def test_says_the_same_and_keeps_only_what_says_something(state: StateDir) -> None:
    history(state)
    before = Ledger.load(state)
    said = answers(before)
    assert said["superseded"][SINK] == {"1", "3", "5"}
    assert said["doubtful"][SINK] == {"4"}
    assert list(before.coverage(D, "c")) == ranges((0, 15))
    compact_ledger(before, lease_for(state, 5))
    after = Ledger.load(state)
    assert answers(after) == said
    assert after.notices == ()
    names = [each.name for each in state.list("ledger")]
    assert [name.rpartition(".")[2] for name in names] == ["json", "parquet"]
    # The receipts of 2, 4, 6 to 9, the two intents, and one row of retired names.
    assert len(after) == 9
    compact_ledger(after, lease_for(state, 6))
    assert answers(Ledger.load(state)) == said


def test_receipts_are_the_very_same(state: StateDir) -> None:
    stored = [receipt("abc", at, at + 7, [f"{at}-1", f"{at}-2"]) for at in range(0, 700, 7)]
    recorded(state, 1, *stored)
    compact_ledger(Ledger.load(state), lease_for(state, 2))
    found = sorted((one.receipt for one in Ledger.load(state).receipts(D)), key=lambda each: each.key.range)
    assert found == stored


@pytest.mark.long
@pytest.mark.parametrize("halves", [False, True])
def test_dying_at_every_step_on_an_object_store(object_store: MemoryObjects, halves: bool) -> None:
    state = StateDir.open("s3://bucket/state", "job")
    history(state)
    kept = dict(object_store.objects)

    def fresh() -> StateDir:
        object_store.objects.clear()
        object_store.objects.update(kept)
        return state

    die_everywhere(fresh, halves)


def test_dying_at_every_step_on_a_local_disk(tmp_path: Path) -> None:
    history(StateDir.open(str(tmp_path / "kept"), "job"))
    number = itertools.count()

    def fresh() -> StateDir:
        copy = tmp_path / f"{next(number)}"
        shutil.copytree(tmp_path / "kept", copy)
        return StateDir.open(str(copy), "job", create=False)

    die_everywhere(fresh, halves=False)


def die_everywhere(fresh: Callable[[], StateDir], halves: bool) -> None:
    said = answers(Ledger.load(fresh()))
    died = 0
    for after in (False, True):
        for step in range(100):
            state = fresh()
            dying = dataclasses.replace(state, store=DyingStore(state.store, step, after, halves))
            token = lease_for(state, 5)
            try:
                compact_ledger(Ledger.load(dying), token)
            except Killed:
                died += 1
            else:
                break
            assert answers(Ledger.load(state)) == said, f"died {'after' if after else 'before'} step {step}"
            recover(state, said)
    assert died >= 2 * 7, "of two files written and the old ones deleted"


def recover(state: StateDir, said: dict[str, object]) -> None:
    """The next start tidies up, and compacts to the end."""
    token = lease_for(state, 6)
    assert answers(open_ledger(state, token)) == said
    compact_ledger(Ledger.load(state), token)
    assert answers(Ledger.load(state)) == said
    assert len(state.list("ledger")) == 2
    if state.can_append:
        assert not list(Path(state.root, "ledger").glob(f"{TEMPORARY_PREFIX}*"))


def test_leaves_the_segments_of_its_own_run_alone(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10, ["1"]))
    token = lease_for(state, 2)
    with LedgerWriter(state, SCOPE, token) as writer:
        writer.append(receipt("a", 0, 10, ["2"]))
        compact_ledger(Ledger.load(state), token)
        writer.append(receipt("a", 10, 20, ["3"]))
    ledger = Ledger.load(state)
    assert list(ledger.coverage(D, "a")) == ranges((0, 20))
    assert ledger.live_files(SINK) == {"2", "3"}
    assert ledger.superseded_files(SINK) == {"1"}
    (manifest,) = [each.name for each in state.list("ledger") if each.name.endswith(".json")]
    snapshot = read_manifest(state, manifest)
    assert snapshot is not None
    assert snapshot.records == 1  # the name of the superseded file, and none of its own run's receipts


def test_superseded_files_are_named_until_somebody_says_that_they_are_gone(state: StateDir) -> None:
    recorded(state, 1, *(receipt("a", at, at + 1, [f"{at}"]) for at in range(3000)))
    recorded(state, 2, receipt("a", 0, 3000, ["all"]))
    compact_ledger(Ledger.load(state), lease_for(state, 3))
    ledger = Ledger.load(state)
    assert ledger.superseded_files(SINK) == {f"{at}" for at in range(3000)}
    compact_ledger(ledger, lease_for(state, 4), forget={SINK: {f"{at}" for at in range(2999)}})
    ledger = Ledger.load(state)
    assert ledger.superseded_files(SINK) == {"2999"}
    compact_ledger(ledger, lease_for(state, 5), forget={SINK: {"2999", "never heard of"}})
    assert Ledger.load(state).superseded_files(SINK) == set()


def test_a_retired_file_that_is_written_again_is_live(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10, ["f"]))
    recorded(state, 2, receipt("a", 0, 10, ["g"]))
    compact_ledger(Ledger.load(state), lease_for(state, 3))
    recorded(state, 3, receipt("b", 0, 10, ["f"]))
    ledger = Ledger.load(state)
    assert ledger.live_files(SINK) == {"f", "g"}
    assert ledger.superseded_files(SINK) == set()


def test_a_run_without_the_lease_compacts_nothing(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    token = lease_for(state, 2)
    ledger = Ledger.load(state)
    lease_for(state, 3)
    names = state.list("ledger")
    with pytest.raises(StateError, match="run 2 has lost its lease"):
        compact_ledger(ledger, token)
    assert state.list("ledger") == names


def test_an_old_ledger_knows_its_coverage_and_says_to_load_again(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    old = Ledger.load(state)
    compact_ledger(Ledger.load(state), lease_for(state, 2))
    assert list(old.coverage(D, "a")) == ranges((0, 10))
    if state.can_append:
        with pytest.raises(StateError, match="load it again"):
            list(old.receipts(D))
    else:  # what it has read once it knows
        assert [each.receipt for each in old.receipts(D)] == [receipt("a", 0, 10)]


@pytest.mark.parametrize("after_its_look", [False, True])
def test_a_driver_that_wakes_up_within_a_compaction_harms_nothing(
    state: StateDir, monkeypatch: pytest.MonkeyPatch, after_its_look: bool
) -> None:
    """It has written its rows, and sleeps; its successor tidies them away; then it goes on to write the manifest."""
    if after_its_look and state.can_append:
        pytest.skip("where there are locks nobody takes over between look and write")
    recorded(state, 1, receipt("a", 0, 10))
    old = lease_for(state, 2)
    real = snapshot.encode_line

    def sleep(manifest: dict[str, Any]) -> bytes:
        open_ledger(state, lease_for(state, 3))
        return real(manifest)

    monkeypatch.setattr(snapshot, "encode_line", sleep)
    if after_its_look:
        monkeypatch.setattr(LeaseFence, "check", lambda self: None)
    with pytest.raises(StateError, match="another run has taken over" if after_its_look else "has lost its lease"):
        compact_ledger(Ledger.load(state), old)
    monkeypatch.undo()
    ledger = open_ledger(state, lease_for(state, 4))
    assert list(ledger.coverage(D, "a")) == ranges((0, 10))
    assert [each.receipt for each in ledger.receipts(D)] == [receipt("a", 0, 10)]


def test_a_driver_that_wakes_up_before_it_reads_its_rows_back(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    old = lease_for(state, 2)
    real = StateDir.open_file

    def sleep(self: StateDir, name: str) -> object:
        if name.startswith("ledger/snapshot-00000002"):
            open_ledger(state, lease_for(state, 3))
        return real(self, name)

    ledger = Ledger.load(state)
    monkeypatch.setattr(StateDir, "open_file", sleep)
    with pytest.raises(StateError, match="another run has taken over"):
        compact_ledger(ledger, old)
    monkeypatch.undo()
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 10))


def test_who_looks_while_a_run_compacts_sees_one_or_the_other(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing is from before, the files are from after."""
    recorded(state, 1, receipt("a", 0, 10))
    recorded(state, 2, receipt("a", 10, 20))
    real = StateDir.list
    compacted = []

    def list_then_compact(self: StateDir, folder: str) -> object:
        found = real(self, folder)
        if not compacted:
            compacted.append(True)
            compact_ledger(Ledger.load(state), lease_for(state, 3))
        return found

    monkeypatch.setattr(StateDir, "list", list_then_compact)
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 20))


def test_a_listing_that_misses_what_a_compaction_adds_and_deletes_is_not_believed(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    real = StateDir.list
    calls = []

    def list_nothing_first(self: StateDir, folder: str) -> object:
        calls.append(folder)
        if len(calls) > 1:
            return real(self, folder)
        compact_ledger(Ledger.load(state), lease_for(state, 2))
        return []

    monkeypatch.setattr(StateDir, "list", list_nothing_first)
    assert list(Ledger.load(state).coverage(D, "a")) == ranges((0, 10))


def test_a_snapshot_whose_rows_are_gone_is_said(state: StateDir) -> None:
    recorded(state, 1, receipt("a", 0, 10))
    compact_ledger(Ledger.load(state), lease_for(state, 2))
    (data,) = [each.name for each in state.list("ledger") if each.name.endswith(".parquet")]
    state.delete(f"ledger/{data}")
    with pytest.raises(StateError, match="restore it from a copy") as caught:
        Ledger.load(state)
    assert data in str(caught.value)


@pytest.mark.long
def test_every_damaged_byte_of_a_snapshot_is_found(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    recorded(state, 1, receipt("ab", 0, 10, ["1"]), receipt("ab", 10, 20, ["2"]))
    compact_ledger(Ledger.load(state), lease_for(state, 2))
    said = answers(Ledger.load(state))
    for path in sorted(Path(state.root, "ledger").iterdir()):
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            if path.suffix == ".json" and at == len(whole) - 1:
                continue  # without its last newline it counts as torn
            with pytest.raises(StateError, match="damaged") as caught:
                Ledger.load(state)
            assert str(path) in str(caught.value)
        path.write_bytes(whole)
    assert answers(Ledger.load(state)) == said


def test_a_torn_manifest_counts_for_nothing(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    recorded(state, 1, receipt("a", 0, 10))
    compact_ledger(Ledger.load(state), lease_for(state, 2))
    (manifest,) = Path(state.root, "ledger").glob("*.json")
    whole = manifest.read_bytes()
    recorded(state, 3, receipt("b", 0, 10))
    manifest.write_bytes(whole[:40])
    ledger = Ledger.load(state)
    assert "was never finished" in ledger.notices[0]
    assert list(ledger.coverage(D, "b")) == ranges((0, 10))
    compact_ledger(ledger, lease_for(state, 4))
    assert not manifest.exists()


@pytest.mark.parametrize(("change", "words"), [({"omnia_beam_snapshot": 2}, "format 2"), ({"scopes": 1}, "damaged")])
def test_a_manifest_that_cannot_be_believed(tmp_path: Path, change: dict[str, object], words: str) -> None:
    state = StateDir.open(str(tmp_path), "job")
    recorded(state, 1, receipt("a", 0, 10))
    compact_ledger(Ledger.load(state), lease_for(state, 2))
    (manifest,) = Path(state.root, "ledger").glob("*.json")
    data = json.loads(manifest.read_bytes())
    del data["crc"]
    manifest.write_bytes(encode_line({**data, **change}))
    with pytest.raises(StateError, match=words) as caught:
        Ledger.load(state)
    assert str(manifest) in str(caught.value)


def test_any_tool_reads_a_snapshot(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    recorded(state, 7, receipt("ab", 0, 10, ["f"]))
    compact_ledger(Ledger.load(state), lease_for(state, 8))
    (path,) = Path(state.root, "ledger").glob("*.parquet")
    (row,) = pq.read_table(path).to_pylist()
    record = json.loads(row.pop("record"))
    at = row.pop("at")
    assert row == {
        "run": 7,
        "writer": "w",
        "kind": 0,
        "scope": D,
        "sink": SINK,
        "start": 0,
        "end": 10,
        "series": ["a", "b"],
        "files": ["f"],
    }
    assert (record["at"], record["ids"], record["dead_letters"]) == (at, ["a", "b"], 1)


def test_compaction_pays_for_many_segments_or_many_records(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    for number in range(63):
        recorded(state, 1, receipt("a", number, number + 1), writer_id=f"w{number}")
    token = lease_for(state, 2)
    assert not compaction_pays(Ledger.load(state), token)
    assert len(open_ledger(state, token)) == 63
    assert len(state.list("ledger")) == 63
    recorded(state, 1, receipt("a", 63, 64), writer_id="last")
    token = lease_for(state, 2)
    assert compaction_pays(Ledger.load(state), token)
    ledger = open_ledger(state, token)
    assert len(state.list("ledger")) == 2
    assert ledger.missing(D, ["a"], TimeRange(0, 64)) == []
    recorded(state, 2, *(receipt("b", at, at + 1) for at in range(1000)))
    assert not compaction_pays(Ledger.load(state), token), "segments of its own run are left alone"
    assert compaction_pays(Ledger.load(state), lease_for(state, 3))
