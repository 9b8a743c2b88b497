"""List the files below a destination that a reader of it as one dataset would read, and where their names lead.

Links are followed, as pyarrow follows them, but each folder is entered once: a link to a folder that is listed anyway is
reported and not entered, so that a link upwards does not make the walk endless. A file with two names (links, hard links)
counts as one file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from omnia_beam.core.errors import DestinationError
from omnia_beam.store import reason, store_of
from omnia_beam.store.errors import StoreError

_HIDDEN: Final = (".", "_")
"""Prefixes of names that are no part of a dataset: the rule of Arrow, Spark and Hive."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A name that a reader would open.

    Args:
        name: relative to the destination, as the file system spells it; bytes that are not UTF-8 are surrogates.
        what: empty for a file; otherwise what it is, in words, such as `a link that leads nowhere` or `a pipe`.
        outside: whether it is reached by a link to a folder outside of the destination.
    """

    name: str
    what: str = ""
    outside: bool = False


@dataclass
class Listing:
    """The files, links and unreadable folders below a destination.

    Args:
        files: ascending by name; each file once, whatever links lead to it.
        links: further names of files and folders that are listed anyway, and what each leads to, in words.
        closed: folders that cannot be listed, and the reasons.
    """

    files: list[ListedFile] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)


def list_destination(path: str, suffixes: tuple[str, ...], live: Collection[str] = ()) -> Listing:
    """List the files that a reader of the directory would read.

    Args:
        path: on a disk or an object store.
        suffixes: of the files' names, in lower case; upper case counts the same.
        live: names that are known to be the files' proper ones: any other name of the same file is a link.

    Returns:
        An empty listing where there is no such directory.

    Raises:
        DestinationError: the directory itself cannot be listed.
    """
    root = path.rstrip("/") or "/"
    store = store_of(path)
    if store.on_disk:
        return _LocalWalk(root, suffixes, live).listing
    try:
        names = sorted(store.walk(path))
    except OSError as error:
        raise DestinationError(f"{path}: cannot be listed: {reason(error)}") from error
    return Listing([ListedFile(name) for name in names if _is_data(name, suffixes)])


def shown_name(name: str) -> str:
    """Return a file's name in printable form: bytes that are not UTF-8, and control characters, become escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@contextmanager
def opened_file(path: str) -> Iterator[Any]:
    """Open a file of a destination for pyarrow.

    Pipes and other special files are never opened, because that might wait for ever.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the name belongs to something else than a file.
        DestinationError: the file may not be read.
    """
    try:
        store = store_of(path)
        if store.on_disk:
            what = _what_it_is(os.stat(path).st_mode)
            if what:
                raise ValueError(f"it is {what} and no file")
            source = pa.OSFile(path) if path.isprintable() else pa.PythonFile(open(path, "rb"))  # noqa: SIM115  # closed below
        else:
            source = pa.PythonFile(store.open(path), mode="r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DestinationError(f"{path}: cannot be opened: {reason(error)}") from error
    try:
        yield source
    finally:
        source.close()


@contextmanager
def naming_damage() -> Iterator[None]:
    """Convert Arrow's errors on damaged bytes, OSError or ArrowException depending on the operation, to ValueError.

    Raises:
        DestinationError: an object store does not respond, which proves nothing about the bytes.
    """
    try:
        yield
    except StoreError as error:
        raise DestinationError(f"{error.filename}: cannot be read: {reason(error)}") from error
    except (OSError, pa.ArrowException) as error:
        raise ValueError(" ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__) from error


def _is_data(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not any(part.startswith(_HIDDEN) for part in name.split("/"))


_Inode = tuple[int, int]


class _LocalWalk:
    """One walk through a local directory: its own folders first, then those that links lead to."""

    def __init__(self, root: str, suffixes: tuple[str, ...], live: Collection[str]) -> None:
        self._root = root
        self._suffixes = suffixes
        self._live = live
        self._entered: set[_Inode] = set()
        self._folder_links: list[str] = []
        self._found: dict[str, tuple[ListedFile, _Inode | None]] = {}
        self.listing = Listing()
        self._enter("", outside=False)
        self._follow()
        self._report_files()

    def _enter(self, folder: str, *, outside: bool) -> None:
        waiting = [folder]
        while waiting:
            inside = waiting.pop()
            try:
                at = os.stat(self._place(inside))
                entries = sorted(os.scandir(self._place(inside)), key=lambda entry: entry.name)
            except OSError as error:
                self._closed(inside, error)
                continue
            if (at.st_dev, at.st_ino) in self._entered:
                continue
            self._entered.add((at.st_dev, at.st_ino))
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.name.startswith(_HIDDEN):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    self._folder_links.append(name)
                elif name.lower().endswith(self._suffixes):
                    self._take(name, entry, at.st_dev, outside=outside)

    def _closed(self, folder: str, error: OSError) -> None:
        if folder:
            self.listing.closed.append((folder, reason(error)))
        elif not isinstance(error, FileNotFoundError):
            raise DestinationError(f"{self._root}: cannot be listed: {reason(error)}") from error

    def _take(self, name: str, entry: os.DirEntry[str], device: int, *, outside: bool) -> None:
        if name in self._live and entry.is_file(follow_symlinks=False):
            self._found[name] = ListedFile(name, outside=outside), (device, entry.inode())  # saves a stat for each file
            return
        try:
            at = os.stat(entry.path)
        except OSError:
            self._found[name] = ListedFile(name, "a link that leads nowhere", outside), None
            return
        what = _what_it_is(at.st_mode)
        self._found[name] = ListedFile(name, what, outside), None if what else (at.st_dev, at.st_ino)

    def _follow(self) -> None:
        for name in self._folder_links:  # the list grows while links are found behind links
            try:
                at = os.stat(self._place(name))
            except OSError as error:
                self.listing.closed.append((name, reason(error)))
                continue
            target = os.path.realpath(self._place(name))
            if (at.st_dev, at.st_ino) in self._entered:
                self.listing.links.append((name, f"the folder {self._shown(target)}, which is read anyway"))
            elif os.path.commonpath([target, os.path.realpath(self._root)]) == target:
                self.listing.links.append((name, f"{self._shown(target)}, in which this destination is"))
            else:
                self._enter(name, outside=True)

    def _report_files(self) -> None:
        proper = {inode: name for name, (_, inode) in self._found.items() if inode and name in self._live}
        for name in set(self._live) - self._found.keys():  # reached through a link to a folder that is listed itself
            with suppress(OSError):
                at = os.stat(self._place(name))
                proper[at.st_dev, at.st_ino] = name
        for name, (file, inode) in sorted(self._found.items()):
            if inode is not None and proper.get(inode, name) != name:
                self.listing.links.append((name, f"the file {shown_name(proper[inode])}"))
            else:
                self.listing.files.append(file)

    def _shown(self, target: str) -> str:
        inside = os.path.relpath(target, os.path.realpath(self._root))
        return shown_name(target if inside.startswith("..") else inside)

    def _place(self, name: str) -> str:
        return os.path.join(self._root, name)


def _what_it_is(mode: int) -> str:
    """Return in words what a mode stands for; empty for a file."""
    if stat.S_ISREG(mode):
        return ""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((word for is_kind, word in kinds if is_kind(mode)), "a device")
