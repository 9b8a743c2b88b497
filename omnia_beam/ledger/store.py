"""Store state on a local disk with append, fsync and rename, or on any store that Beam's filesystems know.

The two differ in what they promise, and this module alone keeps both promises:

|                        | local disk                   | object store (one PUT is one object)          |
|------------------------|------------------------------|-----------------------------------------------|
| a file appears whole   | temporary file, fsync, rename | the PUT itself                                |
| append                 | write and fsync              | none: callers write one object for each flush |
| mutual exclusion       | flock, released by any death | none: see `lease.py` for its replacement      |

Errors are raised unchanged (OSError, or any error of a cloud library); `StateDir` adds path, cause and remedy.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Protocol

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import DestinationError, OmniaBeamError
from omnia_beam.core.receipt import FileStamp

Placing = Callable[[], AbstractContextManager[object]]
"""Wraps the one step that makes a file visible, and raises before it where the file must not appear."""

TEMPORARY_PREFIX = ".omnia-beam-"
"""Prefix of unfinished files; any process may delete them once their writer is gone."""


def write_durably(
    path: str, data: bytes | memoryview, *, known_dirs: set[str] | None = None, placing: Placing = nullcontext
) -> FileStamp:
    """Put a file in place, whole and on stable storage, over any earlier file of its name.

    Args:
        path: local, or of any Beam filesystem.
        data: the content, bytes.
        known_dirs: directories that are known to exist; the file's own is added. None to check each time.
        placing: wraps the step in which the file appears: the rename, or the PUT.

    Returns:
        Stamp of the file as it is now.

    Raises:
        DestinationError: it cannot be written. The earlier file is untouched, except on an object store that publishes half
            of an upload when it is cancelled: there no file of that name is left.
        Exception: whatever `placing` raises.
    """
    try:
        if is_local(path):
            return _write_local(Path(path), data, known_dirs, placing)
        with placing():
            _put(path, data)
    except OmniaBeamError:
        raise
    except Exception as error:  # clients of object stores raise errors that are no OSError
        raise DestinationError(f"{path}: cannot be written: {reason(error)}") from error
    return FileStamp(memoryview(data).nbytes)


def is_local(path: str) -> bool:
    """Return whether a path is of this machine's own filesystem."""
    return "://" not in path


def sync_directory(path: Path) -> None:
    """Make the names in a local directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: BaseException) -> str:
    """Return the operating system's message where there is one, otherwise the error's text."""
    return getattr(error, "strerror", None) or str(error)


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


def _put(path: str, data: bytes | memoryview) -> None:
    out = FileSystems.create(path, mime_type="application/octet-stream")
    try:
        out.write(bytes(data))
    except BaseException:
        # Beam's uploads cannot be cancelled: closing may publish the part that was sent, which then has to be deleted.
        with suppress(Exception):
            out.close()
            FileSystems.delete([path])
        raise
    out.close()


def _make_dirs(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_dirs(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_directory(folder.parent)


fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: no flock, so that mutual exclusion falls back to that of an object store
    fcntl = None

_LOCK_POLL_S = 0.01
_LOCK_POLLS = 1_000


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file in a folder: its name without the folder, its size in bytes."""

    name: str
    size: int


class Appender(Protocol):
    """A file that grows at its end."""

    def append(self, data: bytes) -> None:
        """Append data durably: what is in the file when this returns survives a power cut. On an error the file keeps its end."""

    def close(self) -> None: ...


class StateStore(Protocol):
    """What the ledger and the lease need of a filesystem. Paths are whole paths; folders are one level deep."""

    @property
    def can_append(self) -> bool: ...

    def make_folder(self, path: str) -> None: ...

    def list(self, folder: str) -> list[StateFile]:
        """Return the finished files of a folder by name; none where there is no such folder."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, seekable.

        Raises:
            FileNotFoundError: the file does not exist.
        """

    def create(self, path: str, placing: Placing = nullcontext) -> Any:
        """Return a context manager of a binary file that appears, whole, when the block ends without an error.

        `placing` wraps the step in which it appears.
        """

    def append(self, path: str) -> Appender:
        """Create a file to append to.

        Raises:
            FileExistsError: the file exists already.
            OSError: the store cannot append.
        """

    def delete(self, path: str) -> None:
        """Delete a file; a file that does not exist is no error."""

    def delete_temporaries(self, folder: str) -> None:
        """Delete what dead writers left unfinished; only for callers that know that no other writer lives."""

    def lock(self, path: str, *, shared: bool = False) -> Any:
        """Return a context manager that keeps other processes out, or with `shared` those that do not share the lock.

        It yields False where the store has no locks.
        """


@dataclass(frozen=True, slots=True)
class LocalStore:
    """Store on this machine's filesystem."""

    @property
    def can_append(self) -> bool:
        return True

    def make_folder(self, path: str) -> None:
        folder = Path(path)
        if folder.is_dir():
            return
        if str(folder.parent) != path:
            self.make_folder(str(folder.parent))
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)

    def list(self, folder: str) -> list[StateFile]:
        found: list[StateFile] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_file():
                        found.append(StateFile(entry.name, entry.stat().st_size))
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda each: each.name)

    def open(self, path: str) -> BinaryIO:
        return Path(path).open("rb")

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

    def append(self, path: str) -> LocalAppender:
        return LocalAppender(path)

    def delete(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

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


@dataclass(frozen=True, slots=True)
class BeamStore:
    """Store on any filesystem that Beam knows, used as one whose objects are written and read whole."""

    @property
    def can_append(self) -> bool:
        return False

    def make_folder(self, path: str) -> None:
        filesystem = FileSystems.get_filesystem(path)
        if filesystem.has_dirs() and not filesystem.exists(path):
            filesystem.mkdirs(path)

    def list(self, folder: str) -> list[StateFile]:
        found = FileSystems.match([f"{folder}/*"])[0].metadata_list
        files = (StateFile(each.path.rpartition("/")[2], each.size_in_bytes) for each in found)
        return sorted((each for each in files if each.name), key=lambda each: each.name)

    def open(self, path: str) -> BinaryIO:
        try:
            opened: BinaryIO = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        except Exception:
            # Stores differ in the error for an object that does not exist.
            if FileSystems.exists(path):
                raise
            raise FileNotFoundError(errno.ENOENT, "No such file", path) from None
        return opened

    @contextmanager
    def create(self, path: str, placing: Placing = nullcontext) -> Iterator[BinaryIO]:
        filesystem = FileSystems.get_filesystem(path)
        if filesystem.has_dirs() and filesystem.exists(path):
            filesystem.delete([path])  # HDFS does not overwrite a file
        out = filesystem.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
        try:
            yield out
        except BaseException:
            # Beam's uploads cannot be cancelled: closing may publish the part that was sent, which then has to be deleted.
            with suppress(Exception):
                out.close()
                filesystem.delete([path])
            raise
        with placing():
            out.close()

    def append(self, path: str) -> Appender:
        raise OSError(f"{path}: this store cannot append")

    def delete(self, path: str) -> None:
        if FileSystems.exists(path):
            FileSystems.delete([path])

    def delete_temporaries(self, folder: str) -> None:
        """Do nothing, because an object exists completely or not at all."""

    @contextmanager
    def lock(self, path: str, *, shared: bool = False) -> Iterator[bool]:
        yield False


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
    raise TimeoutError(errno.ETIMEDOUT, "a process holds its lock and does not let go; is one suspended (Ctrl-Z)?")
