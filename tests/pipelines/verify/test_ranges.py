"""Differences as ranges, against a plain loop over the points: every difference in one range, none that is equal inside."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.difference import Difference
from omnia_beam.pipelines.verify.points import compare_points, point_counts
from omnia_beam.pipelines.verify.ranges import EXAMPLES, MOST, DifferenceRange, RangeBook

WINDOW = TimeRange(0, 1_000)


def points(values: dict[int, float]) -> Points:
    times = np.array(sorted(values), np.int64)
    return Points(times, np.array([values[t] for t in times.tolist()]), np.full(len(times), 192, np.uint32))


def book(expected: Points, found: Points, window: TimeRange = WINDOW) -> RangeBook:
    made = RangeBook()
    made.add_points("a", window, expected, found, compare_points(expected, found))
    return made


def spans(made: RangeBook, kind: str) -> list[tuple[int, int, int]]:
    found = [each for each in made.ranges() if each.kind == kind]
    return [(each.span.start_ns, each.span.end_ns - 1, each.count) for each in found if each.span is not None]


def test_points_in_a_row_are_one_range_with_first_examples() -> None:
    expected = points({t: float(t) for t in range(0, 100, 10)})
    found = points({t: float(t) for t in range(0, 100, 10) if t not in (20, 30, 40, 50, 80)})
    made = book(expected, found)
    assert spans(made, "missing_point") == [(20, 50, 4), (80, 80, 1)]
    examples = made.ranges()[0].examples
    assert len(examples) == EXAMPLES
    assert "value 20.0" in examples[0]


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_ranges_are_what_a_loop_finds(changed: set[int], missing: set[int]) -> None:
    """Up to the number of ranges that are joined."""
    expected = points({t: float(t) for t in range(61)})
    found = points({t: t + (0.5 if t in changed else 0.0) for t in range(61) if t not in missing})
    comparison = compare_points(expected, found)
    made = book(expected, found)
    assert {kind: sum(count for *_, count in spans(made, kind)) for kind in comparison.times} == point_counts(
        comparison
    )
    for kind, times in comparison.times.items():
        runs: list[list[int]] = []
        for t in times.tolist():
            if runs and all(each in changed | missing for each in range(runs[-1][-1], t)):
                runs[-1].append(t)
            else:
                runs.append([t])
        expect = [(run[0], run[-1], len(run)) for run in runs]
        got = spans(made, kind)
        if len(expect) <= MOST:
            assert got == expect
        else:
            assert len(got) <= MOST
            assert sum(each.parts for each in made.ranges() if each.kind == kind) == len(expect)


def test_ranges_of_neighbouring_windows_join() -> None:
    """A range that reaches to the bound of its window goes on in the next one, though no point lies on the bound."""
    made = RangeBook()
    for start in (1_000, 0, 2_000, 5_000):
        some = points(dict.fromkeys(range(start + 100, start + 1000, 100), 1.0))
        none = some.take(slice(0))
        made.add_points("a", TimeRange(start, start + 1_000), some, none, compare_points(some, none))
    assert spans(made, "missing_point") == [(100, 2_900, 27), (5_100, 5_900, 9)]


def test_windows_without_points_join_too() -> None:
    made = RangeBook()
    for start in (20, 0, 10, 40):
        made.add_difference(Difference("missing_points", "none", "a", TimeRange(start, start + 10), points=7))
    assert [(each.start_ns, each.points, each.parts) for each in made.ranges()] == [(0, 21, 1), (40, 7, 1)]


def test_of_very_many_ranges_the_widest_distances_stay() -> None:
    made = RangeBook()
    for number in range(5_000):
        at = number * 10 + (1_000_000 if number >= 2_500 else 0)
        made.add(DifferenceRange("changed_value", "a", TimeRange(at, at + 1), 1, 1, (f"at {at}",)))
    found = made.ranges()
    assert len(found) <= MOST
    assert sum(each.count for each in found) == sum(each.parts for each in found) == 5_000
    assert 1_025_000 in [each.start_ns for each in found]
    assert {len(each.examples) for each in found} <= {1, EXAMPLES}


def test_a_range_of_unknown_time_is_kept() -> None:
    made = RangeBook()
    for number in range(3):
        made.add_difference(Difference("stray_file", "no receipt names it", file=f"{number}.parquet"))
    assert [each.examples for each in made.ranges()] == [(f"{n}.parquet: no receipt names it",) for n in range(3)]
