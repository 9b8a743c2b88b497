"""A synthetic series in closed form: times from a grid, values and statuses from the index and the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnia_beam.emulator.common.counterhash import hashes, hashes_of
from omnia_beam.emulator.common.grid import TimeGrid
from omnia_beam.emulator.common.points import Points, Statuses, Times, Values

_STATUS_BLOCK_BITS = 6
# A point in a disturbed block has one of these: half of them are good, the others codes that the service lists, and two
# that its table does not list.
_DISTURBED = np.array([192] * 16 + [64] * 5 + [0] * 5 + [24] * 2 + [8, 60, 193, 1073741824], dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Shape:
    """The course of the values: a level, two waves, noise, all in the unit of the series; periods are in ns.

    `hold` > 1 makes a stepped signal: the value stays for that many points. `single` rounds to float32, as most
    transmitters send. Only additions, multiplications and floors are used, so that every machine computes the same bits.
    """

    key: int
    level: float
    swing: float
    swing_period_ns: int
    ripple: float
    ripple_period_ns: int
    noise: float
    hold: int = 1
    single: bool = True

    def values(self, first: int, times: Times) -> Values:
        """Return the values of the points from index `first` on, whose times these are."""
        if self.hold > 1:
            return self._held(first, len(times))
        seconds = times.astype(np.float64)
        values = _bow(seconds, self.swing_period_ns)
        values *= 4.0 * self.swing
        ripple = _bow(seconds, self.ripple_period_ns)
        ripple *= 4.0 * self.ripple
        values += ripple
        noise = (hashes(self.key, first, first + len(times)) >> np.uint64(40)).astype(np.float64)
        noise *= self.noise * 2.0**-24
        values += noise
        values += self.level
        return values.astype(np.float32).astype(np.float64) if self.single else values

    def _held(self, first: int, count: int) -> Values:
        block = first // self.hold
        blocks = hashes(self.key, block, (first + count - 1) // self.hold + 1) if count else hashes(self.key, 0, 0)
        levels = self.level + self.swing * ((blocks >> np.uint64(58)).astype(np.float64) / 64.0)
        skip = first - block * self.hold
        return np.repeat(levels, self.hold)[skip : skip + count]


@dataclass(frozen=True, slots=True)
class Quality:
    """The course of the statuses: `disturbed` of 1,024 blocks of 64 neighbouring points are not wholly good."""

    key: int
    disturbed: int = 30

    def statuses(self, first: int, stop: int) -> Statuses:
        """Return the statuses of the indices `first <= i < stop`."""
        statuses = np.full(stop - first, 192, dtype=np.uint32)
        if stop <= first:
            return statuses
        block = first >> _STATUS_BLOCK_BITS
        drawn = hashes(self.key, block, ((stop - 1) >> _STATUS_BLOCK_BITS) + 1) >> np.uint64(54)
        disturbed = np.flatnonzero(drawn < self.disturbed)
        if len(disturbed):
            size = 1 << _STATUS_BLOCK_BITS
            indices = ((disturbed + block)[:, None] * size + np.arange(size)[None, :]).ravel()
            indices = indices[(indices >= first) & (indices < stop)]
            statuses[indices - first] = _DISTURBED[hashes_of(~self.key, indices) >> np.uint64(59)]
        return statuses


@dataclass(frozen=True, slots=True, eq=False)
class PlantSignal:
    """A `PointSource` that computes its points when they are read and stores nothing."""

    grid: TimeGrid
    shape: Shape
    quality: Quality

    def count(self) -> int:
        return self.grid.points

    def locate(self, time_ns: int) -> int:
        return self.grid.locate(time_ns)

    def read(self, first: int, stop: int) -> Points:
        times = self.grid.times(first, stop)
        return Points(times, self.shape.values(first, times), self.quality.statuses(first, stop))

    def statuses(self, first: int, stop: int) -> Statuses:
        return self.quality.statuses(first, stop)


def _bow(seconds: Values, period: int) -> Values:
    """Return a wave in `[0, 1/4]`: `x * (1 - x)` of the phase x of each time."""
    phase = seconds * (1.0 / period)
    phase -= np.floor(phase)
    bow = 1.0 - phase
    bow *= phase
    return bow
