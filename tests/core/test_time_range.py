"""TimeRange and TimeRangeSet against Python sets of small integers, and at the limits of int64."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS

LOW, HIGH = -5, 5  # so few that ranges often touch
INSTANTS = range(LOW - 2, HIGH + 3)


def ranges(low: int, high: int) -> st.SearchStrategy[TimeRange]:
    bounds = st.integers(low, high)
    return st.tuples(bounds, bounds).map(lambda ends: TimeRange(min(ends), max(ends)))


small = ranges(LOW, HIGH)
smalls = st.lists(small, max_size=8)
wide = st.one_of(
    ranges(MIN_TIME_NS, MAX_TIME_NS),
    ranges(MAX_TIME_NS - 5, MAX_TIME_NS),
    ranges(MIN_TIME_NS, MIN_TIME_NS + 5),
    st.just(TimeRange(MIN_TIME_NS, MAX_TIME_NS)),
)


def instants(items: TimeRange | TimeRangeSet | Iterable[TimeRange]) -> set[int]:
    """The oracle: every instant, one by one."""
    listed = [items] if isinstance(items, TimeRange) else items
    return {t for item in listed for t in range(item.start_ns, item.end_ns)}


# TimeRange


@given(small)
def test_contains_and_duration(item: TimeRange) -> None:
    assert {t for t in INSTANTS if t in item} == instants(item)
    assert item.duration_ns == len(instants(item))
    assert bool(item) == bool(instants(item))


@given(small, small)
def test_two_ranges_against_sets(a: TimeRange, b: TimeRange) -> None:
    assert a.covers(b) == (instants(b) <= instants(a))
    assert a.overlaps(b) == bool(instants(a) & instants(b))
    both = a.intersect(b)
    assert instants([both] if both else []) == instants(a) & instants(b)
    assert both is None or bool(both), "an intersection without an instant is None, never an empty range"


@given(st.one_of(small, wide), st.integers(1, 40))
def test_split_is_exact_and_even(item: TimeRange, parts: int) -> None:
    cut = item.split(parts)
    assert len(cut) == min(parts, item.duration_ns)
    assert all(cut), "no part is empty"
    if cut:
        assert (cut[0].start_ns, cut[-1].end_ns) == (item.start_ns, item.end_ns)
        assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(cut))
        lengths = {part.duration_ns for part in cut}
        assert max(lengths) - min(lengths) <= 1


def test_split_keeps_to_integers_over_ten_years() -> None:
    item = TimeRange(1_388_534_400_000_000_001, 1_704_067_200_000_000_000)
    third = item.split(3)
    assert [part.duration_ns for part in third] == [105_177_600_000_000_000 - 1, *[105_177_600_000_000_000] * 2]


@pytest.mark.parametrize("parts", [0, -1])
def test_split_into_nothing_is_refused(parts: int) -> None:
    with pytest.raises(ValueError, match=f"{parts} parts"):
        TimeRange(0, 10).split(parts)


@given(small, st.lists(st.integers(LOW - 3, HIGH + 3), max_size=6))
def test_split_at_cuts_just_there(item: TimeRange, cuts: list[int]) -> None:
    parts = item.split_at(cuts)
    assert all(parts)
    assert sum(part.duration_ns for part in parts) == item.duration_ns
    assert instants(parts) == instants(item)
    assert [part.start_ns for part in parts[1:]] == sorted({cut for cut in cuts if item.start_ns < cut < item.end_ns})


def test_split_at_the_limits() -> None:
    whole = TimeRange(MIN_TIME_NS, MAX_TIME_NS)
    assert whole.duration_ns == 2**64 - 1
    assert whole.split_at([MIN_TIME_NS, 0, MAX_TIME_NS]) == [TimeRange(MIN_TIME_NS, 0), TimeRange(0, MAX_TIME_NS)]


@pytest.mark.parametrize(
    ("start", "end"), [(MIN_TIME_NS - 1, 0), (0, MAX_TIME_NS + 1), (MAX_TIME_NS + 1, MAX_TIME_NS + 2)]
)
def test_bounds_outside_int64_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="64-bit"):
        TimeRange(start, end)


@given(wide.filter(bool))
def test_an_end_before_the_start_is_refused_with_both_times(item: TimeRange) -> None:
    with pytest.raises(ValueError, match=r"ends before it starts: .*Z > .*Z"):
        TimeRange(item.end_ns, item.start_ns)


@given(wide)
def test_range_survives_text_and_pickling(item: TimeRange) -> None:
    assert pickle.loads(pickle.dumps(item)) == item
    assert TimeRange.parse(*str(item).strip("[)").split(", ")) == item


@given(smalls)
def test_ranges_sort_by_start_then_end(items: list[TimeRange]) -> None:
    assert sorted(items) == sorted(items, key=lambda item: (item.start_ns, item.end_ns))


# TimeRangeSet


def assert_normal(found: TimeRangeSet) -> None:
    """The fewest ranges: none empty, ascending, neither overlapping nor touching."""
    listed = list(found)
    assert all(listed)
    assert all(a.end_ns < b.start_ns for a, b in itertools.pairwise(listed))
    assert len(found) == len(listed)


@given(smalls)
def test_a_set_is_its_instants(items: list[TimeRange]) -> None:
    found = TimeRangeSet(items)
    assert_normal(found)
    assert instants(found) == instants(items)
    assert {t for t in INSTANTS if t in found} == instants(items)
    assert found.duration_ns == len(instants(items))


@given(smalls, smalls)
def test_set_algebra_against_sets(a: list[TimeRange], b: list[TimeRange]) -> None:
    one, other = TimeRangeSet(a), TimeRangeSet(b)
    for found, expected in [
        (one.union(other), instants(a) | instants(b)),
        (one.union(b), instants(a) | instants(b)),
        (one.subtract(other), instants(a) - instants(b)),
        (one.subtract(b), instants(a) - instants(b)),
    ]:
        assert_normal(found)
        assert instants(found) == expected
    assert (instants(one), instants(other)) == (instants(a), instants(b)), "the operands are left alone"


@given(smalls, small)
def test_a_set_and_a_range(items: list[TimeRange], item: TimeRange) -> None:
    found = TimeRangeSet(items)
    inside = found.intersect(item)
    assert_normal(inside)
    assert instants(inside) == instants(items) & instants(item)
    assert found.covers(item) == (instants(item) <= instants(items))


@given(smalls, smalls)
def test_equal_exactly_when_the_instants_are(a: list[TimeRange], b: list[TimeRange]) -> None:
    one, other = TimeRangeSet(a), TimeRangeSet(b)
    assert (one == other) == (instants(a) == instants(b))
    if one == other:
        assert hash(one) == hash(other)
    assert one != a


@given(smalls, st.randoms(use_true_random=False))
def test_the_order_of_ranges_does_not_matter(items: list[TimeRange], random) -> None:
    shuffled = random.sample(items, len(items))
    assert TimeRangeSet(items) == TimeRangeSet(shuffled)


@given(st.lists(wide, max_size=6), st.lists(wide, max_size=6))
def test_algebra_at_the_limits(a: list[TimeRange], b: list[TimeRange]) -> None:
    one, other = TimeRangeSet(a), TimeRangeSet(b)
    rest = one.subtract(other)
    assert rest.subtract(one) == TimeRangeSet()
    assert rest.union(other) == one.union(other)
    shared = TimeRangeSet(part for item in other for part in one.intersect(item))
    assert shared.union(rest) == one
    assert shared.duration_ns + rest.duration_ns == one.duration_ns
    assert all(one.union(other).covers(item) for item in [*a, *b])


@given(st.lists(wide, max_size=6))
def test_set_survives_pickling(items: list[TimeRange]) -> None:
    found = TimeRangeSet(items)
    assert pickle.loads(pickle.dumps(found)) == found
    assert repr(found) == f"TimeRangeSet([{', '.join(map(str, found))}])"


def test_the_empty_set() -> None:
    nothing = TimeRangeSet([TimeRange(5, 5)])
    assert nothing == TimeRangeSet()
    assert not nothing
    assert nothing.duration_ns == 0
    assert nothing.covers(TimeRange(7, 7))
    assert not nothing.covers(TimeRange(7, 8))
