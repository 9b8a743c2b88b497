"""Windows that follow the density of the points: they cover all, once, and hold no more than a chunk where counts can tell."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.postgresql.density import Density, dense_windows, edges_of
from omnia_beam.plan.packing import PackedWindow, PackLimits
from tests.io.postgresql.conftest import T0

MINUTE = 60 * 10**9
DAY = 1_440 * MINUTE
Times = dict[str, list[int]]


def counted(times: Times, series_ids: Sequence[str], edges: Sequence[int]) -> Density:
    counts = [
        [bisect_left(times[each], b) - bisect_left(times[each], a) for a, b in pairwise(edges)] for each in series_ids
    ]
    return Density(tuple(series_ids), tuple(edges), np.array(counts, np.int64).reshape(len(series_ids), -1))


def windows(times: Times, span: TimeRange, most: int) -> list[PackedWindow]:
    def count(series_ids: Sequence[str], edges: Sequence[int]) -> Density:
        return counted(times, series_ids, edges)

    limits = PackLimits(series=1_000, page_points=most, chunk_points=most)
    return list(dense_windows(count(sorted(times), edges_of(span, len(times))), limits, count))


def points_in(times: Times, window: PackedWindow) -> int:
    first, past = window.range.start_ns, window.range.end_ns
    return sum(bisect_left(times[each], past) - bisect_left(times[each], first) for each in window.series_ids)


bursts = st.lists(
    st.tuples(st.integers(0, 400 * DAY), st.sampled_from([0, 1, MINUTE // 7, 3 * MINUTE]), st.integers(1, 60)),
    max_size=5,
)


@example(found={"a": [(0, 0, 60)], "b": []}, length=400 * DAY, most=3)
@given(
    found=st.dictionaries(st.sampled_from("abcde"), bursts, min_size=1),
    length=st.integers(1, 400 * DAY),
    most=st.integers(1, 50),
)
def test_windows_cover_every_instant_of_every_series_once(
    found: dict[str, list[tuple[int, int, int]]], length: int, most: int
) -> None:
    span = TimeRange(T0, T0 + length)
    times = {
        name: sorted(t for at, step, n in each for i in range(n) if (t := T0 + at + i * step) < span.end_ns)
        for name, each in found.items()
    }
    planned = windows(times, span, most)
    for name in times:
        ranges = sorted(each.range for each in planned if name in each.series_ids)
        assert (ranges[0].start_ns, ranges[-1].end_ns) == (span.start_ns, span.end_ns)
        assert all(a.end_ns == b.start_ns for a, b in pairwise(ranges))
        assert all(ranges)
    assert sum(points_in(times, each) for each in planned) == sum(map(len, times.values()))
    assert all(each.expected_points <= most for each in planned)
    assert planned == windows(times, span, most)


@pytest.mark.parametrize("years", [1, 25])
def test_points_of_a_few_days_in_a_long_range_are_cut_where_they_are(years: int) -> None:
    span = TimeRange(T0, T0 + years * 365 * DAY)
    times = {name: [T0 + 100 * DAY + i * MINUTE for i in range(14_400)] for name in "abcd"}
    planned = windows(times, span, 1_000)
    full = [each for each in planned if points_in(times, each)]
    overfull = [each for each in full if points_in(times, each) > 1_000]
    assert len(overfull) <= 4, "of each series at most one, where its points begin or end within a part of the range"
    assert len(full) <= 90, "57,600 points, in parts of some 340"
    assert abs(sum(each.expected_points for each in planned) - 57_600) <= len(planned)


def test_the_counts_that_are_held_at_a_time_are_bounded() -> None:
    span = TimeRange(T0, T0 + 365 * DAY)
    assert [len(edges_of(span, n)) - 1 for n in (1, 1_000, 10_000, 10**6)] == [256, 250, 25, 1]
    assert edges_of(TimeRange(5, 6), 1) == (5, 6)
