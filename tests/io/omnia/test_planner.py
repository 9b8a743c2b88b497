"""Planning against a service over HTTP: what is wanted is covered once, for as few requests as may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from omnia_beam.core.errors import SelectionError, TransientServiceError
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.omnia.planner import plan_windows
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import Plan
from tests.io.emulated import DAY, MONTH, SECOND, STEPS, ids_of, service

SMALL = PackLimits(page_points=1_000, chunk_points=5_000)


@pytest.fixture
def session(emulator: EmulatorThread) -> Iterator[ServiceSession]:
    with ServiceSession(service(emulator.url)) as made:
        yield made


def covered(windows: Sequence[Window] | Plan) -> dict[str, TimeRangeSet]:
    """What is covered of each series; fails where something is covered twice."""
    ranges: dict[str, list[TimeRange]] = {}
    for window in windows:
        for series_id in window.key.series_ids:
            ranges.setdefault(series_id, []).append(window.key.range)
    sets = {series_id: TimeRangeSet(parts) for series_id, parts in ranges.items()}
    assert all(sum(part.duration_ns for part in ranges[s]) == sets[s].duration_ns for s in sets)
    return sets


def probes(emulator: EmulatorThread) -> int:
    return int(emulator.stats()["requests_total"])


def test_covers_what_is_wanted_once(emulator: EmulatorThread, session: ServiceSession) -> None:
    ids = sorted(ids_of(emulator).values())
    plan = plan_windows(session, [(ids, MONTH)], limits=SMALL)
    assert covered(plan) == {series_id: TimeRangeSet([MONTH]) for series_id in ids}
    expected = sum(MONTH.duration_ns // SECOND // step for step in STEPS.values())
    assert abs(plan.expected_points - expected) <= len(plan)
    assert max(window.expected_points for window in plan) <= SMALL.chunk_points
    assert plan.series == 3


def test_one_request_asks_about_all_series(emulator: EmulatorThread, session: ServiceSession) -> None:
    before = probes(emulator)
    asked: list[int] = []
    plan_windows(session, [(list(ids_of(emulator).values()), MONTH)], on_probed=asked.append)
    assert probes(emulator) == before + 1
    assert asked == [3]


def test_a_hundred_series_to_a_request() -> None:
    series: dict[str, Any] = {f"s{i:03}": (np.array([MONTH.start_ns + i]), np.array([1.0])) for i in range(250)}
    asked: list[int] = []
    with EmulatorThread(series=series) as emulator, ServiceSession(service(emulator.url)) as session:
        ids = list(ids_of(emulator).values())
        plan = plan_windows(session, [(ids + ids[:50], MONTH)], on_probed=asked.append)  # some named twice
        assert probes(emulator) == 3
    assert covered(plan) == {series_id: TimeRangeSet([MONTH]) for series_id in ids}
    assert (sorted(asked), plan.expected_points) == ([50, 100, 100], 250)


def test_ranges_of_their_own(emulator: EmulatorThread, session: ServiceSession) -> None:
    ids = ids_of(emulator)
    early, late = MONTH.split(2)
    plan = plan_windows(session, [([ids["dense"], ids["daily"]], early), ([ids["dense"], ids["hourly"]], late)])
    assert covered(plan) == {
        ids["dense"]: TimeRangeSet([MONTH]),
        ids["daily"]: TimeRangeSet([early]),
        ids["hourly"]: TimeRangeSet([late]),
    }


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_order_is_that_of_time_whatever_the_pairs(
    emulator: EmulatorThread, session: ServiceSession, newest_first: bool
) -> None:
    pairs = [(list(ids_of(emulator).values()), part) for part in reversed(MONTH.split(5))]
    plan = plan_windows(session, pairs, limits=SMALL, newest_first=newest_first)
    starts = [window.key.range.start_ns for window in plan]
    assert starts == sorted(starts, reverse=newest_first)
    assert len(set(starts)) > 5


def test_the_status_filter_changes_the_counts(emulator: EmulatorThread, session: ServiceSession) -> None:
    hourly = [ids_of(emulator)["hourly"]]
    assert plan_windows(session, [(hourly, MONTH)]).expected_points == 744
    assert plan_windows(session, [(hourly, MONTH)], statuses=(0,)).expected_points == 75
    assert plan_windows(session, [(hourly, MONTH)], statuses=(0, 192)).expected_points == 744


@pytest.mark.parametrize("wanted", [[], [([], MONTH)], "empty range"])
def test_nothing_wanted_nothing_asked(emulator: EmulatorThread, session: ServiceSession, wanted: Any) -> None:
    if wanted == "empty range":
        wanted = [(list(ids_of(emulator).values()), TimeRange(5, 5))]
    before = probes(emulator)
    assert len(plan_windows(session, wanted)) == 0
    assert probes(emulator) == before


def test_a_range_without_points_is_planned_all_the_same(emulator: EmulatorThread, session: ServiceSession) -> None:
    ids = sorted(ids_of(emulator).values())
    wanted = TimeRange(0, 100 * DAY)
    assert list(plan_windows(session, [(ids, wanted)])) == [Window(ChunkKey(tuple(ids), wanted), 0, 1)]


def test_a_series_that_is_not_known_is_named(emulator: EmulatorThread, session: ServiceSession) -> None:
    stranger = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(SelectionError, match=stranger):
        plan_windows(session, [([*ids_of(emulator).values(), stranger], MONTH)])


def test_a_service_that_is_down_ends_the_planning(emulator: EmulatorThread, session: ServiceSession) -> None:
    emulator.set_faults(["path=/data status=503"])
    with pytest.raises(TransientServiceError, match="503"):
        plan_windows(session, [(list(ids_of(emulator).values()), part) for part in MONTH.split(50)])
    assert Counter(emulator.stats()["faults"])["status_503"] < 200
