"""The plan cache: what comes back, what is damaged or old, and which windows may be taken again, against brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.plan.cache import PlanCache, still_wanted
from omnia_beam.plan.packing import PackedWindow, PackLimits
from omnia_beam.plan.plan import Counted, Plan

LIMITS = PackLimits()
DAY_NS = 86_400 * 10**9
PLAN = replace(
    Plan.of([PackedWindow(("a", "b"), TimeRange(-5, 7), 3, 1), PackedWindow(("c",), TimeRange(0, 9), 1 << 40, 9)]),
    counted=(Counted(TimeRange(-5, 8), {"a": 1, "b": 2}), Counted(TimeRange(0, 9), {"c": 1 << 40})),
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.open(str(tmp_path), "job")


def cache(state: StateDir, scope: str = "scope", limits: PackLimits = LIMITS, now_ns: int = DAY_NS) -> PlanCache:
    return PlanCache(state, scope, limits, lambda: now_ns)


def test_gives_back_what_was_stored(state: StateDir) -> None:
    assert cache(state).load() is None
    cache(state).store(PLAN)
    found = cache(state, now_ns=7 * DAY_NS).load()
    assert found is not None
    assert list(found) == list(PLAN)
    assert found.counted == PLAN.counted


@pytest.mark.parametrize("age_ns", [0, 1, 7 * DAY_NS])
def test_a_plan_is_fresh_from_its_instant_on_for_a_week(state: StateDir, age_ns: int) -> None:
    cache(state).store(PLAN)
    assert cache(state, now_ns=DAY_NS + age_ns).load() is not None
    assert cache(state, now_ns=DAY_NS + 7 * DAY_NS + 1).load() is None
    assert cache(state, now_ns=DAY_NS - 1).load() is None


def test_a_plan_that_was_forgotten_is_gone(state: StateDir) -> None:
    cache(state).store(PLAN)
    cache(state, scope="another").store(PLAN)
    cache(state).forget()
    assert cache(state).load() is None
    assert cache(state, scope="another").load() is not None


@pytest.mark.parametrize(
    "other", [{"scope": "another"}, {"limits": PackLimits(page_points=99)}, {"now_ns": 9 * DAY_NS}, {"now_ns": 0}]
)
def test_what_is_of_another_job_old_or_of_the_future_is_not_taken(state: StateDir, other: dict[str, object]) -> None:
    cache(state).store(PLAN)
    assert cache(state, **other).load() is None  # type: ignore[arg-type]  # each of its own kind


def test_what_is_damaged_is_planned_anew(state: StateDir) -> None:
    cache(state).store(PLAN)
    (name,) = (each.name for each in state.list("plan"))
    whole = state.read(f"plan/{name}") or b""
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            state.write(f"plan/{name}", damaged)
            found = cache(state).load()
            assert found is None or [w.key.range for w in found] == [w.key.range for w in PLAN]


ids = st.sampled_from("abcd")
spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda pair: pair[0] < pair[1])
cells = st.sets(st.tuples(ids, st.integers(0, 11)))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Windows of groups that are disjoint, each cut at some places."""
    order = draw(st.permutations("abcd"))
    cut = draw(st.integers(0, 4))
    windows = []
    for group in (order[:cut], order[cut:]):
        if not group:
            continue
        cuts = sorted(draw(st.sets(st.integers(1, 11))))
        for each in TimeRange(0, 12).split_at(cuts):
            if draw(st.booleans()):
                windows.append(PackedWindow(tuple(sorted(group)), each, draw(st.integers(0, 5)), 1))
    return Plan.of(windows)


@given(plans(), cells)
def test_each_wanted_cell_is_in_one_window_or_in_the_rest(plan: Plan, wanted: set[tuple[str, int]]) -> None:
    asked = [((series_id,), TimeRange(at, at + 1)) for series_id, at in sorted(wanted)]
    taken, rest = still_wanted(plan, asked)
    in_windows = [
        (series_id, at)
        for window in taken
        for series_id in window.key.series_ids
        for at in range(window.key.range.start_ns, window.key.range.end_ns)
    ]
    in_rest = [
        (series_id, at)
        for series_ids, each in rest
        for series_id in series_ids
        for at in range(each.start_ns, each.end_ns)
    ]
    assert sorted(in_windows + in_rest) == sorted(wanted)
    expected = [
        window.key
        for window in plan
        if all(
            (series_id, at) in wanted
            for series_id in window.key.series_ids
            for at in range(window.key.range.start_ns, window.key.range.end_ns)
        )
    ]
    assert sorted((w.key.range, w.key.series_ids) for w in taken) == sorted((k.range, k.series_ids) for k in expected)
    assert all(window.expected_points > 0 for window in taken)


@given(plans(), plans())
def test_joined_plans_hold_the_windows_of_both(one: Plan, other: Plan) -> None:
    both = sorted([*one, *other], key=repr)
    assert sorted(one.joined(other), key=repr) == both


def test_joined_plans_keep_what_was_counted_and_recorded_of_both() -> None:
    one = replace(PLAN, recorded={PLAN.window(0).key: (1, 2)})
    window = PackedWindow(("a", "b"), TimeRange(7, 9), 3, 1)
    counted = Counted(TimeRange(7, 9), {"a": 3})
    other = replace(Plan.of([window]), counted=(counted,))
    other = replace(other, recorded={other.window(0).key: (3, 4)})
    joined = one.joined(other)
    assert joined.counted == (*PLAN.counted, counted)
    assert [each.recorded for each in joined.ordered()] == [(1, 2), (), (3, 4)]
