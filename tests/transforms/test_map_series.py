"""Mapping a chunk: against Python's own arithmetic and dictionaries, point by point."""

from __future__ import annotations

import math
import struct
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.beam.runner import make_runner, pipeline_options
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.transforms.map_series import MapSeries
from omnia_beam.transforms.map_status import StatusRule
from omnia_beam.transforms.series_rule import SeriesRule, map_chunk

KEY = ChunkKey(("a", "b"), TimeRange(0, 1_000))

Point = tuple[int, bytes, int]

statuses = st.sampled_from([0, 8, 64, 192, 2**32 - 1])
series = st.lists(st.tuples(st.floats(), statuses), max_size=10)
rules = st.builds(
    SeriesRule,
    st.sampled_from(["x", "y"]),
    st.one_of(st.just(1.0), st.floats(allow_nan=False, allow_infinity=False).filter(bool)),
    st.one_of(st.just(0.0), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(
        st.none(),
        st.builds(
            StatusRule,
            st.dictionaries(statuses, statuses),
            st.one_of(st.sampled_from(["carry", "reject"]), statuses),
        ),
    ),
)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def points_of(rows: list[tuple[float, int]]) -> Points:
    return Points(
        np.arange(len(rows), dtype=np.int64),
        np.array([value for value, _ in rows], np.float64),
        np.array([status for _, status in rows], np.uint32),
    )


def plain(points: Points) -> list[Point]:
    return [(t, bits(v), s) for t, v, s in zip(*(column.tolist() for column in points[:3]), strict=True)]


def expected(rows: list[tuple[float, int]], rule: SeriesRule) -> tuple[list[Point], list[Point]]:
    """Points of the target, and those of the source that it cannot hold."""
    kept, refused = [], []
    for t, (value, status) in enumerate(rows):
        new = value
        if rule.scale != 1.0:
            new = new * rule.scale
        if rule.offset != 0.0:
            new = new + rule.offset
        image: int | None = status
        if rule.status is not None:
            unlisted = {"carry": status, "reject": None}.get(str(rule.status.unlisted), rule.status.unlisted)
            image = rule.status.table.get(status, unlisted)  # type: ignore[arg-type]  # None or an int by now
        if image is None or (math.isfinite(value) and not math.isfinite(new)):
            refused.append((t, bits(value), status))
        else:
            kept.append((t, bits(new), image))
    return kept, refused


@given(a=series, b=series, rule_a=rules, rule_b=rules)
def test_each_point_is_mapped_as_python_would(
    a: list[tuple[float, int]], b: list[tuple[float, int]], rule_a: SeriesRule, rule_b: SeriesRule
) -> None:
    chunk = Chunk.from_points(KEY, {"a": points_of(a), "b": points_of(b)})
    mapped, letters = map_chunk(chunk, {"a": rule_a, "b": rule_b})
    assert mapped.key == KEY
    assert mapped.series_ids == (rule_a.target_id, rule_b.target_id)
    for (source_id, _, points), rows, rule in zip(mapped.by_series(), (a, b), (rule_a, rule_b), strict=True):
        kept, refused = expected(rows, rule)
        assert plain(points) == kept
        mine = [letter for letter in letters if letter.source_id == source_id]
        assert sorted(each for letter in mine for each in plain(letter.points)) == sorted(refused)
        assert all((letter.target_id, letter.key) == (rule.target_id, KEY) for letter in mine)


def test_reasons_say_which_status_and_which_factor() -> None:
    chunk = Chunk.from_points(KEY, {"a": points_of([(1.0, 7), (1e300, 192), (1.0, 9), (2.0, 7)])})
    rule = SeriesRule("x", 1e10, 0.0, StatusRule({192: 0}, "reject"))
    mapped, letters = map_chunk(chunk, {"a": rule, "b": rule})
    assert mapped.num_points == 0
    assert {letter.reason: letter.count for letter in letters} == {
        "status 7 has no image in the status map": 2,
        "status 9 has no image in the status map": 1,
        "value · 10000000000.0 + 0.0 is more than a float64 can hold": 1,
    }


def test_a_series_without_a_rule_is_refused() -> None:
    chunk = Chunk.from_points(KEY, {})
    with pytest.raises(ValueError, match="no rule says what becomes of series 'b'"):
        map_chunk(chunk, {"a": SeriesRule("x")})


def test_in_a_pipeline() -> None:
    chunk = Chunk.from_points(KEY, {"a": points_of([(1.5, 192), (2.0, 7)])})
    rules = {"a": SeriesRule("x", 2.0, 1.0, StatusRule({192: 0}, "reject")), "b": SeriesRule("y")}

    def mapped(chunks: list[Chunk]) -> None:
        assert [plain(points) for _, _, points in chunks[0].by_series()] == [[(0, bits(4.0), 0)], []]

    def rejected(letters: list[DeadLetter]) -> None:
        assert [plain(letter.points) for letter in letters] == [[(1, bits(2.0), 7)]]

    options: Any = pipeline_options(None, [])
    with beam.Pipeline(runner=make_runner(options), options=options) as pipeline:
        outputs = pipeline | beam.Create([chunk]) | MapSeries(rules)
        assert_that(outputs.chunks, mapped)
        assert_that(outputs.dead_letters, rejected, label="dead letters")
