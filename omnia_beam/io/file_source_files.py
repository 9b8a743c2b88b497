"""The files of a source: found by glob, opened, and known again by size and time of change."""

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
from omnia_beam.io.compressed_file import unpacked
from omnia_beam.io.durable_file import is_local, reason

_AS_IT_IS: Final = CompressionTypes.UNCOMPRESSED


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

    A glob does not match what no dataset counts as data: names of files and folders that begin with `_` or `.`, unless the
    glob itself spells them so.

    Raises:
        UsageError: a path or glob that names no file, or a place that cannot be looked at.
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
    """One file as it is now; None where it is gone."""
    try:
        return list_files([path.replace("[", "[[]") if is_local(path) else path])[0]
    except UsageError:
        return None


def open_source(path: str) -> Any:
    """A file for reading, seekable; `.gz`, `.bz2`, `.xz` and `.zst` are undone on the way.

    Raises:
        UsageError: it cannot be opened, or is compressed otherwise than its name says.
    """
    try:
        file = _plain(path)
    except Exception as error:  # cloud libraries raise what they like
        raise UsageError(f"source.path: {path}: cannot be read: {reason(error)}") from error
    try:
        return unpacked(file, path)
    except BaseException:
        file.close()
        raise


def _plain(path: str) -> Any:
    """A file as it is, not unpacked."""
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
    """Whether no part of a path that a glob stands for begins with `_` or `.`; a part of the glob that does is meant."""
    meant = [part for part in _parts(pattern) if part[:1] in ("_", ".")]
    return not any(
        part[:1] in ("_", ".") and not any(fnmatchcase(part, each) for each in meant) for part in _parts(path)
    )


def _parts(path: str) -> list[str]:
    return re.split(r"[/\\]", path)
