"""The files of a source: found by glob, opened, and known again by size and time of change."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import UsageError
from omnia_beam.io.durable_file import is_local, reason

_HIDDEN: Final = ("_", ".")
"""Files and folders whose names begin so are no data: the rule of Arrow, Spark and Hive."""


@dataclass(frozen=True, order=True, slots=True)
class SourceFile:
    """A file as it was when it was looked at.

    Args:
        path: whole.
        size: bytes.
        changed_ns: time of the last change, ns since the Unix epoch, as the filesystem tells it.
    """

    path: str
    size: int
    changed_ns: int


def list_files(paths: Iterable[str]) -> tuple[SourceFile, ...]:
    """The files that paths and globs name, each once, in the order of their paths.

    Raises:
        UsageError: a path or glob that names no file, or a place that cannot be looked at.
    """
    found: dict[str, SourceFile] = {}
    for path in paths:
        matched = _local(path) if is_local(path) else _remote(path)
        if not matched:
            raise UsageError(f"source.path: {path}: there is no such file")
        found.update((file.path, file) for file in matched)
    return tuple(sorted(found.values()))


def look_at(path: str) -> SourceFile | None:
    """One file as it is now; None where it is gone."""
    try:
        return list_files([path.replace("[", "[[]") if is_local(path) else path])[0]
    except UsageError:
        return None


def open_source(path: str) -> Any:
    """A file for reading, seekable; `.gz`, `.bz2` and `.zst` are undone on the way.

    Raises:
        UsageError: it cannot be opened.
    """
    try:
        if is_local(path) and not is_compressed(path):
            return open(path, "rb")
        return FileSystems.open(path, compression_type=CompressionTypes.AUTO)
    except Exception as error:  # cloud libraries raise what they like
        raise UsageError(f"source.path: {path}: cannot be read: {reason(error)}") from error


def is_compressed(path: str) -> bool:
    """Whether a file's name says that it is compressed as a whole."""
    kind = CompressionTypes.detect_compression_type(path)
    return kind not in (CompressionTypes.UNCOMPRESSED, CompressionTypes.AUTO)


def _local(pattern: str) -> list[SourceFile]:
    names = [pattern] if os.path.isfile(pattern) else _data(pattern, glob.glob(pattern, recursive=True))
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
        if _data(pattern, [each.path])
    ]


def _data(pattern: str, names: Iterable[str]) -> list[str]:
    """Without what begins with `_` or `.`, file or folder, unless the pattern itself says so: that is no part of a dataset."""
    parts = pattern.split("/")
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    asked = {part[0] for part in parts[fixed:] if part.startswith(_HIDDEN)}
    hidden = tuple(start for start in _HIDDEN if start not in asked)
    return [name for name in names if not any(part.startswith(hidden) for part in name.split("/")[fixed:])]
