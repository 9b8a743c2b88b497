"""Which windows a tail reads: every point in one window, whatever is joined, and nothing read twice without need."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.queries import RecentWindow
from omnia_beam.pipelines.tail.windows import (
    DAY_NS,
    HOUR_NS,
    complete_to,
    day_start,
    fresh_windows,
    renewal_cell,
    stable_groups,
    unsettled,
    windows_again,
)

DAY = 1_704_067_200 * 10**9  # 2024-01-01
MINUTE = HOUR_NS // 60


def window(
    start: int, end: int, *, count: int = 1, read: int | None = None, ids: tuple[str, ...] = ("a",)
) -> RecentWindow:
    key = ChunkKey(ids, TimeRange(DAY + start, DAY + end))
    return RecentWindow(key, count, DAY + (end if read is None else read))


def again(
    windows: list[RecentWindow],
    now: int,
    *,
    settle: int = 0,
    cell: int = HOUR_NS,
    limit: int = 10**6,
    renew: bool = False,
) -> list[tuple[int, int]]:
    found = windows_again(
        windows, DAY + now, DAY + now, settle_ns=settle, cell_ns=cell, chunk_points=limit, renew=renew
    )
    return sorted((key.range.start_ns - DAY, key.range.end_ns - DAY) for key in found)


def test_an_hour_that_is_over_becomes_one_window() -> None:
    windows = [window(m * MINUTE, (m + 1) * MINUTE) for m in range(90)]
    assert again(windows, 90 * MINUTE) == [(0, HOUR_NS)]
    assert again(windows[:59], 59 * MINUTE) == []


def test_a_day_that_is_over_becomes_one_window_once_it_has_settled() -> None:
    hours = [window(h * HOUR_NS, (h + 1) * HOUR_NS) for h in range(24)]
    assert again(hours, DAY_NS) == [(0, DAY_NS)]
    assert again(hours, DAY_NS, settle=HOUR_NS) == []
    assert again(hours, DAY_NS + HOUR_NS, settle=HOUR_NS) == [(0, DAY_NS)]
    assert again([window(0, DAY_NS)], 10 * DAY_NS) == []


def test_a_month_that_is_over_becomes_one_window() -> None:
    days = [window(d * DAY_NS, (d + 1) * DAY_NS) for d in range(33)]
    assert again(days, 33 * DAY_NS) == [(0, 31 * DAY_NS)]


def test_what_had_not_settled_is_read_again_until_it_has() -> None:
    early, settled = window(0, HOUR_NS, read=HOUR_NS + 5), window(HOUR_NS, 2 * HOUR_NS, read=9 * HOUR_NS)
    assert again([early, settled], 10 * HOUR_NS, settle=3 * HOUR_NS, renew=True) == [(0, HOUR_NS)]
    assert again([early, settled], 10 * HOUR_NS, settle=3 * HOUR_NS, renew=False) == []
    assert again([settled], 10 * HOUR_NS, settle=3 * HOUR_NS, renew=True) == []


def test_what_has_not_settled_is_joined_within_cells_so_that_it_settles_part_by_part() -> None:
    minutes = [window(m * MINUTE, (m + 1) * MINUTE) for m in range(12)]
    cells = [(0, 5 * MINUTE), (5 * MINUTE, 10 * MINUTE), (10 * MINUTE, 12 * MINUTE)]
    assert again(minutes, 12 * MINUTE, settle=HOUR_NS, cell=5 * MINUTE, renew=True) == cells
    parts = [window(a, b) for a, b in cells]
    assert again(parts, 13 * MINUTE, settle=HOUR_NS, cell=5 * MINUTE, renew=True) == cells
    hour = [window(m * MINUTE, (m + 5) * MINUTE, read=3 * HOUR_NS) for m in range(0, 60, 5)]
    assert again(hour, 119 * MINUTE, settle=HOUR_NS, cell=5 * MINUTE) == []
    assert again(hour, 2 * HOUR_NS, settle=HOUR_NS, cell=5 * MINUTE) == [(0, HOUR_NS)]


@pytest.mark.parametrize(
    ("every", "cell"), [(1, 1), (7, 5), (60, 60), (90, 60), (180, 180), (24 * 60, 24 * 60), (99 * 24 * 60, 24 * 60)]
)
def test_a_cell_is_no_longer_than_the_time_between_two_readings(every: int, cell: int) -> None:
    assert renewal_cell(every * MINUTE) == cell * MINUTE
    assert HOUR_NS % renewal_cell(every * MINUTE) == 0 or DAY_NS % renewal_cell(every * MINUTE) == 0
    assert renewal_cell(0) == MINUTE


def test_what_a_dead_run_left_across_each_other_is_read_as_one() -> None:
    part, old = window(0, 10), RecentWindow(window(5, 20).key, 1, 0, is_whole=False)
    assert again([part, old, window(20, 30)], 40) == [(0, 20)]


def test_a_chunk_holds_no_more_than_it_may() -> None:
    windows = [window(m * MINUTE, (m + 1) * MINUTE, count=40) for m in range(60)]
    joined = again(windows, HOUR_NS, limit=100)
    assert joined == [(m * MINUTE, (m + 2) * MINUTE) for m in range(0, 60, 2)]


cuts = st.sets(st.integers(1, 80 * 24 * 4), max_size=60).map(lambda found: [0, *sorted(found)])


@given(
    cuts,
    st.sets(st.integers(0, 60)),
    st.integers(0, 90),
    st.sampled_from([0, HOUR_NS, 3 * DAY_NS]),
    st.sampled_from([15 * MINUTE, HOUR_NS, 6 * HOUR_NS]),
    st.integers(1, 50),
    st.booleans(),
    st.data(),
)
def test_windows_again_are_whole_windows_and_each_once(
    at: list[int], gaps: set[int], now: int, settle: int, cell: int, limit: int, renew: bool, data: st.DataObject
) -> None:
    quarters = [each * HOUR_NS // 4 for each in at]
    windows = [
        window(a, b, count=data.draw(st.integers(0, 9)), read=b + data.draw(st.sampled_from([0, HOUR_NS, 4 * DAY_NS])))
        for nth, (a, b) in enumerate(itertools.pairwise(quarters))
        if nth not in gaps
    ]
    found = windows_again(
        windows,
        DAY + now * DAY_NS,
        DAY + now * DAY_NS,
        settle_ns=settle,
        cell_ns=cell,
        chunk_points=limit,
        renew=renew,
    )
    ranges = sorted(key.range for key in found)
    assert all(a.end_ns <= b.start_ns for a, b in itertools.pairwise(ranges))
    replaced = 0
    for key, count in found.items():
        inside = [each for each in windows if key.range.covers(each.key.range)]
        assert TimeRangeSet(each.key.range for each in inside) == TimeRangeSet([key.range])
        assert sum(each.count for each in inside) == count
        assert len(inside) == 1 or count <= limit
        replaced += len(inside)
    assert replaced == sum(any(key.range.overlaps(each.key.range) for key in found) for each in windows)
    if renew:
        assert all(
            any(key.range.covers(each.key.range) for key in found) for each in windows if unsettled(each, settle)
        )


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcdef"), min_size=1), st.integers(0, 50), st.integers(1, 50))),
    st.data(),
)
def test_fresh_windows_cover_what_is_missing_each_instant_once(
    given_holes: list[tuple[set[str], int, int]], data: st.DataObject
) -> None:
    holes: dict[str, TimeRangeSet] = {}
    for ids, start, length in given_holes:
        part = TimeRange(DAY + start * HOUR_NS, DAY + (start + length) * HOUR_NS)
        for series_id in ids:
            holes[series_id] = holes.get(series_id, TimeRangeSet()).union([part])
    missing = [((series_id,), part) for series_id, ranges in holes.items() for part in ranges]
    order = data.draw(st.permutations("abcdef"))
    size = data.draw(st.integers(1, 6))
    groups = [tuple(sorted(order[at : at + size])) for at in range(0, 6, size)]
    covered: dict[str, list[TimeRange]] = {}
    for each in fresh_windows(missing, groups):
        assert each.key.range.end_ns <= day_start(each.key.range.start_ns) + DAY_NS
        assert any(set(each.key.series_ids) <= set(group) for group in groups)
        for series_id in each.key.series_ids:
            covered.setdefault(series_id, []).append(each.key.range)
    assert {series_id: TimeRangeSet(ranges) for series_id, ranges in covered.items()} == holes
    for series_id, ranges in covered.items():
        assert sum(each.duration_ns for each in ranges) == holes[series_id].duration_ns


def test_groups_stay_as_they_were_and_new_series_make_new_ones() -> None:
    old = [window(0, 10, ids=("a", "c")), window(0, 20, ids=("b", "c")), window(0, 5, ids=("gone", "z"))]
    assert stable_groups(["a", "b", "c", "d", "z"], old) == [("b", "c"), ("a", "d", "z")]
    many = [f"{n:03}" for n in range(250)]
    assert [len(group) for group in stable_groups(many, [])] == [100, 100, 50]


def test_a_copy_is_complete_up_to_its_first_hole() -> None:
    holes = [(("a",), TimeRangeSet([TimeRange(5, 7)])), (("b",), TimeRangeSet([TimeRange(3, 4), TimeRange(8, 9)]))]
    assert complete_to(holes, 10) == 3
    assert complete_to([], 10) == 10
