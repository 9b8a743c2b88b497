"""A series whose points become visible only some time after their timestamps, as on-premise historians publish.

Time is cut into publication blocks. A block is published as a whole, a lateness after its end; one block in ten is late
by up to `lateness_ns`, the others by no more than a tenth of a block. So later blocks appear before earlier ones, and
holes close behind a reader.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.counterhash import hash_one, unit
from omnia_beam.emulator.common.points import Points, Statuses, joined
from omnia_beam.emulator.common.signal import PlantSignal


@dataclass(frozen=True, slots=True, eq=False)
class LateSeries:
    """The points that will be visible in the end (`complete`), and when they become visible. All times are in ns."""

    complete: PlantSignal
    key: int
    block_ns: int
    lateness_ns: int

    def published_ns(self, block: int) -> int:
        """Return when the points of `[block * block_ns, (block + 1) * block_ns)` become visible."""
        end = (block + 1) * self.block_ns
        drawn = hash_one(self.key, block)
        if drawn % 10 == 0:
            return end + int(unit(hash_one(~self.key & (2**64 - 1), block)) * self.lateness_ns)
        return end + int(unit(drawn) * self.block_ns) // 10

    def at(self, now_ns: int) -> VisibleSource:
        """Return the points that are visible at `now_ns`, as a view that stays the same while the clock goes on."""
        newest = now_ns // self.block_ns
        settled = newest - self.lateness_ns // self.block_ns - 3
        ranges = [(0, self.complete.locate(settled * self.block_ns))]
        for block in range(settled, newest + 1):
            if self.published_ns(block) <= now_ns:
                first = self.complete.locate(block * self.block_ns)
                stop = self.complete.locate((block + 1) * self.block_ns)
                ranges.append((first, stop))
        bounds = np.array(ranges, dtype=np.int64)
        return VisibleSource(self.complete, bounds[:, 0], bounds[:, 1])


@dataclass(frozen=True, slots=True, eq=False)
class VisibleSource:
    """A `PointSource` of some index ranges of another source; the ranges ascend and do not overlap."""

    complete: PlantSignal
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def count(self) -> int:
        return int((self.stops - self.starts).sum())

    def locate(self, time_ns: int) -> int:
        index = self.complete.locate(time_ns)
        return int((np.clip(index, self.starts, self.stops) - self.starts).sum())

    def read(self, first: int, stop: int) -> Points:
        return joined([self.complete.read(low, high) for low, high in self._ranges(first, stop)] or [_nothing(self)])

    def statuses(self, first: int, stop: int) -> Statuses:
        parts = [self.complete.statuses(low, high) for low, high in self._ranges(first, stop)]
        return np.concatenate(parts) if parts else np.empty(0, np.uint32)

    def _ranges(self, first: int, stop: int) -> list[tuple[int, int]]:
        ranges, before = [], 0
        for start, end in zip(self.starts.tolist(), self.stops.tolist(), strict=True):
            low, high = max(first - before, 0) + start, min(stop - before, end - start) + start
            if low < high:
                ranges.append((low, high))
            before += end - start
        return ranges


def _nothing(source: VisibleSource) -> Points:
    return source.complete.read(0, 0)
