"""The state directory: made, checked, and refused in one line that says what to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnia_beam.core.errors import StateError, UsageError
from omnia_beam.ledger.compaction import compact_ledger
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import FOLDERS, StateDir
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import SCOPE, lease_for, ranges, receipt
from tests.store.memory_objects import MemoryObjects

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a tmpfs with given options; skips where this machine does not let us."""
    mounted: list[Path] = []

    def do(options: str) -> Path:
        place = tmp_path / f"mount-{len(mounted)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield do
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=True)


def one_line(error: pytest.ExceptionInfo[StateError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for each in words:
        assert each in text


def test_makes_its_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path / "deep" / "state"), "job.name-1")
    root = tmp_path / "deep" / "state" / "job.name-1"
    assert state.root == str(root)
    assert sorted(each.name for each in root.iterdir()) == sorted(FOLDERS)
    assert [each for each in root.rglob("*") if each.is_file()] == []
    StateDir.open(str(tmp_path / "deep" / "state"), "job.name-1")


def test_a_relative_path_does_not_hang_on_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert StateDir.open("state/", "job").root == str(tmp_path / "state" / "job")


def test_just_looking_makes_nothing(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path / "state"), "job", create=False)
    assert len(Ledger.load(state)) == 0
    assert state.read("lease.json") is None
    assert state.list("runs") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "-x", "a b", "é", "a" * 129, "job\n"])
def test_names_that_name_no_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name the job's state directory"):
        StateDir.open(str(tmp_path), name)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("hdfs://host/state", "HDFS is not read or written any more"),
        ("file:///tmp/state", "without file://"),
        ("nosuch://bucket/state", "no store is known for nosuch://"),
    ],
)
def test_places_that_cannot_be(path: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        StateDir.open(path, "job")
    assert words in str(caught.value)


@pytest.mark.parametrize("where", ["state", "state/job", "state/job/ledger"])
def test_a_file_in_the_way(tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(StateError) as caught:
        StateDir.open(str(tmp_path / "state"), "job")
    one_line(caught, str(tmp_path / "state"), "a file is in the way")
    assert path.read_text() == "mine"


def test_read_only(mount: Mount) -> None:
    place = mount("size=1m")
    StateDir.open(str(place), "job")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    with pytest.raises(StateError) as caught:
        StateDir.open(str(place), "job")
    one_line(caught, str(place), "Read-only file system", "set `state:` to another place")
    assert len(Ledger.load(StateDir.open(str(place), "job", create=False))) == 0, "who only looks may"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateError) as caught:
        StateDir.open(str(tmp_path), "job")
    one_line(caught, "Permission denied", "give this user the right")


def test_a_disk_that_is_full_at_the_start(mount: Mount) -> None:
    place = mount("size=64k")
    fill(place, room=0)
    with pytest.raises(StateError) as caught:
        StateDir.open(str(place), "job")
    one_line(caught, str(place), "No space left on device", "free some space and run the same command again")


def test_a_disk_that_fills_up_keeps_what_was_recorded(mount: Mount) -> None:
    place = mount("size=256k")
    state = StateDir.open(str(place), "job")
    token = lease_for(state, 1)
    fill(place, room=40_000)
    writer = LedgerWriter(state, SCOPE, token, flush_records=1)
    stored: list[int] = []

    def store_on() -> None:
        for at in range(1000):
            writer.append(receipt("a", at, at + 1))
            stored.append(at)

    with pytest.raises(StateError) as caught:
        store_on()
    one_line(caught, str(place), "No space left on device", "what was recorded before is intact")
    count = len(stored)
    assert count > 20
    assert list(Ledger.load(state).coverage(SCOPE.digest, "a")) == ranges((0, count))
    (place / "ballast").unlink()
    writer.close()
    assert list(Ledger.load(state).coverage(SCOPE.digest, "a")) == ranges((0, count + 1))


def test_a_disk_too_full_to_compact_keeps_the_ledger(mount: Mount) -> None:
    place = mount("size=256k")
    state = StateDir.open(str(place), "job")
    with LedgerWriter(state, SCOPE, lease_for(state, 1)) as writer:
        for at in range(50):
            writer.append(receipt("ab", at, at + 1, [f"file-{at}"]))
    token = lease_for(state, 2)
    fill(place, room=4096)
    with pytest.raises(StateError, match="No space left on device"):
        compact_ledger(Ledger.load(state), token)
    assert list(Ledger.load(state).coverage(SCOPE.digest, "b")) == ranges((0, 50))
    (place / "ballast").unlink()
    compact_ledger(Ledger.load(state), token)
    ledger = Ledger.load(state)
    assert list(ledger.coverage(SCOPE.digest, "b")) == ranges((0, 50))
    assert [each.name[:8] for each in state.list("ledger")] == ["snapshot"] * 2


def fill(place: Path, room: int) -> None:
    """Leave so many bytes."""
    with (place / "ballast").open("wb", buffering=0) as ballast:

        def write_on() -> None:
            while ballast.write(b"\0" * 4096):
                pass

        with pytest.raises(OSError, match="No space left"):
            write_on()
        ballast.truncate(ballast.tell() // 4096 * 4096 - room)


def test_files_are_replaced_whole_listed_by_name_and_deleted_twice(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    check_files(state)
    assert not [each for each in tmp_path.rglob(".*") if each.is_file()]


def test_the_same_on_an_object_store(object_store: MemoryObjects) -> None:
    state = StateDir.open("s3://bucket/state/", "job")
    assert state.root == "s3://bucket/state/job"
    check_files(state)
    assert object_store.objects == {}


def check_files(state: StateDir) -> None:
    assert state.read("plan/x") is None
    state.write("plan/x", b"one")
    state.write("plan/x", b"three")
    state.write("plan/a.json", b"")
    assert [(each.name, each.size) for each in state.list("plan")] == [("a.json", 0), ("x", 5)]
    assert state.read("plan/x") == b"three"
    with state.open_file("plan/x") as file:
        file.seek(2)
        assert file.read() == b"ree"
    for name in ("x", "a.json", "x"):
        state.delete(f"plan/{name}")
    assert state.list("plan") == []
    with pytest.raises(FileNotFoundError):
        state.open_file("plan/x")


def test_a_block_that_fails_changes_nothing(tmp_path: Path, object_store: MemoryObjects) -> None:
    class StoppedError(BaseException):
        pass

    def write_half(state: StateDir) -> None:
        with state.create("plan/x") as out:
            out.write(b"half")
            raise StoppedError

    local = StateDir.open(str(tmp_path), "job")
    local.write("plan/x", b"old")
    with pytest.raises(StoppedError):
        write_half(local)
    assert local.read("plan/x") == b"old"
    assert len(list((tmp_path / "job" / "plan").iterdir())) == 1
    remote = StateDir.open("s3://bucket", "job")
    with pytest.raises(StoppedError):
        write_half(remote)
    assert remote.read("plan/x") is None


def test_a_cloud_librarys_own_errors_are_state_errors(object_store: MemoryObjects) -> None:
    object_store.fail_from = 0
    with pytest.raises(StateError) as caught:
        StateDir.open("s3://bucket", "job")
    one_line(caught, "s3://bucket/job/runs/", "put refused by the store")
