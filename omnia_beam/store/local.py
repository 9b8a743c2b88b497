"""Keep files on this machine's disk: temporary file, fsync, rename; append with fsync; flock, released by any death."""

from __future__ import annotations

import errno
import glob
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.store.base import TEMPORARY_PREFIX, Placing, StoredFile, VersionedFile

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: no flock, so that starts of a job exclude each other by waiting alone
    fcntl = None

_LOCK_POLL_S = 0.01
_LOCK_POLLS = 1_000
_TICK_NS = 20_000_000
"""Most ns between two times of change that differ, on file systems with fractions of seconds: Linux and Windows count ticks."""

_LONGEST_TICK_NS = 2_000_000_000
"""The same on file systems with whole seconds (NFS servers, FAT)."""


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The filesystem of this machine."""

    @property
    def on_disk(self) -> bool:
        return True

    @property
    def can_append(self) -> bool:
        return True

    @property
    def is_conditional(self) -> bool:
        return False

    def make_folder(self, path: str) -> None:
        folder = Path(path)
        if folder.is_dir():
            return
        if str(folder.parent) != path:
            self.make_folder(str(folder.parent))
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)

    def list(self, folder: str) -> list[StoredFile]:
        found: list[StoredFile] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_file():
                        at = entry.stat()
                        found.append(StoredFile(entry.name, at.st_size, at.st_mtime_ns))
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda each: each.name)

    def walk(self, folder: str) -> Iterator[str]:
        for inside, _, names in os.walk(folder):
            below = os.path.relpath(inside, folder).replace(os.sep, "/")
            yield from (name if below == "." else f"{below}/{name}" for name in names)

    def scan(self, folder: str, prefixes: Sequence[str]) -> Iterator[StoredFile]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            if prefixes:
                if entry.name.startswith(prefixes[0]) and entry.is_dir():
                    for each in self.scan(entry.path, prefixes[1:]):
                        yield StoredFile(f"{entry.name}/{each.name}", each.size, each.mtime_ns)
            elif entry.is_file():
                found = entry.stat()
                yield StoredFile(entry.name, found.st_size, found.st_mtime_ns)

    def find(self, pattern: str) -> Sequence[tuple[str, StoredFile]]:
        names = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
        stats = settled_facts([name for name in names if os.path.isfile(name)])
        return [(name, StoredFile(name, stat.st_size, stat.st_mtime_ns)) for name, stat in stats]

    def is_there(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_no_file(self, path: str) -> bool:
        return os.path.lexists(path) and not os.path.isfile(path)

    def open(self, path: str) -> BinaryIO:
        return Path(path).open("rb")

    def put(
        self, path: str, data: bytes | memoryview, *, known_dirs: set[str] | None = None, placing: Placing = nullcontext
    ) -> FileStamp:
        return _write_local(Path(path), data, known_dirs, placing)

    @contextmanager
    def create(self, path: str, placing: Placing = nullcontext) -> Iterator[BinaryIO]:
        target = Path(path)
        self.make_folder(str(target.parent))  # backups and archives may leave empty folders out
        temporary = target.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            with placing():
                temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)

    def read(self, path: str) -> VersionedFile:
        try:
            return VersionedFile(Path(path).read_bytes())
        except FileNotFoundError:
            return VersionedFile(None)

    def replace(self, path: str, data: bytes, version: Any) -> None:
        with self.create(path) as out:
            out.write(data)

    def append(self, path: str) -> LocalAppender:
        return LocalAppender(path)

    def rename(self, old: str, new: str, placing: Placing = nullcontext) -> None:
        with placing():
            os.rename(old, new)

    def delete(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def delete_all(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def delete_temporaries(self, folder: str) -> None:
        for each in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
            each.unlink(missing_ok=True)

    @contextmanager
    def lock(self, path: str, *, shared: bool = False) -> Iterator[bool]:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            yield _flock(descriptor, shared)
        finally:
            os.close(descriptor)  # this releases the lock


def sync_directory(path: Path) -> None:
    """Make the names in a local directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settled_facts(
    names: Sequence[str], now: Callable[[], int] = time.time_ns, sleep: Callable[[float], None] = time.sleep
) -> list[tuple[str, os.stat_result]]:
    """Return the facts of files, so that any later change shows in them: file systems date changes by ticks of a clock.

    A file that was changed within the present tick could change again without another time. So the tick is waited out.
    """
    stats = _stats(names)
    left_ns = max((_tick_ns(stat) - (now() - stat.st_mtime_ns) for _, stat in stats), default=0)
    if 0 < left_ns <= _LONGEST_TICK_NS:
        sleep(left_ns / 1e9)
        stats = _stats(names)
    return stats


def _stats(names: Sequence[str]) -> list[tuple[str, os.stat_result]]:
    found = []
    for name in names:
        with suppress(FileNotFoundError):
            found.append((name, os.stat(name)))
    return found


def _tick_ns(stat: os.stat_result) -> int:
    return _TICK_NS if stat.st_mtime_ns % 1_000_000_000 else _LONGEST_TICK_NS


def _write_local(path: Path, data: bytes | memoryview, known_dirs: set[str] | None, placing: Placing) -> FileStamp:
    folder = path.parent
    if known_dirs is None or str(folder) not in known_dirs:
        _make_dirs(folder)
        if known_dirs is not None:
            known_dirs.add(str(folder))
    # The name holds the final one, so that jobs that share a folder recognise their own, and does not match *.parquet yet.
    temporary = folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name.removeprefix('.')}.part"
    try:
        with temporary.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
            written = os.fstat(out.fileno())  # a rename changes neither size nor time
        with placing():
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(folder)
    return FileStamp(written.st_size, written.st_mtime_ns)


def _make_dirs(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_dirs(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_directory(folder.parent)


class LocalAppender:
    """A local file that grows at its end; see `Appender`."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self._size = 0
        try:
            sync_directory(Path(path).parent)
        except BaseException:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except BaseException:
            # A full disk may hold the beginning of a record: cut it off, which needs no space.
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _flock(descriptor: int, shared: bool) -> bool:
    """Take the lock; return False where this filesystem has none. Holders keep it for milliseconds, unless one is suspended."""
    if fcntl is None:
        return False
    for _ in range(_LOCK_POLLS):
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_LOCK_POLL_S)
        except OSError:  # some network filesystems
            return False
    raise TimeoutError(errno.ETIMEDOUT, "a process holds its lock and does not release it; is one suspended (Ctrl-Z)?")
