"""Plan windows over files, and collect what a worker needs to read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from omnia_beam.core.limits import MAX_CHUNK_POINTS
from omnia_beam.core.window import Window
from omnia_beam.io.files.catalog import BlockRef, FileCatalog
from omnia_beam.io.files.found import SourceFile
from omnia_beam.plan.packing import PackedWindow, PackLimits, pack_windows
from omnia_beam.plan.plan import Plan, Wanted

_SERIES: Final = 1_000
"""Number of series in one window. No request limits it, and a block of a wide file is read once for each group of series."""


@dataclass(frozen=True, slots=True)
class FileWindow:
    """A window and the blocks that may hold its points."""

    window: Window
    blocks: tuple[BlockRef, ...]


@dataclass(frozen=True, slots=True)
class FileShard:
    """Some windows for one worker to read: the element of the source.

    Args:
        windows: in the order in which they are read.
        files: the files by the index that the blocks have as `file`.
    """

    windows: tuple[FileWindow, ...]
    files: dict[int, SourceFile]


def plan_files(
    catalog: FileCatalog,
    wanted: Iterable[Wanted],
    *,
    max_chunk_points: int = MAX_CHUNK_POINTS,
    newest_first: bool = False,
) -> Plan:
    """Plan windows that cover what is wanted, each instant of each series once.

    Args:
        catalog: has the numbers of points; a series that it does not know has none.
        wanted: (series names, range) pairs.
        max_chunk_points: most points of one chunk. A window that holds more, where points are unevenly spread, becomes several
            chunks.
        newest_first: whether the newest windows come first.
    """
    limits = file_limits(max_chunk_points)

    def packed() -> Iterator[PackedWindow]:
        for names, time_range in wanted:
            yield from pack_windows(catalog.counts(sorted(set(names)), time_range), time_range, limits)

    return Plan.of(packed(), newest_first=newest_first)


def file_limits(max_chunk_points: int) -> PackLimits:
    """Return the limits by which windows over files are packed."""
    return PackLimits(series=_SERIES, page_points=max_chunk_points, chunk_points=max_chunk_points)


def file_shards(catalog: FileCatalog, windows: Iterable[Window], windows_each: int) -> Iterator[FileShard]:
    """Yield the elements of the source, in order, each with at most `windows_each` windows."""
    if windows_each < 1:
        raise ValueError(f"a shard holds at least one window, not {windows_each}")
    rest = iter(windows)
    files = catalog.files
    while batch := tuple(islice(rest, windows_each)):
        found = tuple(FileWindow(window, catalog.blocks_for(window.key)) for window in batch)
        numbers = sorted({block.file for each in found for block in each.blocks})
        yield FileShard(found, {number: files[number] for number in numbers})
