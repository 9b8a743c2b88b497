"""The files below a destination that a reader of it as one dataset would take in, and what their names lead to.

Links are followed, as pyarrow follows them, but each folder is entered once: a link to a folder that is listed anyway is
named and not entered, so that a link upwards is no endless walk. A file under two names (links, hard links) is one file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.durable_file import is_local, reason

_HIDDEN: Final = (".", "_")
"""Names that begin so are no part of a dataset: the rule of Arrow, Spark and Hive."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A name that a reader would open.

    Args:
        name: relative to the destination, as the file system spells it; bytes that are no UTF-8 as surrogates.
        what: empty for a file; otherwise what it is instead, in words: `a link that leads nowhere`, `a pipe`.
        outside: whether a link to a folder outside of the destination leads to it.
    """

    name: str
    what: str = ""
    outside: bool = False


@dataclass
class Listing:
    """What lies below a destination.

    Args:
        files: ascending by name; each file once, whatever links lead to it.
        links: further names of files and folders that are listed anyway, and what each leads to, in words.
        closed: folders that cannot be listed, and why.
    """

    files: list[ListedFile] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)


def list_destination(path: str, suffixes: tuple[str, ...], live: Collection[str] = ()) -> Listing:
    """List what a reader of a directory would take in.

    Args:
        path: local, or of any Beam filesystem.
        suffixes: of the files' names, in lower case; upper case counts the same.
        live: names that are known to be the files' proper ones: any other name of the same file is a link.

    Returns:
        Nothing where there is no such directory.

    Raises:
        DestinationError: the directory itself cannot be listed.
    """
    root = path.rstrip("/") or "/"
    if is_local(path):
        return _LocalWalk(root, suffixes, live).listing
    try:
        matched = FileSystems.match([f"{root}/**"])[0].metadata_list
    except (OSError, BeamIOError) as error:
        raise DestinationError(f"{path}: cannot be listed: {reason(error)}") from error
    names = sorted(found.path[len(root) + 1 :] for found in matched)
    return Listing([ListedFile(name) for name in names if _is_data(name, suffixes)])


def shown_name(name: str) -> str:
    """A file's name as it can be printed anywhere: bytes that are no UTF-8, and control characters, as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@contextmanager
def opened_file(path: str) -> Iterator[Any]:
    """A file of a destination as pyarrow reads from it. Pipes and the like are never opened: that might wait for ever.

    Raises:
        FileNotFoundError: there is none.
        ValueError: something else than a file stands under the name.
        DestinationError: it may not be read.
    """
    try:
        if is_local(path):
            what = _what_it_is(os.stat(path).st_mode)
            if what:
                raise ValueError(f"it is {what} and no file")
            source = pa.OSFile(path) if path.isprintable() else pa.PythonFile(open(path, "rb"))  # noqa: SIM115  # closed below
        else:
            source = _open_remote(path)
    except FileNotFoundError:
        raise
    except (OSError, BeamIOError) as error:
        raise DestinationError(f"{path}: cannot be opened: {reason(error)}") from error
    try:
        yield source
    finally:
        source.close()


@contextmanager
def naming_damage() -> Iterator[None]:
    """Arrow's errors on damaged bytes are OSError or ArrowException, by what it was doing: ValueError for all of them."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise ValueError(" ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__) from error


def _open_remote(path: str) -> Any:
    if not FileSystems.exists(path):
        raise FileNotFoundError(path)
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


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
        self._tell_files()

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
            self._found[name] = ListedFile(name, outside=outside), (device, entry.inode())  # without a stat of each
            return
        try:
            at = os.stat(entry.path)
        except OSError:
            self._found[name] = ListedFile(name, "a link that leads nowhere", outside), None
            return
        what = _what_it_is(at.st_mode)
        self._found[name] = ListedFile(name, what, outside), None if what else (at.st_dev, at.st_ino)

    def _follow(self) -> None:
        for name in self._folder_links:  # grows while links are found behind links
            try:
                at = os.stat(self._place(name))
            except OSError as error:
                self.listing.closed.append((name, reason(error)))
                continue
            target = os.path.realpath(self._place(name))
            if (at.st_dev, at.st_ino) in self._entered:
                self.listing.links.append((name, f"the folder {self._shown(target)}, which is read anyway"))
            elif os.path.commonpath([target, os.path.realpath(self._root)]) == target:
                self.listing.links.append((name, f"{self._shown(target)}, in which this destination lies"))
            else:
                self._enter(name, outside=True)

    def _tell_files(self) -> None:
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
    """Empty for a file."""
    if stat.S_ISREG(mode):
        return ""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((word for is_kind, word in kinds if is_kind(mode)), "a device")
