"""What a store of files promises, on a disk and on an object store alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from omnia_beam.core.file_stamp import FileStamp

Placing = Callable[[], AbstractContextManager[object]]
"""Wraps the one step that makes a file visible, and raises before it where the file must not appear."""

TEMPORARY_PREFIX: Final = ".omnia-beam-"
"""Prefix of unfinished files; any process may delete them once their writer is gone."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a folder.

    Args:
        name: without the folder; with `/` where a listing goes deeper.
        size: bytes.
        mtime_ns: time of the last change, ns since the Unix epoch, by the store's clock; 0 where a listing does not say.
        tag: the store's name for this content (ETag), without quotes; empty on a disk, and where a store gives none.
    """

    name: str
    size: int
    mtime_ns: int = 0
    tag: str = ""


@dataclass(frozen=True, slots=True)
class VersionedFile:
    """The content of a file with the store's token for it, to which a later `replace` refers.

    Args:
        content: bytes.
        version: opaque; None for a file that does not exist.
    """

    content: bytes | None
    version: Any = None


class ChangedMeanwhile(Exception):
    """A file is not the one that a conditional write was to replace: another writer has replaced it."""


class Appender(Protocol):
    """A file that grows at its end."""

    def append(self, data: bytes) -> None:
        """Append data durably: what is in the file when this returns survives a power cut. On an error the file keeps its end."""

    def close(self) -> None: ...


class Store(Protocol):
    """A disk or an object store. Paths are whole paths. A store is plain data, which can be pickled; no secret is in it.

    Errors are OSErrors (FileNotFoundError where there is no such file), and UsageError where settings are missing.
    """

    @property
    def on_disk(self) -> bool:
        """Whether this is a disk, whose names may be folders, links and pipes, and whose files are locked and synced."""

    @property
    def can_append(self) -> bool:
        """Whether files can grow; where they cannot, each flush makes a file of its own."""

    @property
    def is_conditional(self) -> bool:
        """Whether `replace` excludes other writers by itself; elsewhere `lock` does."""

    def make_folder(self, path: str) -> None: ...

    def list(self, folder: str) -> list[StoredFile]:
        """Return the finished files of a folder by name; none where there is no such folder."""

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the names of all files below a folder, relative to it; none where there is no such folder."""

    def scan(self, folder: str, prefixes: Sequence[str]) -> Iterator[StoredFile]:
        """Yield the files in folders of folders, one level for each prefix that the folder's name must have."""

    def find(self, pattern: str) -> Sequence[tuple[str, StoredFile]]:
        """Return the files that a path or a glob names, with their whole paths. `**` stands for any number of folders.

        Whatever changes a file after this has returned changes its size, its time or its tag.
        """

    def is_there(self, path: str) -> bool:
        """Return whether a name is taken, also by a link that leads nowhere."""

    def is_no_file(self, path: str) -> bool:
        """Return whether something else than a file, such as a folder or a pipe, has a name, so that no file can be put there."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, seekable.

        Raises:
            FileNotFoundError: the file does not exist.
        """

    def put(
        self, path: str, data: bytes | memoryview, *, known_dirs: set[str] | None = None, placing: Placing = nullcontext
    ) -> FileStamp:
        """Put a file in place, whole and on stable storage, over any earlier file of its name, and return its stamp.

        On an object store this replaces the version alone that was there when `placing` was entered or before.

        Args:
            path: of the file.
            data: the content.
            known_dirs: directories that are known to exist; the file's own is added. None to check each time.
            placing: wraps the step in which the file appears.
        """

    def create(self, path: str, placing: Placing = nullcontext) -> Any:
        """Return a context manager of a binary file that appears, whole, when the block ends without an error."""

    def read(self, path: str) -> VersionedFile:
        """Read a small file as it is now, with its version."""

    def replace(self, path: str, data: bytes, version: Any) -> Any:
        """Write a small file in place of one version, None for no file yet, and return the new version.

        Where the store is not conditional the caller must hold the lock.

        Raises:
            ChangedMeanwhile: the store holds another version; nothing was written.
        """

    def append(self, path: str) -> Appender:
        """Create a file to append to.

        Raises:
            FileExistsError: the file exists already.
            OSError: the store cannot append.
        """

    def rename(self, old: str, new: str, placing: Placing = nullcontext) -> None:
        """Rename a file; on an object store it is copied, then deleted.

        Args:
            old, new: the paths.
            placing: wraps each step that changes what is there.
        """

    def delete(self, path: str) -> None:
        """Delete a file; a file that does not exist is no error."""

    def delete_all(self, paths: Iterable[str]) -> None:
        """Delete files, those that do not exist passed over."""

    def delete_temporaries(self, folder: str) -> None:
        """Delete what dead writers left unfinished; only for callers that know that no other writer lives."""

    def lock(self, path: str, *, shared: bool = False) -> Any:
        """Return a context manager that keeps other processes out, or with `shared` those that do not share the lock.

        It yields False where the store has no locks.
        """


def reason(error: BaseException) -> str:
    """Return the operating system's message where there is one, otherwise the error's text."""
    return getattr(error, "strerror", None) or str(error)
