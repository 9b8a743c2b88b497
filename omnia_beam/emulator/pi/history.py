"""The archived values of one point: stored in arrays, or computed from a signal when they are read."""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.source import clamped_time
from omnia_beam.emulator.common.store import Clock, Series
from omnia_beam.emulator.pi.events import (
    GOOD,
    QUESTIONABLE,
    STATE,
    STATE_CODES,
    SUBSTITUTED,
    Events,
    joined_events,
    no_events,
    sorted_events,
)
from omnia_beam.emulator.pi.settings import Rounding
from omnia_beam.emulator.pi.times import archived

UpdateOption: TypeAlias = Literal["Replace", "Insert", "NoReplace", "ReplaceOnly", "InsertNoCompression", "Remove"]
UPDATE_OPTIONS: Final[tuple[UpdateOption, ...]] = get_args(UpdateOption)

_TICK_NS: Final = 20_000
"""More than a tick of the archive's grid: no time moves further when it is put on the grid."""


class History(Protocol):
    """The values of one point in order of time, numbered from 0."""

    def count(self) -> int:
        """Return how many values there are."""

    def locate(self, time_ns: int) -> int:
        """Return how many values lie before `time_ns`; equally, the index of the first at or after it."""

    def read(self, first: int, stop: int) -> Events:
        """Return the values `first <= index < stop`; both are within `0..count()`."""


class StoredHistory:
    """Values in arrays, written by the update options of the service."""

    def __init__(self, events: Events | None = None) -> None:
        self._sorted = sorted_events(events) if events is not None else no_events()
        self._pending: list[Events] = []
        self._last = int(self._sorted.times[-1]) if len(self._sorted) else -(2**63)

    def count(self) -> int:
        return len(self._merged())

    def locate(self, time_ns: int) -> int:
        return int(np.searchsorted(self._merged().times, clamped_time(time_ns), side="left"))

    def read(self, first: int, stop: int) -> Events:
        return self._merged().take(slice(first, stop))

    def write(self, events: Events, option: UpdateOption) -> None:
        """Apply the values in their order.

        `Replace` overwrites the first value of a time, which is then substituted, or adds one; `Insert` and
        `InsertNoCompression` keep what is there; `NoReplace` adds where there is none; `ReplaceOnly` overwrites alone;
        `Remove` removes the first value of that time that equals the given one, or else the first of that time.
        """
        if option in ("Insert", "InsertNoCompression"):
            self._insert(events)
            return
        for part in _each_time_once(events):
            self._apply(part, option)

    def _apply(self, events: Events, option: UpdateOption) -> None:
        if int(events.times.min()) > self._last:
            if option in ("Replace", "NoReplace"):
                self._insert(events)
            return
        kept = self._merged()
        places = np.searchsorted(kept.times, events.times, side="left")
        known = places < len(kept)
        known[known] = kept.times[places[known]] == events.times[known]
        if option == "Remove":
            self._remove(kept, [self._removed(kept, events.take([row])) for row in np.flatnonzero(known)])
            return
        if option != "NoReplace" and known.any():
            self._overwrite(kept, places[known], events.take(known))
        if option != "ReplaceOnly":
            self._insert(events.take(~known))

    def _insert(self, events: Events) -> None:
        if not len(events):
            return
        events = sorted_events(events)
        if int(events.times[0]) < self._last:
            self._sorted = sorted_events(joined_events([self._merged(), events]))
        else:
            self._pending.append(events)
        self._last = max(self._last, int(events.times[-1]))

    def _overwrite(self, kept: Events, places: NDArray[np.intp], events: Events) -> None:
        numbers, marks = kept.numbers.copy(), kept.marks.copy()
        numbers[places], marks[places] = events.numbers, events.marks | SUBSTITUTED
        texts = kept.texts
        if events.texts is not None or texts is not None:
            texts = np.full(len(kept), None, dtype=object) if texts is None else texts.copy()
            texts[places] = None if events.texts is None else events.texts
        self._sorted = Events(kept.times, numbers, marks, texts)

    @staticmethod
    def _removed(kept: Events, event: Events) -> int:
        first = int(np.searchsorted(kept.times, event.times[0], side="left"))
        stop = int(np.searchsorted(kept.times, event.times[0], side="right"))
        for row in range(first, stop):
            same_text = kept.texts is None or event.texts is None or kept.texts[row] == event.texts[0]
            if kept.numbers[row] == event.numbers[0] and same_text:
                return row
        return first

    def _remove(self, kept: Events, rows: list[int]) -> None:
        left = np.ones(len(kept), dtype=bool)
        left[rows] = False
        self._sorted = kept.take(left)
        self._last = int(self._sorted.times[-1]) if len(self._sorted) else -(2**63)

    def _merged(self) -> Events:
        if self._pending:
            self._sorted = joined_events([self._sorted, *self._pending])
            self._pending = []
        return self._sorted


class SignalHistory:
    """The values of a series of `common`, put on the archive's grid when they are read.

    A status becomes what PI shows: 192 to 255 good, 64 to 127 good and questionable, 24 good and substituted, any other
    a system state.
    """

    def __init__(self, series: Series, now: Clock, rounding: Rounding, *, single: bool) -> None:
        self._series = series
        self._now = now
        self._rounding = rounding
        self._single = single

    def count(self) -> int:
        return self._series.visible(self._now()).count()

    def locate(self, time_ns: int) -> int:
        source = self._series.visible(self._now())
        first, stop = source.locate(time_ns - _TICK_NS), source.locate(time_ns + _TICK_NS)
        if first == stop:  # no value so near that the grid could move it past this time
            return first
        times = archived(source.read(first, max(first, stop)).times, self._rounding)
        return first + int(np.searchsorted(times, clamped_time(time_ns), side="left"))

    def read(self, first: int, stop: int) -> Events:
        points = self._series.visible(self._now()).read(first, stop)
        return events_of_points(points, self._rounding, single=self._single)


def events_of_points(points: Points, rounding: Rounding, *, single: bool) -> Events:
    """Return points with OPC statuses as archived values, on the grid; `single` rounds values to float32."""
    numbers = points.values
    if single:
        with np.errstate(over="ignore"):
            numbers = numbers.astype(np.float32).astype(np.float64)
    quality = points.statuses & np.uint32(0xC0)
    marks = np.full(len(points), STATE, np.uint8)
    marks[quality == 0xC0] = GOOD
    marks[quality == 0x40] = GOOD | QUESTIONABLE
    marks[points.statuses == 24] = GOOD | SUBSTITUTED
    states = np.flatnonzero(marks == STATE)
    if len(states):
        numbers = numbers.copy()
        names = {0: "Bad Input", 8: "I/O Timeout", 28: "Shutdown", 60: "Shutdown"}
        codes = [STATE_CODES[names.get(int(status), "Bad").casefold()] for status in points.statuses[states]]
        numbers[states] = codes
    return Events(archived(points.times, rounding), numbers, marks)


def _each_time_once(events: Events) -> list[Events]:
    """Return the values in parts that have each time at most once, the first value of every time in the first part."""
    if len(np.unique(events.times)) == len(events):
        return [events] if len(events) else []
    seen: dict[int, int] = {}
    turns = np.zeros(len(events), np.int64)
    for row, time_ns in enumerate(events.times.tolist()):
        turns[row] = seen.get(time_ns, 0)
        seen[time_ns] = int(turns[row]) + 1
    return [events.take(turns == turn) for turn in range(int(turns.max()) + 1)]
