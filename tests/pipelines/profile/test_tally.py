"""The figures against a brute-force oracle, however the points are cut into blocks; and the bounded memory of what is kept."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.io.point_block import PointBlock
from omnia_beam.pipelines.profile.figures import SeriesFigures, figures_of, stretches_of
from omnia_beam.pipelines.profile.longest import KEPT
from omnia_beam.pipelines.profile.tally import Tally
from tests.pipelines.profile.oracle import Expected, Point, expected_figures

GAP = 100
INT64 = 2**63

times = st.one_of(st.integers(0, 1_000), st.integers(-INT64, INT64 - 1))
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, math.nan, math.inf, -math.inf, 1.7e308, -1.7e308]),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
)
statuses = st.sampled_from([192, 192, 193, 0xFFFFFFFF, 0, 24, 64, 65, 128, 2**32 - 64])
points = st.lists(st.tuples(times, values, statuses), max_size=30)
bursts = st.builds(
    lambda start, step, count, value, status: [(start + step * i, value, status) for i in range(count)],
    st.integers(-2_000, 2_000),
    st.sampled_from([0, 1, 10, 50, 100, 101]),
    st.integers(1, 40),
    values,
    statuses,
)
series = st.one_of(points, st.lists(bursts, max_size=4).map(lambda parts: [each for part in parts for each in part]))
plants = st.dictionaries(st.sampled_from("abcd"), series, max_size=4)


def columns(found: list[Point]) -> Points:
    return Points(
        np.array([time for time, _, _ in found], np.int64),
        np.array([value for _, value, _ in found], np.float64),
        np.array([status for _, _, status in found], np.uint32),
    )


def blocks(plant: dict[str, list[Point]], cuts: list[int]) -> list[PointBlock]:
    """The points of all series in the order of time, cut into blocks at some positions; each block is sorted by series."""
    rows = sorted(((name, *point) for name, each in plant.items() for point in each), key=lambda row: row[1])
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    names = tuple(sorted(plant))
    found = []
    for start, end in itertools.pairwise(bounds):
        part = sorted(rows[start:end], key=lambda row: row[0])
        codes = np.array([names.index(name) for name, *_ in part], np.int32)
        found.append(PointBlock(names, codes, columns([(time, value, status) for _, time, value, status in part])))
    return found


def tallied(found: list[PointBlock], gap: int = GAP) -> Tally:
    tally = Tally(gap)
    for block in found:
        tally.add(block)
    tally.finish()
    return tally


def check(found: SeriesFigures, expected: Expected, magnitude: float) -> None:
    assert (found.points, found.first_ns, found.last_ns) == (expected.points, expected.first, expected.last)
    assert same(found.minimum, expected.minimum)
    assert same(found.maximum, expected.maximum)
    assert same(found.mean, expected.mean) or abs(found.mean - expected.mean) <= 1e-12 * magnitude
    assert (found.nan, found.infinite) == (expected.nan, expected.infinite)
    assert (found.bad, found.questionable, found.same_time) == (expected.bad, expected.questionable, expected.same_time)
    interval = found.longest_interval
    assert (None if interval is None else (interval.start_ns, interval.length_ns)) == expected.longest
    assert (found.gaps.count, found.gaps.total_ns) == (len(expected.gaps), sum(length for _, length in expected.gaps))
    assert (found.flats.count, found.flats.total_ns) == (len(expected.flats), sum(each[1] for each in expected.flats))
    for side, of_all in ((found.gaps, expected.gaps), (found.flats, expected.flats)):
        longest = max(of_all, key=lambda each: (each[1], -each[0]), default=None)
        assert (longest is None) == (side.longest is None)
        if longest is not None and side.longest is not None:
            assert (side.longest.start_ns, side.longest.length_ns) == longest[:2]


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@given(plants, st.lists(st.integers(0, 120), max_size=5))
def test_every_figure_is_that_of_the_oracle(plant: dict[str, list[Point]], cuts: list[int]) -> None:
    tally = tallied(blocks(plant, cuts))
    assert not tally.disordered
    figures = {each.series_id: each for each in figures_of(tally)}
    assert figures.keys() == {name for name, each in plant.items() if each}
    wanted = {name: expected_figures(each, GAP) for name, each in plant.items() if each}
    for name, expected in wanted.items():
        magnitude = max((abs(value) for _, value, _ in plant[name] if math.isfinite(value)), default=0.0)
        check(figures[name], expected, magnitude)
    gaps = {(each.series_id, each.start_ns, each.length_ns) for each in stretches_of(tally, tally.gaps)}
    assert gaps == {(name, *each) for name, expected in wanted.items() for each in expected.gaps}
    flats = {(each.series_id, each.start_ns, each.length_ns, each.value) for each in stretches_of(tally, tally.flats)}
    assert flats == {(name, *each) for name, expected in wanted.items() for each in expected.flats}


@given(plants, st.lists(st.integers(0, 120), max_size=5))
def test_a_sparkline_holds_every_finite_value_in_its_step(plant: dict[str, list[Point]], cuts: list[int]) -> None:
    for figures in figures_of(tallied(blocks(plant, cuts))):
        line = figures.sparkline
        steps: dict[int, list[float]] = {}
        for time, value, _ in plant[figures.series_id]:
            if math.isfinite(value):
                steps.setdefault((time - line.start_ns) // line.step_ns, []).append(value)
        assert {at: min(each) for at, each in steps.items()} == present(line.low)
        assert {at: max(each) for at, each in steps.items()} == present(line.high)


def present(line: npt.NDArray[np.float64]) -> dict[int, float]:
    return {at: value for at, value in enumerate(line) if not math.isnan(value)}


@given(series.filter(bool), st.integers(1, 500))
def test_the_threshold_decides_what_is_a_gap(found: list[Point], gap: int) -> None:
    [figures] = figures_of(tallied([PointBlock.of_one("a", columns(found))], gap))
    assert figures.gaps.count == len(expected_figures(found, gap).gaps)
    assert figures.flats.count == len(expected_figures(found, gap).flats)


def test_a_long_sum_does_not_drift() -> None:
    """A thousand blocks of values that cancel out but for the smallest."""
    tally = Tally(GAP)
    for at in range(1_000):
        part = Points(np.arange(3) + at * 3, np.array([1e16, 0.1, -1e16]), np.full(3, 192, np.uint32))
        for each in range(3):
            tally.add(PointBlock.of_one("a", part.take(slice(each, each + 1))))
    tally.finish()
    assert figures_of(tally)[0].mean == pytest.approx(0.1 / 3, rel=1e-12)


def test_a_point_that_comes_late_is_noticed() -> None:
    tally = tallied(
        [PointBlock.of_one("a", columns([(5, 1.0, 192)])), PointBlock.of_one("a", columns([(4, 1.0, 192)]))]
    )
    assert tally.disordered == {0}


def test_only_the_longest_are_named_and_all_are_counted() -> None:
    steps = np.random.default_rng(5).permutation(3 * KEPT) + GAP + 1
    found = np.cumsum(steps)
    tally = Tally(GAP)
    for part in np.array_split(found, 7):
        tally.add(PointBlock.of_one("a", Points(part, np.arange(len(part)) * 1.0, np.full(len(part), 192, np.uint32))))
    tally.finish()
    assert figures_of(tally)[0].gaps.count == 3 * KEPT - 1
    named = [each.length_ns for each in stretches_of(tally, tally.gaps)]
    assert named == sorted((np.sort(steps[1:])[-KEPT:]).tolist(), reverse=True)
