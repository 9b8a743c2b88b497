"""Where files are kept: this machine's disk, or an object store. Every read and write of a place goes through a `Store`.

|                             | disk                            | object store                                |
|-----------------------------|---------------------------------|---------------------------------------------|
| a file appears whole        | temporary file, fsync, rename   | one PUT                                     |
| append                      | write and fsync                 | none: callers write one object a flush      |
| only one writer at a time   | flock, released by any death    | writes name the version that they replace   |
"""

from __future__ import annotations

from contextlib import nullcontext

from omnia_beam.core.errors import DestinationError, OmniaBeamError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.store.base import (
    TEMPORARY_PREFIX,
    Appender,
    ChangedMeanwhile,
    Placing,
    Store,
    StoredFile,
    VersionedFile,
    reason,
)
from omnia_beam.store.client import Container
from omnia_beam.store.local import LocalStore
from omnia_beam.store.objects import ObjectStore
from omnia_beam.store.place import Location, Place, StorageEntry, is_remote, within

__all__ = [
    "TEMPORARY_PREFIX",
    "Appender",
    "ChangedMeanwhile",
    "LocalStore",
    "ObjectStore",
    "Place",
    "Placing",
    "StorageEntry",
    "Store",
    "StoredFile",
    "VersionedFile",
    "is_remote",
    "reason",
    "store_of",
    "within",
    "write_durably",
]


def store_of(path: str) -> Store:
    """Return the store of a place: of its container, with the place's settings, or this machine's disk.

    Raises:
        UsageError: it names no store that is known, or the storage account is not known.
    """
    return ObjectStore(Container.of(Location.of(path))) if is_remote(path) else LocalStore()


def write_durably(
    path: str,
    data: bytes | memoryview,
    *,
    known_dirs: set[str] | None = None,
    placing: Placing = nullcontext,
) -> FileStamp:
    """Put a file in place, whole and on stable storage, over any earlier file of its name.

    Args:
        path: of the file, in any store.
        data: the content, bytes.
        known_dirs: directories that are known to exist; the file's own is added. None to check each time.
        placing: wraps the step in which the file appears: the rename, or the PUT.

    Returns:
        Stamp of the file as it is now.

    Raises:
        DestinationError: it cannot be written. The earlier file is untouched.
        Exception: whatever `placing` raises.
    """
    try:
        return store_of(path).put(path, data, known_dirs=known_dirs, placing=placing)
    except OmniaBeamError:
        raise
    except Exception as error:  # pyarrow and obstore raise further kinds
        raise DestinationError(f"{path}: cannot be written: {reason(error)}") from error
