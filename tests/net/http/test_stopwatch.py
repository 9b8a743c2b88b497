from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.net.http.rate_limit import Stopwatch


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted), max_size=12))
def test_the_union_of_intervals(intervals: list[list[int]]) -> None:
    now = 0.0
    watch = Stopwatch(lambda: now)
    open_ones: dict[int, ExitStack] = {}
    covered = 0
    for tick in range(51):
        now = tick
        for n, (start, end) in enumerate(intervals):
            if start == tick:
                open_ones[n] = ExitStack()
                open_ones[n].enter_context(watch.running())
            if end == tick:
                open_ones.pop(n).close()
        assert watch.total_s == covered
        covered += any(start <= tick < end for start, end in intervals)
