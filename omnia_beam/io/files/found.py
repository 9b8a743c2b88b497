"""Find a source's files by glob, open them, and recognise them later by size, time of change and the store's tag."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from omnia_beam.core.errors import CredentialError, OmniaBeamError, TransientServiceError, UsageError
from omnia_beam.io.files.compressed import unpacked
from omnia_beam.store import is_remote, reason, store_of
from omnia_beam.store.errors import StoreError


@dataclass(frozen=True, order=True, slots=True)
class SourceFile:
    """A file at the time when it was listed.

    Args:
        path: the whole path.
        size: bytes.
        changed_ns: time of the last change, ns since the Unix epoch, as the filesystem reports it.
        tag: the name that an object store gives this content, which tells contents of one size within one second apart;
            empty on a disk, and in what was recorded before tags were.
    """

    path: str
    size: int
    changed_ns: int
    tag: str = ""

    def is_same_as(self, other: SourceFile | None) -> bool:
        """Return whether both are one file that has not changed; a tag that is not known fits any."""
        if other is None or (self.path, self.size, self.changed_ns) != (other.path, other.size, other.changed_ns):
            return False
        return self.tag == other.tag or not (self.tag and other.tag)


def list_files(paths: Iterable[str]) -> tuple[SourceFile, ...]:
    """Return the files that paths and globs name, each once, in the order of their paths.

    A glob does not match files and folders whose names begin with `_` or `.`, since these are no data for readers of datasets,
    unless the glob itself has such a name.

    Raises:
        UsageError: a path or glob matches no file, or a place cannot be listed.
        TransientServiceError, CredentialError: an object store does not respond, or refuses.
    """
    found: dict[str, SourceFile] = {}
    for path in paths:
        matched = _matched(path)
        if not matched:
            raise UsageError(
                f"source.path: {path}: there is no such file; names that begin with _ or . are no data and do not count"
            )
        found.update((file.path, file) for file in matched)
    return tuple(sorted(found.values()))


def look_at(path: str) -> SourceFile | None:
    """Return one file as it is now; None where it does not exist."""
    try:
        return list_files([path if is_remote(path) else path.replace("[", "[[]")])[0]
    except UsageError:
        return None


def open_source(path: str) -> Any:
    """Open a file for reading, seekable; `.gz`, `.bz2`, `.xz` and `.zst` are unpacked.

    Raises:
        UsageError: it cannot be opened, or its compression is not what its name says.
        TransientServiceError, CredentialError: an object store does not respond, or refuses.
    """
    try:
        file = store_of(path).open(path)
    except OSError as error:
        raise reading_error(f"source.path: {path}", error) from error
    try:
        return unpacked(file, path)
    except OSError as error:
        file.close()
        raise reading_error(f"source.path: {path}", error) from error
    except BaseException:
        file.close()
        raise


def reading_error(name: str, error: BaseException, done: str = "read") -> OmniaBeamError:
    """Return the error for a file of a source that cannot be read, by who has to act: the user, or whoever runs the store.

    Args:
        name: of the file, as messages show it.
        error: the cause.
        done: what failed, as a participle.
    """
    text = f"{name}: cannot be {done}: {reason(error)}"
    if not isinstance(error, StoreError) or error.errno == errno.EINVAL:
        return UsageError(text)
    if error.errno == errno.EACCES:
        return CredentialError(f"{text}: give the identity that reads there the right to do so, or another credential")
    return TransientServiceError(f"{text}; run the same command again: what was recorded before is intact")


def _matched(pattern: str) -> list[SourceFile]:
    try:
        found = store_of(pattern).find(pattern)
    except StoreError as error:
        raise reading_error(f"source.path: {pattern}", error, "listed") from error
    return [SourceFile(path, each.size, each.mtime_ns, each.tag) for path, each in found if _is_data(path, pattern)]


def _is_data(path: str, pattern: str) -> bool:
    """Return whether no part of a path begins with `_` or `.`, except parts that match such a part of the glob."""
    meant = [part for part in _parts(pattern) if part[:1] in ("_", ".")]
    return not any(
        part[:1] in ("_", ".") and not any(fnmatchcase(part, each) for each in meant) for part in _parts(path)
    )


def _parts(path: str) -> list[str]:
    return re.split(r"[/\\]", path)
