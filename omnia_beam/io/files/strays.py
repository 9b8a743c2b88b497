"""Find the files at a destination that no receipt names (whose they are, and what they hold), and set them aside."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS
from omnia_beam.io.difference import Difference
from omnia_beam.io.files.destination_files import ListedFile, list_destination, shown_name
from omnia_beam.io.observer import Aside, ReadableFiles, Stray, Surplus
from omnia_beam.store import Placing, reason, store_of, within

_MOMENT: Final = r"-?\d{4,}\d\d\d\dT\d{6}Z"
_OF_A_JOB: Final = re.compile(
    rf"year=-?\d+/month=\d\d/(?P<name>[A-Za-z0-9_.]{{1,40}})-(?P<digest>[0-9a-f]{{8}})-{_MOMENT}-{_MOMENT}-[0-9a-f]{{16}}"
    r"\.(parquet|csv|csv\.gz|csv\.zst)",
    re.ASCII,
)
"""The names that file sinks give, for any job."""

Read = Callable[[str], Iterator[tuple[str, Points]]]


def find_surplus(path: str, prefix: str, suffixes: tuple[str, ...], read: Read, live: Collection[str]) -> Surplus:
    """List a destination and read every file that no receipt names.

    Args:
        path: the sink's.
        prefix: of this job's files (`destination.file_prefix`).
        suffixes: of the files that a reader includes.
        read: yields the points of a file.
        live: names that are in receipts, relative to the path.

    Raises:
        DestinationError: the directory cannot be listed.
    """
    listing = list_destination(path, suffixes, live)
    strays: list[Stray] = []
    foreign = 0
    for file in listing.files:
        if file.name in live:
            continue
        if is_of_another_job(file.name, prefix) and not file.what:
            foreign += 1
        else:
            strays.append(_stray(path, file, prefix, read))
    others = [_linked(name, target) for name, target in listing.links]
    others += [_closed(name, why) for name, why in listing.closed]
    return Surplus(tuple(strays), tuple(others), foreign)


def is_own_name(name: str, prefix: str) -> bool:
    """Return whether a name is exactly one that a file sink gives for this job."""
    found = _OF_A_JOB.fullmatch(name)
    return found is not None and f"{found['name']}-{found['digest']}" == prefix


def is_of_another_job(name: str, prefix: str) -> bool:
    """Return whether a name is one that a file sink gives for another job; this job's digest in it marks a renamed copy."""
    found = _OF_A_JOB.fullmatch(name)
    return found is not None and found["digest"] != prefix.rpartition("-")[2]


def _stray(path: str, file: ListedFile, prefix: str, read: Read) -> Stray:
    points, span = 0, None
    if file.what:
        content = f"it is {file.what} and no file"
    else:
        try:
            for _, part in read(within(path, file.name)):
                points += len(part.times)
                span = _wider(span, part)
            content = counted(points, "point")
        except (FileNotFoundError, ValueError, DestinationError) as error:
            points, span = 0, None
            content = f"unreadable: {error}"
    whose = "of this job" if is_own_name(file.name, prefix) else "of a name that the job does not give"
    where = ", outside of the destination behind a link" if file.outside else ""
    text = f"{content}, {whose}{where}, and no receipt names it"
    difference = Difference("stray_file", text, file=shown_name(file.name), points=points)
    return Stray(file.name, difference, span, file.outside, is_own_name(file.name, prefix))


def _wider(span: TimeRange | None, points: Points) -> TimeRange | None:
    if not len(points.times):
        return span
    first, last = int(points.times.min()), int(points.times.max())
    if span is not None:
        first, last = min(first, span.start_ns), max(last, span.end_ns - 1)
    return TimeRange(first, min(last + 1, MAX_TIME_NS))


def _linked(name: str, target: str) -> Difference:
    text = f"leads to {target}: a reader that follows links gets those points twice; remove the link"
    return Difference("linked_file", text, file=shown_name(name))


def _closed(name: str, why: str) -> Difference:
    return Difference(
        "not_compared", f"the folder cannot be listed: {why}; its content is not known", file=shown_name(name)
    )


_NAME_BYTES: Final = 255
"""Most bytes of one part of a path, on every file system in use."""


@dataclass(frozen=True)
class MovedFiles:
    """The files below one path, as a repair renames them; see `FileMoves`.

    Args:
        path: the directory, on a disk or an object store.
        readable: how others read the points from the files as they are; None where they cannot.
    """

    path: str
    readable: ReadableFiles | None = None

    def set_aside(self, name: str, run_id: str, placing: Placing) -> Aside:
        """Rename a file to `_NAME.RUN.set-aside` in its folder. It is not deleted, because it may be the only copy.

        Args:
            name: the file's name, relative to the directory.
            run_id: makes the new name unique; a name that would get too long is cut.

        Raises:
            DestinationError: it cannot be renamed.
        """
        folder, slash, base = name.rpartition("/")
        ending = f".{run_id}.set-aside"
        cut = os.fsencode(base)[: _NAME_BYTES - len(ending) - 1]
        aside = f"{folder}{slash}_{os.fsdecode(cut)}{ending}"
        try:
            self._rename(name, aside, placing)
        except OSError as error:
            place = shown_name(f"{self.path.rstrip('/')}/{name}")
            raise DestinationError(f"{place}: cannot be set aside: {reason(error)}") from error
        return Aside(aside, shown_name(aside))

    def put_back(self, aside: Aside, name: str, placing: Placing) -> bool:
        """Give a file its old name again; return False where that name is taken meanwhile, or the file cannot be renamed."""
        if self.is_there(name):
            return False
        try:
            self._rename(aside.name, name, placing)
        except OSError:
            return False
        return True

    def is_there(self, name: str) -> bool:
        """Return whether a name is taken, also by a link that leads nowhere."""
        return store_of(self.path).is_there(within(self.path, name))

    def is_blocked(self, name: str) -> bool:
        """Return whether something else than a file, such as a folder or a pipe, has a name."""
        return store_of(self.path).is_no_file(within(self.path, name))

    def _rename(self, old: str, new: str, placing: Placing) -> None:
        store_of(self.path).rename(within(self.path, old), within(self.path, new), placing)
