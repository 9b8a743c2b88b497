"""Group points for one request: runs of several series of several chunks, which can be cut anywhere without a copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from omnia_beam.core.chunk import Points


class Run(NamedTuple):
    """Neighbouring points of one series of one chunk.

    Args:
        target_id: id of the series that they are written to.
        points: all points of that series of the chunk that are to be sent.
        start, stop: the part of them that the run holds; never empty.
        owner: the caller's object; not used here.
    """

    target_id: str
    points: Points
    start: int
    stop: int
    owner: Any

    @property
    def first_ns(self) -> int:
        return int(self.points.times[self.start])

    @property
    def selected(self) -> Points:
        return self.points.take(slice(self.start, self.stop))


Group = tuple[Run, ...]
"""Runs of any number of series, those of a series side by side."""

NOTHING: Group = ()


def ordered(runs: Iterable[Run]) -> Group:
    """Return runs as a group, with the runs of a series side by side."""
    return tuple(sorted(runs, key=lambda run: (run.target_id, run.first_ns)))


def size(group: Group) -> int:
    """Return the number of points in a group."""
    return sum(run.stop - run.start for run in group)


def split(group: Group, at: int) -> tuple[Group, Group]:
    """Return the first `at` points and the rest as groups; either may be empty."""
    for index, run in enumerate(group):
        length = run.stop - run.start
        if at < length:
            cut = run.start + at
            left = (run._replace(stop=cut),) if at > 0 else NOTHING
            return group[:index] + left, (run._replace(start=cut), *group[index + 1 :])
        at -= length
    return group, NOTHING


def targets(group: Group) -> list[str]:
    """Return the ids of the series that a group writes to, each once, in order."""
    return list(dict.fromkeys(run.target_id for run in group))


def of_targets(group: Group, wanted: Iterable[str]) -> tuple[Group, Group]:
    """Return the runs of the wanted series, and the others."""
    chosen = set(wanted)
    inside = tuple(run for run in group if run.target_id in chosen)
    return inside, tuple(run for run in group if run.target_id not in chosen)


def halves(group: Group) -> tuple[Group, Group] | None:
    """Return two parts of sizes as equal as possible, of whole series while there are several; None for a single point."""
    total = size(group)
    if total <= 1:
        return None
    bounds: list[int] = []
    at = 0
    for previous, run in zip((None, *group), group, strict=False):
        if previous is not None and previous.target_id != run.target_id:
            bounds.append(at)
        at += run.stop - run.start
    middle = total // 2
    return split(group, min(bounds, key=lambda bound: abs(bound - middle)) if bounds else middle)


def columns(group: Group) -> list[tuple[str, Any, Any, Any]]:
    """Return what the encoder takes: (target id, times, values, statuses), each series once."""
    by_target: dict[str, list[Points]] = {}
    for run in group:
        by_target.setdefault(run.target_id, []).append(run.selected)
    return [(target_id, *Points.concat(parts)[:3]) for target_id, parts in by_target.items()]


def spread(group: Group, count: int) -> tuple[list[Group], Group]:
    """Return single points, evenly spread from the first to the last, and the rest of the group in order."""
    total = size(group)
    places = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)).tolist()
    samples: list[Group] = []
    rest: list[Run] = []
    at = 0
    for place in places:
        before, group = split(group, place - at)
        sample, group = split(group, 1)
        rest.extend(before)
        samples.append(sample)
        at = place + 1
    return samples, (*rest, *group)
