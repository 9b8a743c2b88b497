"""Find a source's files by glob, open them, and recognise them later by size and time of change."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.compressed import unpacked
from omnia_beam.ledger.store import is_local, reason

_AS_IT_IS: Final = CompressionTypes.UNCOMPRESSED


@dataclass(frozen=True, order=True, slots=True)
class SourceFile:
    """A file at the time when it was listed.

    Args:
        path: the whole path.
        size: bytes.
        changed_ns: time of the last change, ns since the Unix epoch, as the filesystem reports it.
    """

    path: str
    size: int
    changed_ns: int


def list_files(paths: Iterable[str]) -> tuple[SourceFile, ...]:
    """Return the files that paths and globs name, each once, in the order of their paths.

    A glob does not match files and folders whose names begin with `_` or `.`, since these are no data for readers of datasets,
    unless the glob itself has such a name.

    Raises:
        UsageError: a path or glob matches no file, or a place cannot be listed.
    """
    found: dict[str, SourceFile] = {}
    for path in paths:
        matched = _local(path) if is_local(path) else _remote(path)
        if not matched:
            raise UsageError(
                f"source.path: {path}: there is no such file; names that begin with _ or . are no data and do not count"
            )
        found.update((file.path, file) for file in matched)
    return tuple(sorted(found.values()))


def look_at(path: str) -> SourceFile | None:
    """Return one file as it is now; None where it is gone."""
    try:
        return list_files([path.replace("[", "[[]") if is_local(path) else path])[0]
    except UsageError:
        return None


def open_source(path: str) -> Any:
    """Open a file for reading, seekable; `.gz`, `.bz2`, `.xz` and `.zst` are unpacked.

    Raises:
        UsageError: it cannot be opened, or its compression is not what its name says.
    """
    try:
        file = _plain(path)
    except Exception as error:  # cloud libraries raise errors of any type
        raise UsageError(f"source.path: {path}: cannot be read: {reason(error)}") from error
    try:
        return unpacked(file, path)
    except BaseException:
        file.close()
        raise


def _plain(path: str) -> Any:
    """Open a file without unpacking it."""
    return Path(path).open("rb") if is_local(path) else FileSystems.open(path, compression_type=_AS_IT_IS)


def _local(pattern: str) -> list[SourceFile]:
    names = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
    names = [name for name in names if _is_data(name, pattern)]
    stats = [(name, os.stat(name)) for name in names if os.path.isfile(name)]
    return [SourceFile(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _remote(pattern: str) -> list[SourceFile]:
    try:
        matched = FileSystems.match([pattern])[0].metadata_list
    except Exception as error:
        raise UsageError(f"source.path: {pattern}: cannot be listed: {reason(error)}") from error
    return [
        SourceFile(each.path, each.size_in_bytes, int((each.last_updated_in_seconds or 0) * 1_000_000_000))
        for each in matched
        if _is_data(each.path, pattern)
    ]


def _is_data(path: str, pattern: str) -> bool:
    """Return whether no part of a path begins with `_` or `.`, except parts that match such a part of the glob."""
    meant = [part for part in _parts(pattern) if part[:1] in ("_", ".")]
    return not any(
        part[:1] in ("_", ".") and not any(fnmatchcase(part, each) for each in meant) for part in _parts(path)
    )


def _parts(path: str) -> list[str]:
    return re.split(r"[/\\]", path)
