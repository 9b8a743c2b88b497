"""Hypothesis strategies for points, keys and chunks, with every double there is."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS
from omnia_beam.core.window import ChunkKey

SPECIAL_BITS = [
    0x0000000000000000,  # 0.0
    0x8000000000000000,  # -0.0
    0x7FF0000000000000,  # inf
    0xFFF0000000000000,  # -inf
    0x7FF8000000000000,  # NaN
    0xFFF8000000000001,  # NaN with a sign and a payload
    0x7FF0000000000001,  # a signalling NaN
    0x0000000000000001,  # the smallest denormal
]
bits = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from(SPECIAL_BITS))
statuses = st.one_of(st.sampled_from([192, 192, 192, 64, 0]), st.integers(0, 2**32 - 1))
series_ids = st.text(st.characters(codec="utf-8"), max_size=12)
groups = st.lists(series_ids, min_size=1, max_size=5, unique=True).map(lambda ids: tuple(sorted(ids)))


def as_points(rows: list[tuple[int, int, int]]) -> Points:
    """From (time, bits of the value, status) rows."""
    times, values, codes = zip(*rows, strict=True) if rows else ((), (), ())
    return Points(np.array(times, np.int64), np.array(values, np.uint64).view(np.float64), np.array(codes, np.uint32))


def as_rows(points: Points) -> list[tuple[int, int, int]]:
    """The (time, bits of the value, status) rows of points: comparing them compares bit for bit."""
    values = np.ascontiguousarray(points.values).view(np.uint64)
    return list(zip(points.times.tolist(), values.tolist(), points.statuses.tolist(), strict=True))


def rows(start_ns: int = MIN_TIME_NS, end_ns: int = MAX_TIME_NS, max_size: int = 12):
    """Rows that ascend in time inside `[start_ns, end_ns)`, each time once."""
    row = st.tuples(st.integers(start_ns, end_ns - 1), bits, statuses)
    return st.lists(row, max_size=max_size, unique_by=lambda each: each[0]).map(sorted)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[Chunk, dict[str, list[tuple[int, int, int]]]]:
    """A chunk and the rows of each of its series, none of them for some."""
    start = draw(st.sampled_from([MIN_TIME_NS, -50, 0, 1_704_067_200 * 10**9, MAX_TIME_NS - 100]))
    time_range = TimeRange(start, start + draw(st.integers(1, 100)))
    key = ChunkKey(draw(groups), time_range)
    held = draw(st.lists(st.sampled_from(key.series_ids), unique=True))
    by_id = {series_id: draw(rows(time_range.start_ns, time_range.end_ns)) for series_id in held}
    stored = draw(st.none() | st.lists(series_ids, min_size=len(key.series_ids), max_size=len(key.series_ids)))
    chunk = Chunk.from_points(key, {series_id: as_points(each) for series_id, each in by_id.items()}, stored)
    return chunk, {series_id: by_id.get(series_id, []) for series_id in key.series_ids}
