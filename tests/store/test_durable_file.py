"""Durable files: whole or not there, on stable storage before anyone is told, and honest about failures."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from omnia_beam.core.errors import DestinationError, UsageError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.store import is_remote, write_durably
from omnia_beam.store.local import settled_facts
from tests.store.memory_objects import MemoryObjects


def all_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 100_000, memoryview(b"view"), pa.py_buffer(b"arrow")])
def test_writes_what_it_was_given(tmp_path: Path, data: bytes) -> None:
    write_durably(f"{tmp_path}/year=2024/month=01/x.parquet", data)
    assert (tmp_path / "year=2024/month=01/x.parquet").read_bytes() == bytes(data)
    assert all_files(tmp_path) == {"year=2024/month=01/x.parquet"}


def test_a_relative_path_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_durably("plain", b"1")
    write_durably("out/sub/x", b"2")
    assert all_files(tmp_path) == {"plain", "out/sub/x"}


def test_replaces_what_was_there(tmp_path: Path) -> None:
    for data in (b"first, and longer", b"second"):
        write_durably(f"{tmp_path}/x", data)
    assert (tmp_path / "x").read_bytes() == b"second"


def test_a_reader_never_sees_a_torn_or_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    whole = {bytes([i]) * 300_000 for i in range(40)}
    write_durably(str(path), min(whole))
    done = threading.Event()
    seen: list[bytes | OSError] = []

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(path.read_bytes())
            except OSError as error:
                seen.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for data in sorted(whole):
        write_durably(str(path), data)
    done.set()
    reader.join()
    assert seen
    assert all(each in whole for each in seen)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`fsync file`, `fsync directory` and `replace`, in the order in which they are done."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        fsync(descriptor)
        done.append("fsync directory" if is_directory else "fsync file")

    def noting_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append("replace")

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    return done


def test_is_on_stable_storage_before_it_has_its_name(tmp_path: Path, events: list[str]) -> None:
    write_durably(f"{tmp_path}/x", b"1")
    assert events == ["fsync file", "replace", "fsync directory"]


def test_new_directories_are_on_stable_storage_too(tmp_path: Path, events: list[str]) -> None:
    known: set[str] = set()
    write_durably(f"{tmp_path}/a/b/x", b"1", known_dirs=known)
    assert events == ["fsync directory", "fsync directory", "fsync file", "replace", "fsync directory"]
    assert known == {f"{tmp_path}/a/b"}
    events.clear()
    write_durably(f"{tmp_path}/a/b/y", b"1", known_dirs=known)
    assert events == ["fsync file", "replace", "fsync directory"]


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """The operating system refuses files of more than 64 kB: a disk that fills up half way, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files_only")
def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_durably(f"{tmp_path}/x", b"old")
    with pytest.raises(DestinationError, match=r"x: cannot be written: File too large"):
        write_durably(f"{tmp_path}/x", b"n" * 200_000)
    assert (tmp_path / "x").read_bytes() == b"old"
    assert all_files(tmp_path) == {"x"}


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EIO, "broken")])
def test_an_fsync_that_fails_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: OSError) -> None:
    def fail(_: int) -> None:
        raise failure

    write_durably(f"{tmp_path}/x", b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DestinationError, match=f"x: cannot be written: {failure.strerror}"):
        write_durably(f"{tmp_path}/x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert all_files(tmp_path) == {"x"}


def test_an_interrupt_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_durably(f"{tmp_path}/x", b"new")
    assert all_files(tmp_path) == set()


def test_a_file_where_a_directory_belongs(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(DestinationError, match=r"out/x: cannot be written: (File exists|Not a directory)"):
        write_durably(f"{tmp_path}/out/x", b"1")


def test_a_directory_where_the_file_belongs(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(DestinationError, match="x: cannot be written"):
        write_durably(f"{tmp_path}/x", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DestinationError, match="Permission denied"):
        write_durably(f"{tmp_path}/x", b"1")


def test_a_read_only_filesystem() -> None:
    # /proc takes no new files from anybody, root included.
    with pytest.raises(DestinationError, match=r"/proc/x: cannot be written: \w+"):
        write_durably("/proc/x", b"1")


def test_a_directory_taken_away_under_way(tmp_path: Path) -> None:
    known: set[str] = set()
    write_durably(f"{tmp_path}/a/x", b"1", known_dirs=known)
    (tmp_path / "a/x").unlink()
    (tmp_path / "a").rmdir()
    with pytest.raises(DestinationError, match="No such file"):
        write_durably(f"{tmp_path}/a/x", b"1", known_dirs=known)


def test_which_paths_are_local() -> None:
    assert not any(map(is_remote, ["out", "/data/out", "./a:b", "C:/x"]))
    assert all(map(is_remote, ["gs://bucket/x", "s3://b", "az://x"]))


def test_an_object_store_gets_one_object(object_store: MemoryObjects) -> None:
    write_durably("s3://bucket/out/x", pa.py_buffer(b"data"))
    write_durably("s3://bucket/out/y", b"")
    assert object_store.objects == {"s3://bucket/out/x": b"data", "s3://bucket/out/y": b""}


def test_an_object_store_that_refuses_keeps_the_old_object(object_store: MemoryObjects) -> None:
    write_durably("s3://bucket/x", b"old")
    object_store.fail_from = 0
    with pytest.raises(DestinationError, match="s3://bucket/x: cannot be written: put refused by the store"):
        write_durably("s3://bucket/x", b"new")
    assert object_store.objects == {"s3://bucket/x": b"old"}


def test_a_write_whose_response_is_lost_has_succeeded(object_store: MemoryObjects) -> None:
    object_store.fail_from, object_store.lands = 0, True
    assert write_durably("s3://bucket/x", b"new content") == FileStamp(11)
    assert object_store.objects == {"s3://bucket/x": b"new content"}


def test_a_store_that_is_not_known() -> None:
    with pytest.raises(UsageError, match=r"nowhere://x/y: no store is known for nowhere://: write a local path, az://"):
        write_durably("nowhere://x/y", b"1")


@pytest.mark.parametrize(("mtime_ns", "tick_ns"), [(5_000_000_001, 20_000_000), (5_000_000_000, 2_000_000_000)])
def test_facts_of_files_are_taken_when_the_tick_of_their_last_change_is_over(
    tmp_path: Path, mtime_ns: int, tick_ns: int
) -> None:
    """A change within the tick has the same time: it must not come after the look. Whole seconds mean a coarse clock."""
    path = tmp_path / "x"
    path.write_bytes(b"a")
    os.utime(path, ns=(mtime_ns, mtime_ns))
    slept: list[float] = []

    def change(seconds: float) -> None:
        slept.append(seconds)
        path.write_bytes(b"ab")
        os.utime(path, ns=(mtime_ns, mtime_ns))

    ((_, facts),) = settled_facts([str(path)], lambda: mtime_ns + 7_000_000, change)
    assert (facts.st_size, slept) == (2, [(tick_ns - 7_000_000) / 1e9])
    ((_, facts),) = settled_facts([str(path)], lambda: mtime_ns + tick_ns, change)
    assert len(slept) == 1
