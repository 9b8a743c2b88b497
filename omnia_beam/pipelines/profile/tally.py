"""Figures of many series from columns of points: one pass, and memory for the series alone.

All loops run in numpy, over a block of many series at a time: a block of 1,000 series with 260 points each costs no more
than one series with as many points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.limits import GOOD
from omnia_beam.io.point_block import PointBlock
from omnia_beam.pipelines.profile.grid import SparkGrid
from omnia_beam.pipelines.profile.longest import Longest, stretches

QUALITY: Final = 0xC0
"""The quality bits of an OPC style status: 0xC0 is good, 0x40 questionable, 0 bad."""
_QUESTIONABLE: Final = 0x40

_LARGE: Final = 2.0**900
"""Values from here on are added up by themselves, scaled by 2**-LARGE_SHIFT, so that no sum of doubles overflows."""
LARGE_SHIFT: Final = 64

_STATE: Final = np.dtype(
    [
        ("points", np.int64),
        ("first", np.int64),
        ("last", np.int64),
        ("last_value", np.float64),
        ("low", np.float64),
        ("high", np.float64),
        ("sum", np.float64),
        ("sum_rest", np.float64),
        ("large", np.float64),
        ("large_rest", np.float64),
        ("nan", np.int64),
        ("plus_inf", np.int64),
        ("minus_inf", np.int64),
        ("bad", np.int64),
        ("questionable", np.int64),
        ("same_time", np.int64),
        ("longest_interval", np.uint64),
        ("interval_start", np.int64),
        ("flat_since", np.int64),
    ]
)
"""What is known of a series: times and intervals in ns, counts in points, `low` and `high` of finite values. `large` is the sum
of the large values, `sum` of all others; each `rest` is what rounding has lost of it. `flat_since` is the time since when the
value of the last point has not changed."""

_EMPTY: Final = np.zeros((), _STATE)
_EMPTY["low"] = _EMPTY["high"] = _EMPTY["last_value"] = np.nan


class Tally:
    """Counts points as they come; of each series in the order of time.

    Args:
        gap_ns: a longer time without a point is a gap, a longer time with one value a flat stretch.

    Attributes:
        names: the series, in the order in which they came.
        state: array of _STATE, one element for each series.
        gaps, flats: the gaps and the flat stretches.
        grid: for sparklines.
        disordered: numbers of series of which a point came after a later one; their figures are wrong.
    """

    def __init__(self, gap_ns: int) -> None:
        self.names: list[str] = []
        self.state: npt.NDArray[Any] = np.empty(0, _STATE)
        self.gaps, self.flats = Longest.none(), Longest.none()
        self.grid = SparkGrid()
        self.disordered: set[int] = set()
        self._gap = np.uint64(gap_ns)
        self._numbers: dict[str, int] = {}

    def add(self, block: PointBlock) -> None:
        """Count the points of a block, in any order; they must not be earlier than what was counted of their series."""
        if not len(block.codes):
            return
        block = block.by_time()
        starts = block.starts
        run = _Run(block, starts, self._series(block.names[code] for code in block.codes[starts].tolist()))
        before = self.state[run.series]
        self.disordered.update(run.series[(before["points"] > 0) & (run.first < before["last"])].tolist())
        intervals = _intervals(run, before)
        self._count_values(run)
        self._count_statuses(run)
        self._count_intervals(run, intervals)
        self._count_flats(run, intervals, before)
        now = self.state
        fresh = run.series[before["points"] == 0]
        now["first"][fresh] = run.first[before["points"] == 0]
        now["points"][run.series] += run.counts
        now["last"][run.series], now["last_value"][run.series] = run.last, run.points.values[run.ends - 1]

    def finish(self) -> None:
        """Close what may go on: flat stretches up to the last point."""
        self._close_flats(np.flatnonzero(self.state["points"] > 0), self.state)

    def _series(self, names: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the numbers of series; new ones get the next."""
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        if len(self._numbers) > len(self.names):
            self.names = list(self._numbers)
            more = np.full(len(self.names) - len(self.state), _EMPTY)
            self.state = np.concatenate([self.state, more])
            for part in (self.gaps, self.flats, self.grid):
                part.resize(len(self.names))
        return np.array(numbers, np.int64)

    def _count_values(self, run: _Run) -> None:
        values, state = run.points.values, self.state
        finite = np.isfinite(values)
        if finite.all():
            clean = shown = values
        else:
            clean, shown = np.where(finite, values, 0.0), np.where(finite, values, np.nan)
            for name, which in (
                ("nan", np.isnan(values)),
                ("plus_inf", values == np.inf),
                ("minus_inf", values == -np.inf),
            ):
                state[name][run.series] += np.add.reduceat(which, run.starts, dtype=np.int64)
        self._add_sums(run, clean)
        self.grid.cover(int(run.first.min()), int(run.last.max()))
        steps = run.points.times >> self.grid.shift
        cells = run.cells(steps)
        low, high = np.fmin.reduceat(shown, cells), np.fmax.reduceat(shown, cells)
        self.grid.add(run.series[run.run_of(cells)], steps[cells], low, high)
        firsts = np.searchsorted(cells, run.starts)
        state["low"][run.series] = np.fmin(state["low"][run.series], np.fmin.reduceat(low, firsts))
        state["high"][run.series] = np.fmax(state["high"][run.series], np.fmax.reduceat(high, firsts))

    def _add_sums(self, run: _Run, values: npt.NDArray[np.float64]) -> None:
        """Add the sums of finite values."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.add.reduceat(values, run.starts)
        if not (np.abs(sums) < _LARGE).all():  # not a number where it has overflowed
            large = np.abs(values) >= _LARGE
            sums = np.add.reduceat(np.where(large, 0.0, values), run.starts)
            scaled = np.where(large, np.ldexp(values, -LARGE_SHIFT), 0.0)
            self._add_exactly("large", run, np.add.reduceat(scaled, run.starts))
        self._add_exactly("sum", run, sums)

    def _add_exactly(self, name: str, run: _Run, sums: npt.NDArray[np.float64]) -> None:
        """Add sums to a field, and what rounding loses to its rest (Neumaier)."""
        old = self.state[name][run.series]
        new = old + sums
        is_larger = np.abs(old) >= np.abs(sums)
        larger, smaller = np.where(is_larger, old, sums), np.where(is_larger, sums, old)
        self.state[name][run.series] = new
        self.state[f"{name}_rest"][run.series] += (larger - new) + smaller

    def _count_statuses(self, run: _Run) -> None:
        statuses = run.points.statuses
        if (statuses == GOOD).all():
            return
        quality = statuses & np.uint32(QUALITY)
        for name, which in (("bad", quality != QUALITY), ("questionable", quality == _QUESTIONABLE)):
            self.state[name][run.series] += np.add.reduceat(which, run.starts, dtype=np.int64)

    def _count_intervals(self, run: _Run, intervals: npt.NDArray[np.uint64]) -> None:
        state = self.state
        none = np.add.reduceat(intervals == 0, run.starts, dtype=np.int64)
        state["same_time"][run.series] += none - (state["points"][run.series] == 0)  # a first point has no interval
        longest = np.maximum.reduceat(intervals, run.starts)
        for at in np.flatnonzero(longest > state["longest_interval"][run.series]).tolist():
            inside = slice(run.starts[at], run.ends[at])
            end = run.starts[at] + int(np.argmax(intervals[inside]))
            state["longest_interval"][run.series[at]] = longest[at]
            state["interval_start"][run.series[at]] = _before(run.points.times[end : end + 1], longest[at : at + 1])[0]
        found = np.flatnonzero(intervals > self._gap)
        if len(found):
            start = _before(run.points.times[found], intervals[found])
            self.gaps.add(stretches(run.series[run.run_of(found)], start, intervals[found]))

    def _count_flats(self, run: _Run, intervals: npt.NDArray[np.uint64], before: npt.NDArray[Any]) -> None:
        times, values = run.points.times, run.points.values
        same = np.empty(len(values), bool)
        np.equal(values[1:], values[:-1], out=same[1:])
        same[run.starts] = (values[run.starts] == before["last_value"]) & (before["points"] > 0)
        same &= intervals <= self._gap
        self._close_flats(run.series[~same[run.starts]], before[~same[run.starts]])
        rises, falls = same.copy(), same.copy()
        rises[1:] &= ~same[:-1]
        rises[run.starts] = same[run.starts]
        falls[:-1] &= ~same[1:]
        falls[run.ends - 1] = same[run.ends - 1]
        rise, fall = np.flatnonzero(rises), np.flatnonzero(falls)
        owner = run.run_of(rise)
        begins = times[rise - 1]
        goes_on = rise == run.starts[owner]
        begins[goes_on] = before["flat_since"][owner[goes_on]]
        is_open = fall == run.ends[owner] - 1
        length = _between(begins, times[fall])
        whole = ~is_open & (length > self._gap)
        self.flats.add(stretches(run.series[owner[whole]], begins[whole], length[whole], values[fall[whole]]))
        since = run.last.copy()
        since[owner[is_open]] = begins[is_open]
        self.state["flat_since"][run.series] = since

    def _close_flats(self, series: npt.NDArray[np.int64], state: npt.NDArray[Any]) -> None:
        """Add the stretches that reach to the last point counted so far, of some series with their states."""
        length = _between(state["flat_since"], state["last"])
        closed = (length > self._gap) & (state["points"] > 0)
        self.flats.add(
            stretches(series[closed], state["flat_since"][closed], length[closed], state["last_value"][closed])
        )


class _Run:
    """A block's runs: one for each of its series, ascending in time.

    Attributes:
        starts, ends: indices of the first point and behind the last; shape (runs,).
        series: numbers of the series; first, last: times in ns; counts: points.
    """

    def __init__(self, block: PointBlock, starts: npt.NDArray[np.int64], series: npt.NDArray[np.int64]) -> None:
        self.points = block.points
        self.starts, self.series = starts, series
        self.ends = np.append(starts[1:], len(block.codes))
        self.counts = self.ends - starts
        self.first, self.last = self.points.times[starts], self.points.times[self.ends - 1]

    def cells(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the index of the first point of each step of each run."""
        begins = np.empty(len(steps), bool)
        np.not_equal(steps[1:], steps[:-1], out=begins[1:])
        begins[self.starts] = True
        return np.flatnonzero(begins)

    def run_of(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the run of each point, given by its index."""
        return np.searchsorted(self.starts, points, side="right") - 1


def _intervals(run: _Run, before: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return the time since the point before, ns; 0 for the first point of a series, and where that point is later."""
    intervals = np.zeros(len(run.points.times), np.uint64)
    intervals[1:] = _between(run.points.times[:-1], run.points.times[1:])
    known = (before["points"] > 0) & (run.first >= before["last"])
    intervals[run.starts] = np.where(known, _between(before["last"], run.first), np.uint64(0))
    return intervals


def _between(start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return end - start, which int64 may not hold."""
    return end.view(np.uint64) - start.view(np.uint64)


def _before(end: npt.NDArray[np.int64], length: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return end - length."""
    return (end.view(np.uint64) - length).view(np.int64)
