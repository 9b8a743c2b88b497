"""What a refresh reads again: the trailing interval and little else, whatever came late, changed, vanished or was killed.

The model is that of `test_model`; here the windows move on, are planned with one refresh and read again with another, and a
second run in a row says how much is read again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import Window
from omnia_beam.plan.trailing import cut_wanted, stored_parts
from tests.pipelines.hand_run import HOUR, Ask, Cell, HandRun, Held, at

SERIES = ("a", "b", "c")
FIRST, LAST = 700, 800  # the month ends at 744: windows have files in two months


def hand_run() -> HandRun:
    silent = Console(file=io.StringIO())
    return HandRun(RunContext(pipeline_options(None, []), silent, silent))


@pytest.fixture
def hand() -> Iterator[HandRun]:
    made = hand_run()
    made.source = {(series, hour): (float(hour), 192) for series in SERIES for hour in range(FIRST, LAST)}
    yield made
    made.close()


def ask(end: int = LAST, **keys: Any) -> Ask:
    return Ask(SERIES, FIRST, end, **{"chunk": 10_000, **keys})


def hours_read(windows: list[Window]) -> list[tuple[int, int]]:
    """The hours of each window that was read, from and to; one that loses points is read twice, and counts once."""
    ranges = {each.key.range for each in windows}
    return sorted(((each.start_ns - at(0)) // HOUR, (each.end_ns - at(0)) // HOUR) for each in ranges)


def is_copied(hand: HandRun, end: int = LAST) -> bool:
    """Whether the destination holds exactly the source's points of the window, each once."""
    found = hand.stored()
    wanted = {cell: [held] for cell, held in hand.source.items() if FIRST <= cell[1] < end}
    return {cell: held for cell, held in found.items() if cell[1] < end} == wanted


def test_a_window_that_is_copied_with_a_refresh_is_read_again_from_there_on(hand: HandRun) -> None:
    assert hand.run(ask(refresh=6))
    assert hours_read(hand.read) == [(FIRST, LAST - 6), (LAST - 6, LAST)]
    for _ in range(2):
        hand.source[("a", LAST - 1)] = (0.5, 0)
        del hand.source[("b", LAST - 2)]
        assert hand.run(ask(refresh=6))
        assert hours_read(hand.read) == [(LAST - 6, LAST)]
        assert is_copied(hand)
        hand.source[("b", LAST - 2)] = (1.5, 192)


def test_a_copy_in_large_windows_is_read_again_as_a_whole_once(hand: HandRun) -> None:
    """As an earlier release, or a job without a refresh, has left it."""
    assert hand.run(ask())
    assert hours_read(hand.read) == [(FIRST, LAST)]
    hand.source[("a", LAST - 1)] = (0.5, 0)
    assert hand.run(ask(refresh=6))
    assert hours_read(hand.read) == [(FIRST, LAST)]
    assert is_copied(hand)
    for _ in range(2):
        hand.source[("c", LAST - 3)] = (hand.source[("c", LAST - 3)][0] + 1, 192)
        assert hand.run(ask(refresh=6))
        assert hours_read(hand.read) == [(LAST - 6, LAST)]
        assert is_copied(hand)


def test_runs_one_after_the_other_leave_a_file_a_run_and_read_at_most_two_refreshes(hand: HandRun) -> None:
    assert hand.run(ask(FIRST + 60, refresh=12))
    files = len(list((hand.root / "out").rglob("*.parquet")))
    for nth, end in enumerate(range(FIRST + 63, LAST + 1, 3), 1):
        assert hand.run(ask(end, refresh=12))
        again = [each for each in hours_read(hand.read) if each[0] < end - 3]
        assert all(start >= end - 24 for start, _ in again)
        assert sum(b - a for a, b in again) <= 24
        assert is_copied(hand, end)
        assert len(list((hand.root / "out").rglob("*.parquet"))) <= files + nth + 1  # one more where the month ends


@pytest.mark.long
@pytest.mark.parametrize("vanished", ["keep", "follow"])
def test_a_kill_at_any_step_while_a_large_window_is_cut(hand: HandRun, vanished: str) -> None:
    """Whatever the moment, the next run completes it, each point once, and the one after reads the interval alone."""
    everything = dict(hand.source)
    for step in range(0, 400, 7):
        hand.clear()
        hand.source = dict(everything)
        assert hand.run(ask(vanished=vanished))
        hand.source[("a", LAST - 1)] = (0.5, 0)
        hand.source.pop(("b", LAST - 2))
        was_killed = hand.run(ask(refresh=6, die_at=step, vanished=vanished)) is None
        assert hand.run(ask(refresh=6, vanished=vanished))
        assert is_copied(hand), step
        assert hand.run(ask(refresh=6, vanished=vanished))
        assert hours_read(hand.read) == [(LAST - 6, LAST)], step
        if not was_killed:
            return
    raise AssertionError("no step was late enough")


def test_points_of_a_series_that_vanishes_are_kept_once_whatever_was_killed(hand: HandRun) -> None:
    """The window's own file and those of its parts stand side by side: what is kept is in both."""
    everything = dict(hand.source)
    for step in range(0, 400, 11):
        hand.clear()
        hand.source = dict(everything)
        assert hand.run(ask(vanished="keep"))
        was_killed = hand.run(ask(refresh=6, die_at=step, vanished="keep")) is None
        for hour in range(FIRST, LAST):
            del hand.source[("c", hour)]
        hand.run(ask(refresh=100, vanished="keep"))
        done = hand.run(ask(refresh=100, vanished="keep"))
        assert done is not None
        assert (done.status, done.points_kept) == ("complete", LAST - FIRST), step
        assert hand.stored() == {cell: [held] for cell, held in everything.items()}, step
        if not was_killed:
            return
    raise AssertionError("no step was late enough")


