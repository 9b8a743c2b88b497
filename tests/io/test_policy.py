"""The policies of sinks that hold less than their sources: any grid of time, with NaN or without."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.policy import PointPolicy

times = st.lists(st.integers(-3_000, 9_000), max_size=12, unique=True).map(sorted)


def points(at: list[int], **columns: Any) -> Points:
    count = len(at)
    values = columns.get("values", np.arange(count) * 0.5)
    statuses = columns.get("statuses", np.full(count, 192, np.uint32))
    return Points(np.array(at, np.int64), np.asarray(values, np.float64), np.asarray(statuses, np.uint32))


@settings(max_examples=60)
@given(times, st.sampled_from([1, 100, 1_000, 1_000_000]), st.integers(-3_000, 0))
def test_truncation_on_any_grid_keeps_the_first_of_each_step(at: list[int], grid: int, start: int) -> None:
    window = TimeRange(start, 9_001)
    inside = [each for each in at if each >= start]
    result = PointPolicy(grid, "truncate").apply(points(inside), window)
    expected, dead = {}, []
    for each in inside:
        tick = each // grid * grid
        if (tick != each and tick < start) or tick in expected:
            dead.append(each)
        else:
            expected[tick] = each
    assert result.good.times.tolist() == list(expected)
    assert result.good.values.tolist() == [inside.index(each) * 0.5 for each in expected.values()]
    assert sorted(time for part, _ in result.dead for time in part.times.tolist()) == dead
    assert result.truncated == sum(tick != each for tick, each in expected.items())


@settings(max_examples=60)
@given(times, st.sampled_from([1, 100, 1_000]))
def test_dead_letters_keep_what_is_finer(at: list[int], grid: int) -> None:
    policy = PointPolicy(grid)
    result = policy.apply(points(at), TimeRange(-3_000, 9_001))
    assert result.good.times.tolist() == [each for each in at if each % grid == 0]
    finer = [each for each in at if each % grid]
    assert [(part.times.tolist(), reason) for part, reason in result.dead] == (
        [(finer, policy.too_fine)] if finer else []
    )


def test_a_bad_status_of_its_own_is_kept() -> None:
    given = points([0, 1, 2, 3, 4], values=[math.nan] * 4 + [1.0], statuses=[24, 192, 64, 2**31 + 4, 28])
    policy = PointPolicy(holds_not_finite=False, nan="as_bad_status", bad_status="keep", bad_value=-1.0)
    good = policy.apply(given, TimeRange(0, 9)).good
    assert good.statuses.tolist() == [24, 0, 0, 2**31 + 4, 28]
    assert good.values.tolist() == [-1.0, -1.0, -1.0, -1.0, 1.0]


def test_a_sink_that_holds_everything_touches_nothing() -> None:
    given = points([0, 1], values=[math.nan, math.inf])
    assert PointPolicy().apply(given, TimeRange(0, 9)).good is given
    assert (PointPolicy().nan_loss, PointPolicy().time_loss, PointPolicy().leaves_out) == (None, None, False)


def test_losses_and_reasons_name_the_grid() -> None:
    policy = PointPolicy(1_000, place="the table")
    assert policy.too_fine == "time finer than the 1 µs that the table keeps"
    assert policy.time_loss is not None
    assert policy.time_loss.text.startswith("times are finer than the 1 µs that the table keeps: those points become")
    assert policy.finding_of(policy.too_fine) == "time_resolution"
    assert policy.finding_of(policy.time_taken) == "same_time"
    assert policy.finding_of("refused") == ""
    assert PointPolicy(1_000, "truncate").leaves_out


def test_texts_go_with_their_points() -> None:
    texts = np.array([None, "a", "b"], object)
    given = points([0, 1_000, 1_001], values=[1.0, math.nan, math.nan])._replace(texts=texts)
    policy = PointPolicy(1_000, "truncate")
    result = policy.apply(given, TimeRange(0, 9_000))
    assert result.good.texts is not None
    assert result.good.texts.tolist() == [None, "a"]
    [(dead, reason)] = result.dead
    assert (dead.texts, reason) == (["b"], policy.time_taken)
    chunk = Chunk.from_points(ChunkKey(("s",), TimeRange(0, 9_000)), {"s": given})
    assert policy.storable(chunk).points.texts is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"grid_ns": 0}, "grid_ns is 0"),
        ({"bad_status": -1}, "0 to 4294967295, or keep"),
        ({"nan": "no"}, "nan is 'no'"),
    ],
)
def test_what_cannot_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PointPolicy(**wrong)
