"""Times as a closed form: a pattern of offsets, repeated for ever, with jitter. Nothing is stored per point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnia_beam.emulator.common.counterhash import hash_one, hashes
from omnia_beam.emulator.common.points import Times
from omnia_beam.emulator.common.source import clamped_time


@dataclass(frozen=True, slots=True, eq=False)
class TimeGrid:
    """A grid of times, all in ns, in which the time of an index is computed.

    `time(i) = start + (i // m) * period + offsets[i % m] + jitter(i)` for `0 <= i < points`, `m = len(offsets)`.
    `offsets` ascend strictly within `[0, period)`. Jitter is a multiple of `jitter_unit_ns`, at least 0 and less than
    `jitter_ns`, which is no more than the smallest gap between neighbours, so that times ascend strictly.
    """

    start_ns: int
    period_ns: int
    offsets: Times
    points: int
    key: int = 0
    jitter_ns: int = 0
    jitter_unit_ns: int = 1

    def times(self, first: int, stop: int) -> Times:
        """Return the times of the indices `first <= i < stop`."""
        times = self._regular(first, stop)
        if self.jitter_ns:
            steps = hashes(self.key, first, stop) >> np.uint64(34)
            # 30 random bits are scaled without a division, so that the result is below `jitter_ns // jitter_unit_ns`.
            steps *= np.uint64(self.jitter_ns // self.jitter_unit_ns)
            steps >>= np.uint64(30)
            times += (steps * np.uint64(self.jitter_unit_ns)).view(np.int64)
        return times

    def locate(self, time_ns: int) -> int:
        """Return how many times lie before `time_ns`."""
        time_ns = clamped_time(time_ns)
        tile, within = divmod(time_ns - self.start_ns, self.period_ns)
        per_tile = len(self.offsets)
        position = int(np.searchsorted(self.offsets, within, side="left")) if per_tile > 1 else int(within > 0)
        before = min(max(tile * per_tile + position, 0), self.points)
        # The jitter moves a time by less than a gap, so it can carry only the last of them to or past `time_ns`.
        if self.jitter_ns and before and self._one(before - 1) >= time_ns:
            before -= 1
        return before

    def _regular(self, first: int, stop: int) -> Times:
        per_tile = len(self.offsets)
        if per_tile == 1:
            times = np.arange(first, stop, dtype=np.int64)
            times *= self.period_ns
            times += self.start_ns + int(self.offsets[0])
            return times
        tile, last_tile = first // per_tile, -(-stop // per_tile)
        starts = np.arange(tile, last_tile, dtype=np.int64) * self.period_ns + self.start_ns
        skip = tile * per_tile
        return (starts[:, None] + self.offsets[None, :]).ravel()[first - skip : stop - skip]

    def _one(self, index: int) -> int:
        tile, position = divmod(index, len(self.offsets))
        steps = ((hash_one(self.key, index) >> 34) * (self.jitter_ns // self.jitter_unit_ns)) >> 30
        regular = self.start_ns + tile * self.period_ns + int(self.offsets[position])
        return regular + steps * self.jitter_unit_ns


def grid_over(
    start_ns: int,
    span_ns: int,
    period_ns: int,
    offsets: Times,
    *,
    key: int = 0,
    jitter_ns: int = 0,
    jitter_unit_ns: int = 1,
) -> TimeGrid:
    """Return a grid with as many points as begin within `[start_ns, start_ns + span_ns)`, jitter aside."""
    tiles, rest = divmod(span_ns, period_ns)
    points = tiles * len(offsets) + int(np.searchsorted(offsets, rest, side="left"))
    unit = max(1, jitter_unit_ns)
    return TimeGrid(start_ns, period_ns, offsets, points, key, (jitter_ns // unit) * unit, unit)
