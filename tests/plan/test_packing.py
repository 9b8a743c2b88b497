"""Packing: every instant of every series once, within both limits, and full requests, by calculation alone."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.limits import MAX_CHUNK_POINTS, MAX_POINTS_PER_RESPONSE, MAX_SERIES_PER_REQUEST
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND
from omnia_beam.plan.packing import PackedWindow, PackLimits, month_starts, pack_windows

DAY = 86_400 * NS_PER_SECOND
YEAR = 365 * DAY
EVERYTHING = TimeRange(MIN_TIME_NS, MAX_TIME_NS)

Counts = dict[str, int]


@st.composite
def ranges(draw: st.DrawFn) -> TimeRange:
    """From one nanosecond to centuries, before and after 1970, up to the bounds of int64, cut anywhere or on midnights."""
    start = draw(st.integers(MIN_TIME_NS, MAX_TIME_NS) | st.integers(-60 * YEAR, 60 * YEAR))
    unit = draw(st.sampled_from([1, NS_PER_SECOND, DAY, 30 * DAY, YEAR]))
    if draw(st.booleans()):
        start = max(start // DAY * DAY, MIN_TIME_NS)
    end = min(start + unit * draw(st.integers(0, 40)), MAX_TIME_NS)
    return TimeRange(start, end)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Counts, TimeRange, PackLimits]:
    """Counts of any spread, with a chunk limit that keeps the number of windows in the hundreds."""
    size = st.sampled_from([0, 1, 10, 1_000, 100_000, 10_000_000])
    counts = draw(
        st.dictionaries(
            st.text("0123456789abcdef-", min_size=1, max_size=6),
            size.flatmap(lambda top: st.integers(0, top)),
            max_size=40,
        )
    )
    least = max(1, sum(counts.values()) // 150)
    limits = PackLimits(
        series=draw(st.integers(1, 100)),
        page_points=draw(st.integers(1, MAX_POINTS_PER_RESPONSE)),
        chunk_points=draw(st.integers(least, max(least, 2 * MAX_CHUNK_POINTS))),
    )
    return counts, draw(ranges()), limits


def packed(counts: Counts, wanted: TimeRange, limits: PackLimits = PackLimits()) -> list[PackedWindow]:
    return list(pack_windows(counts.items(), wanted, limits))


def month_of(ns: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(ns // NS_PER_SECOND, UTC)
    return moment.year, moment.month


@given(cases())
def test_covers_every_instant_of_every_series_once(case: tuple[Counts, TimeRange, PackLimits]) -> None:
    counts, wanted, limits = case
    by_series: dict[str, list[TimeRange]] = defaultdict(list)
    for window in packed(counts, wanted, limits):
        for series_id in window.series_ids:
            by_series[series_id].append(window.range)
    assert set(by_series) == (set(counts) if wanted else set())
    for parts in by_series.values():
        assert parts == sorted(parts)
        assert all(parts)
        assert (parts[0].start_ns, parts[-1].end_ns) == (wanted.start_ns, wanted.end_ns)
        assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(parts))


@given(cases())
def test_keeps_the_limits(case: tuple[Counts, TimeRange, PackLimits]) -> None:
    counts, wanted, limits = case
    for window in packed(counts, wanted, limits):
        assert 1 <= len(window.series_ids) <= limits.series
        assert list(window.series_ids) == sorted(set(window.series_ids))
        assert window.requests >= 1
        in_group = sum(counts[series_id] for series_id in window.series_ids)
        a_nanosecond = in_group / wanted.duration_ns
        # Windows are whole nanoseconds, so what is denser than that cannot be cut as wished.
        assert window.expected_points <= limits.chunk_points + a_nanosecond
        assert window.expected_points <= window.requests * limits.page_points
        assert window.window().key.series_ids == window.series_ids


@given(cases())
def test_expects_what_was_counted(case: tuple[Counts, TimeRange, PackLimits]) -> None:
    counts, wanted, limits = case
    expected: Counts = defaultdict(int)
    windows: Counts = defaultdict(int)
    for window in packed(counts, wanted, limits):
        expected[window.series_ids[0]] += window.expected_points
        windows[window.series_ids[0]] += 1
        group = window.series_ids
        exact = sum(counts[each] for each in group) * window.range.duration_ns / wanted.duration_ns
        assert abs(window.expected_points - exact) <= 0.5 + 1e-9 * exact
    if wanted:
        assert abs(sum(expected.values()) - sum(counts.values())) <= 0.5 * sum(windows.values()) + 1


@given(cases())
def test_dense_windows_stay_inside_a_month(case: tuple[Counts, TimeRange, PackLimits]) -> None:
    counts, wanted, limits = case
    for window in packed(counts, wanted, limits):
        in_group = sum(counts[series_id] for series_id in window.series_ids)
        months = max(1.0, wanted.duration_ns / (365.25 / 12 * DAY))
        if in_group / months >= limits.chunk_points:
            assert month_of(window.range.start_ns) == month_of(window.range.end_ns - 1)


@given(cases(), st.randoms(use_true_random=False))
def test_is_a_function_of_the_counts_alone(case: tuple[Counts, TimeRange, PackLimits], shuffler: random.Random) -> None:
    counts, wanted, limits = case
    again = list(counts.items())
    shuffler.shuffle(again)
    assert list(pack_windows(iter(again), wanted, limits)) == packed(counts, wanted, limits)


@given(ranges())
def test_month_starts_are_the_first_instants_of_months(wanted: TimeRange) -> None:
    def is_first(ns: int) -> bool:
        moment = datetime.fromtimestamp(ns // NS_PER_SECOND, UTC)
        return ns % NS_PER_SECOND == 0 and (moment.day, moment.hour, moment.minute, moment.second) == (1, 0, 0, 0)

    starts = month_starts(wanted)
    assert all(is_first(start) and start in wanted for start in starts)
    assert starts == sorted(set(starts))
    if wanted:
        cut = wanted.split_at(starts)
        months = [month_of(part.start_ns) for part in cut]
        assert months == [month_of(part.end_ns - 1) for part in cut]
        assert len(set(months)) == len(months)


def test_month_starts_before_1970() -> None:
    wanted = TimeRange.parse("1969-10-31T23:59:59Z", "1970-01-01T00:00:00.000000001Z")
    assert month_starts(wanted) == [
        TimeRange.parse(f"{month}-01", "2000-01-01").start_ns for month in ("1969-11", "1969-12", "1970-01")
    ]


@pytest.mark.parametrize("counts", [{}, {"a": 0}, {"a": 5, "b": 10**9}])
def test_an_empty_range_gives_no_windows(counts: Counts) -> None:
    assert packed(counts, TimeRange(7, 7)) == []


def test_series_without_points_are_read_all_the_same() -> None:
    # The claim "nothing here" needs a request too: points may have arrived since the probe.
    counts = {f"{i:03}": 0 for i in range(250)}
    windows = packed(counts, TimeRange(0, 10 * YEAR))
    assert [len(window.series_ids) for window in windows] == [100, 100, 50]
    assert {(w.range, w.expected_points, w.requests) for w in windows} == {(TimeRange(0, 10 * YEAR), 0, 1)}


def test_all_of_time() -> None:
    dense = packed({"dense": 10**9, "sparse": 3}, EVERYTHING)
    assert (dense[0].range.start_ns, dense[-1].range.end_ns) == (MIN_TIME_NS, MAX_TIME_NS)
    assert max(w.expected_points for w in dense) <= MAX_CHUNK_POINTS
    assert packed({"sparse": 3}, EVERYTHING) == [PackedWindow(("sparse",), EVERYTHING, 3, 1)]


def test_a_million_points_in_one_nanosecond_are_not_cut_further() -> None:
    assert packed({"a": 10**6}, TimeRange(5, 6)) == [PackedWindow(("a",), TimeRange(5, 6), 10**6, 11)]


def test_neighbours_in_density_go_together() -> None:
    month = TimeRange.parse("2024-01-01", "2024-02-01")
    counts = {f"dense-{i}": 31 * 86_400 for i in range(3)} | {f"hourly-{i}": 31 * 24 for i in range(30)}
    groups = {window.series_ids for window in packed(counts, month)}
    assert all(len({series_id.partition("-")[0] for series_id in group}) == 1 for group in groups)


def test_of_groups_of_many_requests_the_larger_one_is_taken() -> None:
    """Eleven dense series fill eleven requests to 98.98 %, twelve fill twelve to 98.38 %: that is as good, and one window less."""
    limits = PackLimits(page_points=1_000, chunk_points=12_000)
    counts = {f"a{i:02}": 970 for i in range(11)} | {f"b{i}": 900 for i in range(2)}
    first, second = packed(counts, TimeRange(0, 10**9), limits)
    assert (len(first.series_ids), first.requests) == (12, 12)
    assert second.series_ids == ("b1",)


def test_of_groups_of_few_requests_the_fullest_is_taken() -> None:
    limits = PackLimits(page_points=1_000, chunk_points=3_000)
    counts = {f"a{i}": 490 for i in range(8)}
    assert [len(window.series_ids) for window in packed(counts, TimeRange(0, 10**9), limits)] == [6, 2]
    counts = {"a": 980, "b": 980, "c": 490, "d": 490, "e": 490}
    limits = PackLimits(page_points=1_000, chunk_points=2_900)
    assert [len(window.series_ids) for window in packed(counts, TimeRange(0, 10**9), limits)] == [2, 3]


CATALOGUES: dict[str, dict[int, int]] = {  # seconds between points -> series
    "mixed": {1: 20, 60: 300, 3_600: 2_000},
    "mostly dense": {1: 50, 60: 10, 3_600: 100},
    "mostly sparse": {1: 2, 60: 500, 3_600: 10_000},
    "ten a second": {0: 5, 1: 20, 60: 100, 3_600: 1_000},
}


@pytest.mark.parametrize(
    "period", [("2024-01-01", "2024-02-01"), ("2023-01-01", "2024-01-01"), ("2023-02-11", "2024-08-17")]
)
@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_requests_of_a_mixed_catalogue_are_full(catalogue: str, period: tuple[str, str]) -> None:
    wanted = TimeRange.parse(*period)
    seconds = wanted.duration_ns // NS_PER_SECOND
    counts = {
        f"{step}-{i}": seconds * 10 if step == 0 else seconds // step
        for step, series in CATALOGUES[catalogue].items()
        for i in range(series)
    }
    windows = packed(counts, wanted)
    fill = sum(w.expected_points for w in windows) / (sum(w.requests for w in windows) * MAX_POINTS_PER_RESPONSE)
    assert fill > 0.8
    assert all(len(w.series_ids) <= MAX_SERIES_PER_REQUEST for w in windows)
