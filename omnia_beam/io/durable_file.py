"""Write files that appear only whole: on a local disk by rename after fsync, on an object store by one PUT.

Paths are those of any Beam filesystem. Beam's own local filesystem neither syncs nor renames over an existing file, so
local paths go through the operating system.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

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
