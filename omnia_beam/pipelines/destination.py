"""The files of a job at its destination: its names, and what earlier runs left there without a receipt."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from typing import Final

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.durable_file import TEMPORARY_PREFIX, is_local, reason

PARQUET_SUFFIXES: Final = (".parquet",)


def file_prefix(job_name: str) -> str:
    """The first part of the names of a job's files: readable, and no prefix of another job's.

    Two jobs may share a destination; each must know its own files.
    """
    digest = hashlib.blake2b(job_name.encode(), digest_size=4).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", job_name)[:40]
    return f"{readable}-{digest}"


def remove_unrecorded(
    path: str, prefix: str, recorded: Iterable[str], suffixes: tuple[str, ...] = PARQUET_SUFFIXES
) -> list[str]:
    """Delete a job's files that no receipt names: whole files of a run that died before its receipt, and temporaries.

    Only the holder of the job's lease may do this. What such a file holds is read again by this run, perhaps in other
    windows: left in place it would be there twice.

    Args:
        path: the sink's.
        prefix: of `file_prefix`.
        recorded: files that receipts name, relative to the path.
        suffixes: of the sink's kind of file: what a job of the same name wrote in another form is not this one's.

    Returns:
        What was deleted, relative to the path.

    Raises:
        DestinationError: the place cannot be listed or a file cannot be deleted.
    """
    keep = set(recorded)
    try:
        found = _local_files(path) if is_local(path) else _remote_files(path, prefix)
        mine = (name for name in found if _is_ours(name.rpartition("/")[2], prefix, suffixes))
        stray = sorted(name for name in mine if name not in keep)
        _delete(path, stray)
    except (OSError, BeamIOError) as error:
        raise DestinationError(f"{path}: files of an earlier run cannot be tidied: {reason(error)}") from error
    return stray


def check_writable(path: str) -> None:
    """Try to write and delete a file there.

    Raises:
        DestinationError: it cannot be done.
    """
    from omnia_beam.io.durable_file import write_durably

    probe = f"{path.rstrip('/')}/{TEMPORARY_PREFIX}probe"
    write_durably(probe, b"")
    _delete(path, [f"{TEMPORARY_PREFIX}probe"])


def _local_files(path: str) -> list[str]:
    found: list[str] = []
    for folder, _, names in os.walk(path):
        inside = os.path.relpath(folder, path)
        if not re.fullmatch(r"year=-?\d+/month=\d\d", inside.replace(os.sep, "/")):
            continue
        found.extend(f"{inside}/{name}" for name in names)
    return found


def _remote_files(path: str, prefix: str) -> list[str]:
    root = path.rstrip("/")
    matched = FileSystems.match([f"{root}/year=*/month=*/{prefix}-*"])[0].metadata_list
    return [metadata.path[len(root) + 1 :] for metadata in matched]


def _is_ours(name: str, prefix: str, suffixes: tuple[str, ...]) -> bool:
    return name.startswith(TEMPORARY_PREFIX) or (name.startswith(f"{prefix}-") and name.endswith(suffixes))


def _delete(path: str, names: list[str]) -> None:
    if is_local(path):
        for name in names:
            os.unlink(os.path.join(path, name))
    elif names:
        FileSystems.delete([f"{path.rstrip('/')}/{name}" for name in names])