def test_more_than_may_go_is_withheld_and_what_may_go_goes(hand: HandRun) -> None:
    assert hand.run(ask())
    for hour in range(LAST - 5, LAST):
        del hand.source[("a", hour)]
    for _ in range(2):
        refused = hand.run(ask(refresh=6, max_removed="4"))
        assert refused is not None
        assert (refused.status, refused.points_removed) == ("incomplete", 0)
        assert len(hand.stored()) == 3 * (LAST - FIRST)
    done = hand.run(ask(refresh=6, max_removed="5"))
    assert done is not None
    assert (done.status, done.points_removed) == ("complete", 5)
    assert is_copied(hand)
    assert hand.run(ask(refresh=6))
    assert hours_read(hand.read) == [(LAST - 6, LAST)]


times = st.integers(0, 60)
ranges = st.tuples(times, times).map(lambda pair: TimeRange(min(pair), max(pair)))


@given(ranges, ranges.filter(bool))
def test_parts_join_to_the_window_and_no_part_reaches_far_before_the_interval(
    window: TimeRange, last: TimeRange
) -> None:
    parts = stored_parts(window, last) if window else []
    assert [t for part in parts for t in range(part.start_ns, part.end_ns)] == list(
        range(window.start_ns, window.end_ns)
    )
    for part in parts:
        reaches_in = part.start_ns < last.start_ns < part.end_ns
        assert not reaches_in or last.start_ns - part.start_ns < last.duration_ns
    planned = [part for _, part in cut_wanted([(("a",), window)], last)]
    assert [t for part in planned for t in range(part.start_ns, part.end_ns)] == list(
        range(window.start_ns, window.end_ns)
    )
    assert not any(part.start_ns < last.start_ns < part.end_ns for part in planned)


EARLY, LATE = 734, 766  # of the machine: a run takes a dozen durable steps a window
hours = st.integers(EARLY, LATE - 1)
held = st.tuples(st.integers(0, 99).map(float), st.sampled_from([192, 0]))
refreshes = st.sampled_from([0, 2, 5, 9, 150])
chunks = st.sampled_from([4, 15, 10_000])


class RefreshMachine(RuleBasedStateMachine):
    """One job whose window moves on, with a source that changes anywhere."""

    @initialize(points=st.dictionaries(st.tuples(st.sampled_from(SERIES), hours), held, max_size=60))
    def begin(self, points: dict[Cell, Held]) -> None:
        self.hand = hand_run()
        self.hand.source = dict(points)
        self.end = EARLY + 14
        # What the source has shown of a cell since the last complete run, and what the destination has held since then.
        self.shown: dict[Cell, set[Held | None]] = {}
        self._look()

    def teardown(self) -> None:
        if hasattr(self, "hand"):
            self.hand.close()

    @rule(series=st.sampled_from(SERIES), hour=hours, content=held | st.none(), length=st.integers(1, 8))
    def change(self, series: str, hour: int, content: Held | None, length: int) -> None:
        """Points come late, change or vanish: anywhere."""
        for cell in [(series, each) for each in range(hour, min(hour + length, LATE))]:
            if content is None:
                self.hand.source.pop(cell, None)
            else:
                self.hand.source[cell] = content
            self.shown[cell].add(content)

    @rule(back=st.integers(0, 6), content=held)
    def come_late(self, back: int, content: Held) -> None:
        """A point near the end of the window."""
        cell = ("a", self.end - 1 - back)
        self.hand.source[cell] = content
        self.shown[cell].add(content)

    @rule(hours=st.integers(1, 15))
    def time_passes(self, hours: int) -> None:
        self.end = min(LATE, self.end + hours)

    @rule(
        refresh=refreshes, chunk=chunks, die_at=st.none() | st.integers(0, 90), stop_after=st.none() | st.integers(0, 3)
    )
    def run(self, refresh: int, chunk: int, die_at: int | None, stop_after: int | None) -> None:
        self._run(Ask(SERIES, EARLY, self.end, refresh=refresh, chunk=chunk, die_at=die_at, stop_after=stop_after))

    @rule(refresh=refreshes.filter(bool), chunk=chunks)
    def run_twice(self, refresh: int, chunk: int) -> None:
        asked = Ask(SERIES, EARLY, self.end, refresh=refresh, chunk=chunk)
        assert self._run(asked) == "complete"
        assert self._run(asked) == "complete"
        first = max(EARLY, self.end - refresh)
        for start, end in hours_read(self.hand.read):
            assert end > first
            assert first - start < refresh

    def _run(self, asked: Ask) -> str:
        summary = self.hand.run(asked)
        if summary is None or summary.status != "complete":
            return "killed" if summary is None else summary.status
        stored = self.hand.stored()
        assert not self.hand.temporaries()
        for cell in [(series, hour) for series in SERIES for hour in range(EARLY, LATE)]:
            found = stored.get(cell, [])
            assert len(found) <= 1, f"{cell} is there {len(found)} times"
            content = found[0] if found else None
            if cell[1] >= asked.end:
                continue
            now = self.hand.source.get(cell)
            allowed = {now} if cell[1] >= asked.end - asked.refresh else self.shown[cell]
            assert content in allowed, f"{cell} holds {content}, the source {now}, allowed {allowed}"
            self.shown[cell] = {content, now}
        return summary.status

    def _look(self) -> None:
        cells = [(series, hour) for series in SERIES for hour in range(EARLY, LATE)]
        self.shown = {cell: {self.hand.source.get(cell)} for cell in cells}


TestRefreshMachine = RefreshMachine.TestCase
TestRefreshMachine.settings = settings(max_examples=8, stateful_step_count=10, deadline=None)
