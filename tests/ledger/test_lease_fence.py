"""A run that has lost its lease changes nothing: no file, no dead letter, no point of a service."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.errors import StateError
from omnia_beam.io.files.write import WriteToCsv, WriteToParquet
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.fence import LOCK_FILE, LeaseFence
from omnia_beam.ledger.lease_file import LEASE_FILE, LeaseToken
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.api.operations import WRITE_MULTIPLE
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.store import write_durably
from tests.io.files.parquet.test_write import chunk_of
from tests.ledger.fakes import key, lease_for


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.open(str(tmp_path / "state"), "job")


def fence_of(state: StateDir) -> LeaseFence:
    return LeaseFence(state, lease_for(state, 1))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_of_a_lost_run_does_not_appear_and_the_reason_is_the_lease(tmp_path: Path, state: StateDir) -> None:
    out = tmp_path / "out"
    fence = fence_of(state)
    write_durably(f"{out}/x", b"first", placing=fence.placing)
    lease_for(state, 2)
    with pytest.raises(StateError, match="has lost its lease") as caught:
        write_durably(f"{out}/x", b"second", placing=fence.placing)
    assert caught.value.path == state.path(LEASE_FILE)
    assert content(out) == {"x": b"first"}


def test_a_lease_that_goes_between_fsync_and_rename_still_stops_the_file(
    tmp_path: Path, state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fence, fsync = tmp_path / "out", fence_of(state), os.fsync
    write_durably(f"{out}/x", b"first", placing=fence.placing)

    def suspended(descriptor: int) -> None:
        fsync(descriptor)
        patch.undo()
        lease_for(state, 2)  # meanwhile, elsewhere: taken over, and the temporaries of the dead are tidied up
        for temporary in out.glob(".omnia-beam-*"):
            temporary.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", suspended)
        with pytest.raises(StateError, match="has lost its lease"):
            write_durably(f"{out}/x", b"second", placing=fence.placing)
    assert content(out) == {"x": b"first"}


@pytest.mark.parametrize("sink", [WriteToParquet, WriteToCsv])
def test_the_sinks_of_files_stop_with_the_lease(tmp_path: Path, state: StateDir, sink: Any) -> None:
    fn = sink(str(tmp_path / "out"), fence=fence_of(state)).do_fn(RunBoard())
    fn.setup()
    try:
        fn.start_bundle()
        list(fn.process(chunk_of(1), 0, None))
        assert len(list(fn.finish_bundle())) == 1
        before = content(tmp_path / "out")
        lease_for(state, 2)
        list(fn.process(chunk_of(1, points=7), 0, None))
        with pytest.raises(StateError, match="has lost its lease"):
            list(fn.finish_bundle())
    finally:
        fn.teardown()
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("place", ["state", "folder"])
def test_dead_letters_of_a_lost_run_neither_come_nor_go(tmp_path: Path, state: StateDir, place: str) -> None:
    fence = fence_of(state)
    files = (
        DeadLetterFiles.of(state, fence)
        if place == "state"
        else DeadLetterFiles.at(str(tmp_path / "letters"), fence=fence)
    )
    name = files.put(key("a", 0, 10), [])
    lease_for(state, 2)
    for change in (lambda: files.put(key("b", 0, 10), []), lambda: files.remove(name), lambda: files.keep_only([])):
        with pytest.raises(StateError, match="has lost its lease"):
            change()
    assert files.names() == [name]


def test_who_takes_over_waits_for_a_file_that_is_being_put_in_place(state: StateDir) -> None:
    fence = fence_of(state)
    lock = os.open(state.path(LOCK_FILE), os.O_RDWR | os.O_CREAT)
    try:
        # Of several workers none waits for another.
        with fence.placing(), fence.placing(), pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)


def test_a_fence_without_any_lease_lets_nothing_through(state: StateDir) -> None:
    with pytest.raises(StateError, match="the file was removed"), LeaseFence(state, LeaseToken(1, "n")).placing():
        raise AssertionError("let through")


def test_each_try_of_a_write_looks_at_the_lease_first(state: StateDir) -> None:
    looks: list[int] = []

    def before() -> None:
        looks.append(len(looks))
        if len(looks) == 3:
            raise StateError("lost")

    settings = ServiceSettings("http://127.0.0.1:9", requests_per_second=None, retry=RetryPolicy(9, 10, 0))
    with ServiceSession(settings, environ={}) as session, pytest.raises(StateError, match="lost"):
        WRITE_MULTIPLE.send(session, json_body=b"{}", before=before)
    assert looks == [0, 1, 2]
