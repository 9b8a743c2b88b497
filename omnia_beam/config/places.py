"""Refuse jobs whose source, destination and state lie inside one another.

A destination that the source reads is copied into itself, once more with each run; a state that lies in the dataset
gives its readers Parquet files that hold no points.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from typing import Final

from omnia_beam.config.job import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.store.place import identity_of, is_remote

_HIDDEN: Final = ("_", ".")
"""Prefixes of names that hold no data, by the rule of Arrow, Spark and Hive."""
_STATE_FOLDERS: Final = ("dead_letters", "ledger", "plan", "runs")
_PARTITION: Final = "year=2000/month=01"


def check_places(config: JobConfig) -> None:
    """Refuse a job whose source reads its own destination or state, or whose state lies in its destination.

    Symbolic links are followed; folders whose names begin with `_` or `.` hold no data and may lie anywhere.

    Raises:
        UsageError: names the two keys, their places and what to do.
    """
    state = _real(config.state)
    folder = config.sink.folder()
    sink = None if folder is None else _real(folder)
    for pattern in config.source.folders():
        if sink is not None and _reads(pattern, [f"{sink}/{_PARTITION}"]):
            raise UsageError(
                f"sink.path: {sink} is where the source reads (source.path: {pattern}): the next run would copy the copy. "
                "Give a sink.path outside of the source, or a folder whose name begins with _ or ."
            )
        if _reads(pattern, [f"{state}/{config.name}", *(f"{state}/{config.name}/{name}" for name in _STATE_FOLDERS)]):
            raise UsageError(
                f"state: {state} is where the source reads (source.path: {pattern}): its files are no data. Give a state "
                "outside of the source, or a folder whose name begins with _ or ."
            )
    if sink is not None and _is_inside(state, sink):
        raise UsageError(
            f"state: {state} is inside the destination (sink.path: {sink}): readers of the dataset would read its files. "
            "Give a state beside it, or a folder whose name begins with _ or ."
        )


def is_hidden(parts: list[str]) -> bool:
    """Return whether one of the names of a path begins with `_` or `.`, which marks it as no data."""
    return any(part.startswith(_HIDDEN) for part in parts)


def _is_inside(place: str, folder: str) -> bool:
    below = _below(place, folder)
    return below is not None and not is_hidden(below)


def _reads(pattern: str, folders: list[str]) -> bool:
    """Return whether a path or glob may match a file in one of the folders."""
    for root, rest in _readings(pattern):
        for folder in folders:
            below = _below(folder, root)
            if below is not None and not is_hidden(below) and _matches(rest, below):
                return True
    return False


def _readings(pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the real folder at which a pattern's search begins, and the patterns of the folders below it.

    Symbolic links that a glob reaches are followed too.
    """
    if is_remote(pattern):
        parts = identity_of(pattern).split("/")
        fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        yield "/".join(parts[:fixed]), parts[fixed:-1]
        return
    if os.path.isdir(pattern):
        yield _real(pattern), ["**"]
        return
    parts = os.path.expanduser(pattern).split("/")
    fixed = next((at for at, part in enumerate(parts[:-1]) if glob.has_magic(part)), len(parts) - 1)
    yield (
        _real("/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else ".")),
        [part for part in parts[fixed:-1] if part],
    )
    for folder, rest in _linked(parts, fixed):
        yield _real(folder), rest


def _linked(parts: list[str], fixed: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders that the glob reaches through symbolic links, since their targets may lie anywhere."""
    if "**" in parts[fixed:-1]:
        for folder, inside, _ in os.walk("/".join(parts[:fixed]) or "."):
            yield from ((f"{folder}/{name}", ["**"]) for name in inside if os.path.islink(f"{folder}/{name}"))
        return
    for at in range(fixed, len(parts) - 1):
        for folder in glob.iglob("/".join(parts[: at + 1])):
            if os.path.islink(folder):
                yield folder, parts[at + 1 : -1]


def _matches(patterns: list[str], names: list[str]) -> bool:
    """Return whether folder names match folder patterns one by one; `**` matches any number of them."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        return _matches(patterns[1:], names) or bool(names and _matches(patterns, names[1:]))
    return bool(names) and _fits(names[0], patterns[0]) and _matches(patterns[1:], names[1:])


def _fits(name: str, pattern: str) -> bool:
    return re.fullmatch(fnmatch.translate(pattern), name) is not None


def _below(place: str, folder: str) -> list[str] | None:
    """Return the names that lead from a folder to a place; an empty list where they are the same, None where it is elsewhere."""
    if place == folder:
        return []
    root = folder.rstrip("/") + "/"
    return place[len(root) :].split("/") if place.startswith(root) else None


def _real(path: str) -> str:
    return identity_of(path) if is_remote(path) else os.path.realpath(os.path.expanduser(path))
