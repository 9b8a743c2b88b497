"""Count what a destination holds, in the order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from omnia_beam.core.chunk import Points
from omnia_beam.io.contents import Contents
from omnia_beam.io.point_block import PointBlock
from omnia_beam.pipelines.profile.tally import Tally

SORTED_AT_ONCE: Final = 8_000_000
"""Points that are held for sorting, at most, where the files of a series do not follow each other in time; a series that has
more is sorted alone."""


def tally_of(contents: Contents, gap_ns: int, sorted_at_once: int = SORTED_AT_ONCE) -> Tally:
    """Count all points of a destination, in one pass where the files of each series follow each other in time.

    Series of which that is not true are counted in further passes, which read all files again and hold and sort the points of
    some of these series at a time.

    Args:
        gap_ns: see `Tally`.
        sorted_at_once: points to hold, at most.

    Raises:
        DestinationError: a store cannot be read at all.
    """
    tally = Tally(gap_ns)
    for block in contents.blocks():
        tally.add(block)
    if tally.disordered:
        again = {tally.names[number]: int(tally.state["points"][number]) for number in sorted(tally.disordered)}
        tally = Tally(gap_ns)
        others = set(again)
        for names in _batches(again, sorted_at_once):
            parts: dict[str, list[Points]] = {name: [] for name in names}
            for block in contents.blocks():
                if others:
                    tally.add(_without(block, others))
                for name, points in _only(block, parts).by_series().runs():
                    parts[name].append(points)
            others = set()
            for name, each in parts.items():
                tally.add(PointBlock.of_one(name, Points.concat(each)))
    tally.finish()
    return tally


def _batches(points: dict[str, int], at_most: int) -> Iterator[tuple[str, ...]]:
    """Yield names whose points add up to the limit at most, or one name that has more."""
    batch: list[str] = []
    held = 0
    for name, count in points.items():
        if batch and held + count > at_most:
            yield tuple(batch)
            batch, held = [], 0
        batch.append(name)
        held += count
    yield tuple(batch)


def _without(block: PointBlock, names: Collection[str]) -> PointBlock:
    return _only(block, set(block.names) - set(names))


def _only(block: PointBlock, names: Collection[str]) -> PointBlock:
    """Return the points of some series, as a copy where that is not all of the block."""
    wanted = np.array([name in names for name in block.names], bool)
    return block if wanted.all() else block.take(wanted[block.codes])
