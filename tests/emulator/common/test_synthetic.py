"""Synthetic series: the same points whatever is asked, and each kind is what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.emulator.common.counterhash import hash_one, hashes, hashes_of
from omnia_beam.emulator.common.late import LateSeries
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.source import PointSource
from omnia_beam.emulator.common.store import Series

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
KINDS = ("dense", "sparse", "bursty", "stepped", "mixed", "late")
SPECS = [f"{kind}:series=3,days=4" for kind in KINDS] + [
    "sparse:series=2,days=1,step=1us",
    "bursty:series=2,step=3ms,days=1",
]
SPECS[5] = "late:series=3,days=4,step=20s"


def _bits(points: Points) -> tuple[bytes, bytes, bytes]:
    return points.times.tobytes(), points.values.tobytes(), points.statuses.tobytes()


def _all_series() -> dict[str, Series]:
    store = load_store(synthetic=[*SPECS, "hostile"], seed=5)
    return {series.metadata.name: series for series in store.listed()}


ALL = _all_series()


@given(st.sampled_from(sorted(ALL)), st.data())
@settings(max_examples=150, deadline=None)
def test_any_range_of_indices_is_a_slice_of_any_larger_one(name: str, data: Any) -> None:
    source = ALL[name].complete()
    count = source.count()
    low = data.draw(st.integers(0, count))
    high = data.draw(st.integers(low, min(count, low + 3000)))
    first = data.draw(st.integers(low, high))
    stop = data.draw(st.integers(first, high))
    large, small = source.read(low, high), source.read(first, stop)
    assert _bits(small) == _bits(large.take(slice(first - low, stop - low)))
    assert np.array_equal(source.statuses(first, stop), small.statuses)
    assert bool(np.all(np.diff(large.times) > 0))


@given(st.sampled_from(sorted(ALL)), st.data())
@settings(max_examples=300, deadline=None)
def test_locate_counts_the_points_before(name: str, data: Any) -> None:
    source = ALL[name].complete()
    count = source.count()
    if count == 0:
        assert source.locate(data.draw(st.integers(-(2**70), 2**70))) == 0
        return
    index = data.draw(st.integers(0, count - 1))
    time_ns = int(source.read(index, index + 1).times[0])
    moved = time_ns + data.draw(st.sampled_from([-SECOND, -101, -1, 0, 1, 99, SECOND]))
    found = source.locate(moved)
    around = source.read(max(0, found - 1), min(count, found + 1)).times
    assert found == 0 or around[0] < moved
    assert found == count or around[-1] >= moved
    assert source.locate(time_ns) == index


def test_the_seed_and_the_id_make_the_points() -> None:
    def bits(seed: int, specs: list[str]) -> dict[str, Any]:
        return {one.id: _bits(one.points()) for one in load_store(synthetic=specs, seed=seed).listed()}

    spec = "mixed:series=6,days=0.2"
    again, other = bits(1, [spec]), bits(2, [spec])
    assert bits(1, [spec]) == again
    assert bits(1, ["dense:series=2,days=0.1", spec]).items() >= again.items()
    assert again.keys() == other.keys()
    assert all(again[key] != other[key] for key in again)
    assert len(set(again.values())) == len(again)


def test_two_specs_of_a_kind_are_apart() -> None:
    store = load_store(synthetic=["dense:series=2", "dense:series=3,step=10s"])
    assert [series.metadata.name for series in store.listed()] == [
        "dense-PT-0001", "dense-TT-0002", "dense2-PT-0001", "dense2-TT-0002", "dense2-FT-0003",
    ]  # fmt: skip


def test_dense_and_sparse_have_a_point_in_every_step() -> None:
    store = load_store(synthetic=["dense:series=1,days=2,start=2020-02-29", "sparse:series=1,days=2,step=1m"])
    dense, sparse = (series.points() for series in store.listed())
    assert len(dense) == 2 * 86_400
    assert set(np.diff(dense.times)) == {SECOND}
    assert dense.times[0] == 1_582_934_400 * SECOND
    assert len(sparse) == 2 * 1440
    within = sparse.times % (60 * SECOND)
    assert within.max() < 54 * SECOND
    assert len(np.unique(within)) > 1000
    assert not (sparse.times % 1_000_000).any()


def test_bursty_has_bursts_and_silence() -> None:
    points = ALL["bursty-PT-0001"].points()
    gaps = np.diff(points.times)
    assert (gaps < 2 * SECOND).mean() > 0.95
    assert gaps.max() > 1800 * SECOND


def test_stepped_holds_its_levels() -> None:
    points = ALL["stepped-PT-0001"].points()
    changes = int((np.diff(points.values) != 0).sum())
    assert 0 < changes < len(points) / 3
    assert ALL["stepped-PT-0001"].metadata.step


def test_statuses_are_mostly_good_and_mixed() -> None:
    statuses = load_store(synthetic=["dense:series=1,days=10"]).series.popitem()[1].points().statuses
    assert 0.95 < (statuses == 192).mean() < 0.995
    assert set(statuses.tolist()) == {192, 64, 0, 24, 8, 60, 193, 1073741824}


def test_ten_years_of_many_series_cost_nothing_until_they_are_read() -> None:
    store = load_store(synthetic=["dense:series=200,days=3650"])
    assert sum(series.complete().count() for series in store.listed()) == 200 * 3650 * 86_400
    series = next(iter(store.listed()))
    page = series.complete().read(300_000_000, 300_000_010)
    assert np.array_equal(series.points(int(page.times[3]), int(page.times[3]) + 1).times, page.times[3:4])


def test_the_default_plant() -> None:
    store = load_store(synthetic=["default"])
    assert len(store.series) >= 50
    total = sum(series.complete().count() for series in store.listed())
    assert 9_000_000 < total < 11_500_000
    assert {series.metadata.facility for series in store.listed()} == {"1191", "1219"}
    assert store.named("1191", "1191-PT-1001") is not None
    assert len({series.metadata.unit for series in store.listed()}) >= 6


@pytest.mark.parametrize(
    ("name", "count"),
    [("hostile-empty", 0), ("hostile-one-point", 1), ("hostile-million-in-a-second", 1_000_000)],
)
def test_hostile_counts(name: str, count: int) -> None:
    points = ALL[name].points()
    assert len(points) == count
    if count == 1_000_000:
        assert points.times[-1] - points.times[0] < SECOND
        assert not (points.times % 100).any()


def test_hostile_is_hostile() -> None:
    points = {name: series.points() for name, series in ALL.items() if name.startswith("hostile")}
    assert points["hostile-before-1970"].times[0] < 0
    assert set(np.diff(points["hostile-one-ns-apart"].times)) == {1}
    assert set(np.diff(points["hostile-ticks"].times)) == {100}
    assert not (points["hostile-hour-edges"].times % (3600 * SECOND)).any()
    assert set(points["hostile-only-bad"].statuses) == {0}
    assert not {192, 64, 0, 24, 8, 60} & set(points["hostile-unlisted-statuses"].statuses.tolist())
    values = points["hostile-odd-values"].values
    assert np.isnan(values).any()
    assert np.isinf(values).any()
    assert (np.signbit(values) & (values == 0)).any()
    assert (np.abs(values) == 5e-324).any()
    assert np.diff(points["hostile-gaps-of-years"].times).max() > 5 * 365 * DAY
    assert points["hostile-year-1900"].times[0] == -2_208_988_800 * SECOND
    assert points["hostile-year-2200"].times[0] == 7_258_118_400 * SECOND


def _visible_by_hand(source: LateSeries, now_ns: int) -> np.ndarray[Any, Any]:
    times = source.complete.read(0, source.complete.count()).times
    published = {int(block): source.published_ns(int(block)) for block in np.unique(times // source.block_ns)}
    return times[np.array([published[int(block)] <= now_ns for block in times // source.block_ns])]


@given(st.integers(-DAY, 5 * DAY))
@settings(max_examples=40, deadline=None)
def test_late_points_appear_when_they_are_published(since_start: int) -> None:
    source = ALL["late-PT-0001"].source
    assert isinstance(source, LateSeries)
    now = source.complete.grid.start_ns + since_start
    view: PointSource = source.at(now)
    visible = _visible_by_hand(source, now)
    assert np.array_equal(view.read(0, view.count()).times, visible)
    assert not len(visible) or visible[-1] < now
    for time_ns in (now - 7 * 3600 * SECOND, now - 301 * SECOND, now):
        index = view.locate(time_ns)
        assert index == np.searchsorted(visible, time_ns)
        assert np.array_equal(view.read(max(0, index - 5), index).times, visible[max(0, index - 5) : index])
        assert np.array_equal(view.statuses(0, index), view.read(0, index).statuses)


def test_late_series_have_holes_that_close() -> None:
    source = ALL["late-PT-0001"].source
    assert isinstance(source, LateSeries)
    start = source.complete.grid.start_ns
    holes = 0
    for hour in range(8, 90):
        view = source.at(start + hour * 3600 * SECOND)
        times = view.read(0, view.count()).times
        holes += int((np.diff(times) > 20 * SECOND).any())
    assert holes > 10
    assert source.at(start + 10 * DAY).count() == source.complete.count()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("dens:series=3", "unknown kind 'dens'; known are default, dense"),
        ("dense:serie=3", "unknown key"),
        ("dense:series=x", "'series=x'"),
        ("dense:step=1fortnight", "not a duration"),
        ("dense:start=yesterday", "not a time"),
        ("dense:days=0", "positive"),
        ("dense:series", "series"),
    ],
)
def test_bad_specs_are_named(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"--synthetic") as caught:
        load_store(synthetic=[spec])
    assert said in str(caught.value)
    assert repr(spec) in str(caught.value)


@given(st.integers(0, 2**64 - 1), st.integers(-(2**40), 2**40))
def test_the_hashes_agree(key: int, counter: int) -> None:
    assert int(hashes(key, counter, counter + 3)[1]) == hash_one(key, counter + 1)
    assert hashes_of(key, np.array([counter])).tolist() == [hash_one(key, counter)]
