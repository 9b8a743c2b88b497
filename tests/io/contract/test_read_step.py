"""What a window of any place becomes: each time once, in order, cut into chunks that fit the memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.read_step import checked, cut

KEY = ChunkKey(("a", "b"), TimeRange(-50, 50))
TIMES = st.lists(st.integers(-50, 49), max_size=30)


def points_of(times: list[int]) -> Points:
    values = np.arange(len(times), dtype=np.float64)
    return Points(np.array(times, np.int64), values, np.full(len(times), 192, np.uint32))


@given(TIMES, TIMES)
def test_of_points_at_one_time_the_last_stays(a: list[int], b: list[int]) -> None:
    repeated: dict[str, int] = {}
    found = checked(KEY, {"a": points_of(a), "b": points_of(b)}, repeated.__setitem__)
    for name, times in (("a", a), ("b", b)):
        last = {time: float(at) for at, time in enumerate(times)}
        assert list(zip(found[name].times.tolist(), found[name].values.tolist(), strict=True)) == sorted(last.items())
        assert repeated.get(name, 0) == len(times) - len(last)


@given(TIMES, TIMES, st.integers(1, 10))
def test_chunks_adjoin_hold_everything_and_no_more_than_they_may(a: list[int], b: list[int], most: int) -> None:
    points = checked(KEY, {"a": points_of(a), "b": points_of(b)}, lambda *_: None)
    chunks = list(cut(KEY, points, most))
    ranges = [each.key.range for each in chunks]
    assert (ranges[0].start_ns, ranges[-1].end_ns) == (-50, 50)
    assert all(one.end_ns == other.start_ns for one, other in itertools.pairwise(ranges))
    for name in KEY.series_ids:
        parts = [each for chunk in chunks for series_id, _, each in chunk.by_series() if series_id == name]
        assert [time for part in parts for time in part.times.tolist()] == points[name].times.tolist()
    for chunk in chunks:
        assert all(time in chunk.key.range for time in chunk.points.times.tolist())
        at_once = max(np.unique(chunk.points.times, return_counts=True)[1], default=0)
        assert chunk.num_points <= max(most, most + at_once - 1)


@pytest.mark.parametrize("found", [{"c": [0]}, {"a": [50]}, {"b": [-51]}])
def test_points_that_were_not_asked_for_fail_the_window(found: dict[str, list[int]]) -> None:
    with pytest.raises(IncompleteReadError):
        checked(KEY, {name: points_of(times) for name, times in found.items()}, lambda *_: None)
