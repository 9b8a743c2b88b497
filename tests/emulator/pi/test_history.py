"""The stored values against a plain list, and the grid of times, for any order of writes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.pi.archive import Attributes, Point
from omnia_beam.emulator.pi.events import GOOD, SUBSTITUTED, Events, events_of
from omnia_beam.emulator.pi.history import UPDATE_OPTIONS, SignalHistory, StoredHistory, UpdateOption
from omnia_beam.emulator.pi.interpolation import value_at
from omnia_beam.emulator.pi.reading import BOUNDARIES, Span, recorded_events
from omnia_beam.emulator.pi.settings import ROUNDINGS, Rounding
from omnia_beam.emulator.pi.times import TICKS_PER_SECOND, archived


@dataclass
class Oracle:
    """The same as `StoredHistory`, one value after the other in a list."""

    rows: list[tuple[int, float, int]] = field(default_factory=list)

    def write(self, time: int, number: float, option: UpdateOption) -> None:
        places = [place for place, row in enumerate(self.rows) if row[0] == time]
        after = next((place for place, row in enumerate(self.rows) if row[0] > time), len(self.rows))
        if option in ("Insert", "InsertNoCompression") or (option in ("Replace", "NoReplace") and not places):
            self.rows.insert(after, (time, number, GOOD))
        elif option in ("Replace", "ReplaceOnly") and places:
            self.rows[places[0]] = (time, number, GOOD | SUBSTITUTED)
        elif option == "Remove" and places:
            equal = [place for place in places if self.rows[place][1] == number]
            del self.rows[(equal or places)[0]]


def rows_of(events: Events) -> list[tuple[int, float, int]]:
    return list(zip(events.times.tolist(), events.numbers.tolist(), events.marks.tolist(), strict=True))


VALUES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2).map(float)), min_size=1, max_size=6)


@given(st.lists(st.tuples(st.sampled_from(UPDATE_OPTIONS), VALUES), max_size=8))
def test_any_writes_are_what_one_value_after_the_other_makes(
    writes: list[tuple[UpdateOption, list[tuple[int, float]]]],
) -> None:
    history, oracle = StoredHistory(), Oracle()
    for option, values in writes:
        history.write(events_of(values), option)
        for time, number in values:
            oracle.write(time, number, option)
        assert rows_of(history.read(0, history.count())) == oracle.rows
    for time in range(-1, 8):
        assert history.locate(time) == sum(row[0] < time for row in oracle.rows)


TIMES = st.integers(-(2**61), 2**61).map(lambda time: time - time % 100)


@given(st.lists(TIMES, min_size=1, max_size=20), st.sampled_from(ROUNDINGS))
def test_the_grid_keeps_order_moves_less_than_a_tick_and_stays(times: list[int], rounding: Rounding) -> None:
    given_times = np.array(sorted(times), dtype=np.int64)
    shown = archived(given_times, rounding)
    assert (np.diff(shown) >= 0).all()
    moved = shown - given_times
    assert (np.abs(moved) <= {"nearest": 7_700, "down": 15_300, "up": 15_300, "none": 0}[rounding]).all()
    assert (shown % 100 == 0).all()
    assert (archived(shown, rounding) == shown).all()
    if rounding != "none":
        within = shown % 1_000_000_000
        ticks = np.rint(within * TICKS_PER_SECOND / 1e9)
        assert (np.abs(ticks * 1e9 / TICKS_PER_SECOND - within) < 100).all()


@pytest.mark.parametrize(
    "spec", ["dense:series=2,days=1,step=7us,start=2024-01-01", "bursty:series=1,days=1", "late:series=1,days=1"]
)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_computed_history_locates_what_it_reads(spec: str, rounding: Rounding) -> None:
    store = load_store(synthetic=[spec], facility="EMU", seed=3)
    for series in store.listed():
        history = SignalHistory(series, store.now, rounding, single=True)
        some = history.read(1_000, 1_500)
        assert (some.numbers == some.numbers.astype(np.float32)).all()
        for row in range(0, 500, 17):
            time = int(some.times[row])
            first = 1_000 + int(np.searchsorted(some.times, time, side="left"))
            if first > 1_000:
                assert history.locate(time) == first
            assert history.locate(time + 1) >= 1_000 + row + 1


ENDS = st.integers(-1, 8)


@given(
    st.lists(st.integers(0, 6), max_size=8), ENDS, ENDS, st.booleans(), st.sampled_from(BOUNDARIES), st.integers(1, 10)
)
def test_recorded_values_are_those_of_a_plain_list(
    times: list[int], one: int, other: int, backwards: bool, boundary: str, count: int
) -> None:
    start, end = sorted((one, other))
    rows = [(time, float(number)) for number, time in enumerate(sorted(times))]
    point = Point(1, Attributes("P", "Float64"), StoredHistory(events_of(rows)))
    expected = [(time, number) for time, number in rows if start <= time <= end]
    first, last = start in times, end in times
    if boundary == "Outside":
        expected = [*[row for row in rows if row[0] < start and not first][-1:], *expected]
        expected += [row for row in rows if row[0] > end and not last][:1]
    if boundary == "Interpolated":
        ends = [value_at(point, start)] if not first else [], [value_at(point, end)] if not last and end > start else []
        before, after = ([(int(each.times[0]), float(each.numbers[0])) for each in side] for side in ends)
        expected = [*before, *expected, *after]
    if backwards:
        expected = expected[::-1]
    found = recorded_events(point, Span(start, end, backwards), boundary, count)
    assert list(zip(found.times.tolist(), found.numbers.tolist(), strict=True)) == expected[:count]
