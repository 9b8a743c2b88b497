"""Read windows over files as chunks: parse the blocks that may hold their points, join them, and let later rows win."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import IncompleteReadError, OmniaBeamError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.blocks import BlockFile
from omnia_beam.io.files.catalog import BlockRef
from omnia_beam.io.files.csv.folds import BlockPoints
from omnia_beam.io.files.forms import FileSource
from omnia_beam.io.files.found import SourceFile, look_at
from omnia_beam.io.files.plan import FileWindow

CACHE_BYTES: Final = 128 << 20
"""Size of the parsed blocks that are kept, since neighbouring windows share blocks."""

_OPEN_FILES: Final = 8

PointsBySeries = Mapping[str, Points]
KeepLetters = Callable[[ChunkKey, Sequence[DeadLetter]], None]

_TWICE: Final = "the local time came twice when clocks went back (source.dst_fold: dead_letter)"


class BlockCache:
    """A cache of parsed blocks and open files, from which the least recently used are dropped. Not for several threads.

    Args:
        source: how files are read.
        cache_bytes: most bytes of parsed blocks; the last block is kept in any case.
    """

    def __init__(self, source: FileSource, cache_bytes: int = CACHE_BYTES) -> None:
        self._source = source
        self._cache_bytes = cache_bytes
        self._blocks: OrderedDict[tuple[str, BlockRef], tuple[PointsBySeries, int]] = OrderedDict()
        self._bytes = 0
        self._files: OrderedDict[SourceFile, BlockFile] = OrderedDict()

    def get(self, file: SourceFile, block: BlockRef) -> PointsBySeries:
        """Return the points of a block.

        Raises:
            IncompleteReadError: the file has changed since it was indexed.
            UsageError: it cannot be read.
        """
        place = BlockRef(block.file, block.place, 0, 0)  # the times are only those of the series that were requested
        key = (file.path, place)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key][0]
        points = self.opened(file).read(block.place)
        size = sum(20 * len(each.times) for each in points.values())
        self._blocks[key] = (points, size)
        self._bytes += size
        while self._bytes > self._cache_bytes and len(self._blocks) > 1:
            _, (_, gone) = self._blocks.popitem(last=False)
            self._bytes -= gone
        return points

    @property
    def held_bytes(self) -> int:
        """Bytes of the blocks that are kept."""
        return self._bytes

    def close(self) -> None:
        self._blocks.clear()
        self._bytes = 0
        while self._files:
            self._files.popitem()[1].close()

    def opened(self, file: SourceFile) -> BlockFile:
        """Return a file to read blocks from; it stays open until others take its place.

        Raises:
            IncompleteReadError: it is another file by now, or none.
            OmniaBeamError: it cannot be read.
        """
        if file in self._files:
            self._files.move_to_end(file)
            return self._files[file]
        while len(self._files) >= _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        try:
            opened = BlockFile(self._source, file.path)
        except OmniaBeamError:
            _check_unchanged(file)  # which says more
            raise
        try:
            _check_unchanged(file)  # after it was opened, since what is open stays the same file
        except BaseException:
            opened.close()
            raise
        self._files[file] = opened
        return opened


def _check_unchanged(file: SourceFile) -> None:
    if not file.is_same_as(look_at(file.path)):
        raise IncompleteReadError(
            f"{file.path}: was changed or removed since this run inspected it: run the same command again when it no longer changes"
        )


def read_window(
    item: FileWindow,
    files: Mapping[int, SourceFile],
    cache: BlockCache,
    statuses: tuple[int, ...],
    max_points: int,
    on_repeats: Callable[[str, int], None] = lambda name, points: None,
    keep: KeepLetters | None = None,
) -> Iterator[Chunk]:
    """Yield the points of a window: one chunk, or several one after another where it holds more than planned.

    Args:
        item: the window and its blocks.
        files: by the blocks' index.
        cache: that reads the blocks.
        statuses: only points with one of these are returned; empty for all.
        max_points: most points of one chunk.
        keep: called for each chunk, before it is yielded, with the points that have no certain time.
        on_repeats: called with each series in which rows repeat the time of a later row, and their number.

    Yields:
        Chunks whose ranges together are the window's, without gaps. Where the window is cut depends on its points alone.

    Raises:
        IncompleteReadError, UsageError: as `BlockCache.get`.
    """
    pending = [item.window.key.range]
    while pending:
        time_range = pending.pop()
        key = ChunkKey(item.window.key.series_ids, time_range)
        limit = max_points if time_range.duration_ns > 1 else None
        points = _gather(key, item.blocks, files, cache, limit)
        if points is None:
            pending.extend(reversed(time_range.split(2)))
            continue
        if keep is not None:
            keep(key, list(_doubtful(key, item.blocks, files, cache)))
        yield Chunk.from_points(key, dict(_settled(points, statuses, on_repeats)))


def _settled(
    points: Mapping[str, list[Points]], statuses: tuple[int, ...], on_repeats: Callable[[str, int], None]
) -> Iterator[tuple[str, Points]]:
    for name, parts in points.items():
        settled = _settle(parts)
        repeats = sum(len(each.times) for each in parts) - len(settled.times)
        if repeats:
            on_repeats(name, repeats)
        yield name, settled.take(np.isin(settled.statuses, statuses)) if statuses else settled


def _doubtful(
    key: ChunkKey, blocks: tuple[BlockRef, ...], files: Mapping[int, SourceFile], cache: BlockCache
) -> Iterator[DeadLetter]:
    """Yield points at ambiguous local times as dead letters, each at the earlier of its two times."""
    for block in blocks:
        held = cache.get(files[block.file], block)
        if not isinstance(held, BlockPoints):
            continue
        for name in key.series_ids:
            if name in held.doubtful and len((points := _cut(held.doubtful[name], key.range)).times):
                yield DeadLetter(key, name, name, points, _TWICE)


def _gather(
    key: ChunkKey,
    blocks: tuple[BlockRef, ...],
    files: Mapping[int, SourceFile],
    cache: BlockCache,
    limit: int | None,
) -> dict[str, list[Points]] | None:
    """Return the rows in the range by series, block by block; None where there are more than the limit."""
    found: dict[str, list[Points]] = {}
    total = 0
    for block in blocks:
        if block.last_ns < key.range.start_ns or block.first_ns >= key.range.end_ns:
            continue
        held = cache.get(files[block.file], block)
        for name in key.series_ids:
            points = held.get(name)
            if points is None:
                continue
            inside = _cut(points, key.range)
            total += len(inside.times)
            if limit is not None and total > limit:
                return None
            if len(inside.times):
                found.setdefault(name, []).append(inside)
    return found


def _cut(points: Points, time_range: TimeRange) -> Points:
    times = points.times
    if times[0] <= times[-1] and bool((times[1:] >= times[:-1]).all()):
        first, last = np.searchsorted(times, [time_range.start_ns, time_range.end_ns])
        return points.take(slice(int(first), int(last)))
    return points.take((times >= time_range.start_ns) & (times < time_range.end_ns))


def _settle(parts: list[Points]) -> Points:
    """Return the points sorted by time; of rows at the same time the last one stays."""
    points = Points.concat(parts)
    times = points.times
    if not bool((times[1:] > times[:-1]).all()):
        points = points.take(np.argsort(times, kind="stable"))
        times = points.times
        points = points.take(np.append(times[1:] != times[:-1], True))
    return points
