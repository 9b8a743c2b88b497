"""The plan: windows go in and come out again, in the order that was asked for."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.plan.counting import inner
from omnia_beam.plan.packing import PackedWindow
from omnia_beam.plan.plan import Plan

times = st.integers(MIN_TIME_NS, MAX_TIME_NS) | st.sampled_from([MIN_TIME_NS, MAX_TIME_NS, -1, 0, 1])
ranges = st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: TimeRange(*sorted(pair)))
groups = st.sets(st.sampled_from("abcdef"), min_size=1).map(lambda ids: tuple(sorted(ids)))
packed_windows = st.builds(PackedWindow, groups, ranges, st.integers(0, 2**40), st.integers(1, 2**31 - 1))
plans = st.lists(packed_windows, max_size=30)


def key_of(window: Window) -> tuple[object, ...]:
    return window.key.series_ids, window.key.range, window.expected_points, window.requests


@given(plans, st.booleans())
def test_gives_back_every_window(packed: list[PackedWindow], newest_first: bool) -> None:
    plan = Plan.of(iter(packed), newest_first=newest_first)
    assert len(plan) == len(packed)
    assert sorted(plan, key=key_of) == sorted((each.window() for each in packed), key=key_of)
    assert [plan.window(i) for i in range(len(plan))] == list(plan)
    assert plan.expected_points == sum(each.expected_points for each in packed)
    assert plan.requests == sum(each.requests for each in packed)
    assert plan.series == len({series_id for each in packed for series_id in each.series_ids})


@given(plans)
def test_oldest_first(packed: list[PackedWindow]) -> None:
    starts = [window.key.range.start_ns for window in Plan.of(packed)]
    assert starts == sorted(starts)


@given(plans)
def test_newest_first(packed: list[PackedWindow]) -> None:
    ends = [window.key.range.end_ns for window in Plan.of(packed, newest_first=True)]
    assert ends == sorted(ends, reverse=True)


@given(plans)
def test_windows_of_one_time_keep_the_order_of_their_groups(packed: list[PackedWindow]) -> None:
    same_time = [PackedWindow(each.series_ids, TimeRange(0, 9), each.expected_points, each.requests) for each in packed]
    groups_seen = list(dict.fromkeys(each.series_ids for each in same_time))
    for newest_first in (False, True):
        in_plan = [window.key.series_ids for window in Plan.of(same_time, newest_first=newest_first)]
        assert list(dict.fromkeys(in_plan)) == groups_seen


@given(plans)
def test_of_windows_keeps_their_order(packed: list[PackedWindow]) -> None:
    windows = [each.window() for each in packed]
    assert list(Plan.of_windows(windows)) == windows


@given(plans, st.integers(1, 40))
def test_shards_hold_the_plan_in_order(packed: list[PackedWindow], windows_each: int) -> None:
    plan = Plan.of(packed)
    shards = list(plan.shards(windows_each))
    assert list(itertools.chain(*(shard.windows for shard in shards))) == list(plan)
    assert all(len(shard.windows) == windows_each for shard in shards[:-1])
    assert all(1 <= len(shard.windows) <= windows_each for shard in shards)


def test_survives_pickling() -> None:
    plan = Plan.of([PackedWindow(("a", "b"), TimeRange(0, 5), 7, 1)])
    assert list(pickle.loads(pickle.dumps(plan))) == [Window(ChunkKey(("a", "b"), TimeRange(0, 5)), 7, 1)]


@pytest.mark.parametrize("windows_each", [0, -1])
def test_a_shard_holds_at_least_one_window(windows_each: int) -> None:
    plan = Plan.of([PackedWindow(("a",), TimeRange(0, 5), 7, 1)])
    with pytest.raises(ValueError, match="at least one"):
        list(plan.shards(windows_each))


def test_a_window_costs_tens_of_bytes() -> None:
    ids = tuple(f"{i:036}" for i in range(100))
    plan = Plan.of(PackedWindow(ids, TimeRange(i, i + 1), 7, 1) for i in range(10_000))
    assert plan.rows.nbytes <= 10_000 * 40
    assert len(plan.groups) == 1


@given(plans, st.integers(1, 5))
def test_shares_hold_every_window_once_each_in_the_order_of_the_whole(packed: list[PackedWindow], parts: int) -> None:
    plan = Plan.of(packed)
    shares = plan.divided(parts)
    assert len(shares) <= parts
    assert all(len(share) for share in shares)
    assert sorted((w for share in shares for w in share), key=key_of) == sorted(plan, key=key_of)
    for share in shares:
        windows = iter(plan)
        assert all(window in windows for window in share)  # each after the one before
        assert set(share.groups) == {window.key.series_ids for window in share}


def test_shares_of_a_steady_plan_are_of_a_size() -> None:
    plan = Plan.of(PackedWindow(("a",), TimeRange(i, i + 1), 100_000, 1) for i in range(31))
    assert sorted(len(share) for share in plan.divided(3)) == [10, 10, 11]


@given(st.integers(-450, 450), st.integers(0, 450))
def test_what_a_count_is_certain_of_is_whole_ticks_without_the_last(start: int, length: int) -> None:
    requested = TimeRange(start, start + length)
    tick = TIME_RESOLUTION_NS
    whole = [at for at in range(-1_000, 1_000, tick) if start <= at and at + tick <= start + length]
    certain = inner(requested)
    assert not certain if len(whole) < 2 else certain == TimeRange(whole[0], whole[-1])
    assert requested.covers(certain)
