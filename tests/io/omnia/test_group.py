"""Cutting groups: no point lost, none twice, series before points."""

from __future__ import annotations

from itertools import chain

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.io.omnia.group import Group, Run, columns, halves, of_targets, ordered, size, split, spread, targets
from omnia_beam.io.omnia.policy import MAX_POINT_BYTES
from omnia_beam.wire import encode_datapoints

Place = tuple[str, int]


def run(target_id: str, first: int, count: int) -> Run:
    times = np.arange(first, first + count + 2, dtype=np.int64) * 100
    points = Points(times, np.arange(count + 2, dtype=float), np.full(count + 2, 192, np.uint32))
    return Run(target_id, points, 1, count + 1, None)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    drawn = draw(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 6)), max_size=6))
    return ordered(run(target_id, 10 * i, count) for i, (target_id, count) in enumerate(drawn))


def places(group: Group) -> list[Place]:
    return [(each.target_id, int(t)) for each in group for t in each.selected.times]


@given(groups(), st.integers(0, 40))
def test_split(group: Group, at: int) -> None:
    left, right = split(group, at)
    assert places(left) + places(right) == places(group)
    assert size(left) == min(at, size(group))
    assert all(each.stop > each.start for each in (*left, *right))


@given(groups())
def test_halves(group: Group) -> None:
    parts = halves(group)
    if size(group) <= 1:
        assert parts is None
        return
    assert parts is not None
    left, right = parts
    assert places(left) + places(right) == places(group)
    assert left
    assert right
    if len(targets(group)) > 1:
        assert not set(targets(left)) & set(targets(right))
        best = min(
            abs(2 * size(of_targets(group, targets(group)[:n])[0]) - size(group)) for n in range(1, len(targets(group)))
        )
        assert abs(size(left) - size(right)) <= best + 1
    else:
        assert abs(size(left) - size(right)) <= 1


@given(groups(), st.integers(1, 8))
def test_spread(group: Group, count: int) -> None:
    samples, rest = spread(group, count) if group else ([], ())
    assert [size(sample) for sample in samples] == [1] * min(count, size(group))
    assert sorted(chain(places(rest), *map(places, samples))) == sorted(places(group))
    if count > 1 and group:
        assert places(samples[0]) == places(group)[:1]
        assert places(samples[-1]) == places(group)[-1:]


@given(groups())
def test_columns_name_each_series_once(group: Group) -> None:
    found = columns(group)
    assert [target_id for target_id, *_ in found] == sorted(set(targets(group)))
    assert [(target_id, int(t)) for target_id, times, _, _ in found for t in times] == places(group)


@given(groups(), st.sets(st.sampled_from("abcdx")))
def test_of_targets(group: Group, wanted: set[str]) -> None:
    inside, others = of_targets(group, wanted)
    assert places(inside) == [place for place in places(group) if place[0] in wanted]
    assert places(others) == [place for place in places(group) if place[0] not in wanted]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**56), 2**56), st.integers(0, 2**32 - 1))
def test_no_point_takes_more_bytes_than_planned(value: float, tick: int, status: int) -> None:
    column = (np.array([tick * 100] * 2, np.int64), np.array([value] * 2), np.array([status] * 2, np.uint32))
    one = encode_datapoints([("i", *(part[:1] for part in column))])
    two = encode_datapoints([("i", *column)])
    assert len(two) - len(one) <= MAX_POINT_BYTES
    assert orjson.loads(two)["items"][0]["id"] == "i"
