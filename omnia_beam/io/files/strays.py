"""Find what lies at a destination of files besides those that receipts name: whose it is, and what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS
from omnia_beam.io.difference import Difference
from omnia_beam.io.files.destination_files import ListedFile, list_destination, shown_name
from omnia_beam.io.observer import Stray, Surplus

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
            for _, part in read(f"{path.rstrip('/')}/{file.name}"):
                points += len(part.times)
                span = _wider(span, part)
            content = f"{points:,} points"
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
    text = f"leads to {target}: a reader that follows links gets those points twice; take the link away"
    return Difference("linked_file", text, file=shown_name(name))


def _closed(name: str, why: str) -> Difference:
    return Difference(
        "not_compared", f"the folder cannot be listed: {why}; what lies in it is not known", file=shown_name(name)
    )
