"""After a mapping, points are stored in the order of the target's ids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.csv.write import in_stored_order

KEY = ChunkKey(("a", "b", "c"), TimeRange(0, 100))


@given(
    ids=st.lists(st.sampled_from(["x", "y", "z"]), min_size=3, max_size=3),
    times=st.lists(st.sets(st.integers(0, 99), max_size=8), min_size=3, max_size=3),
)
def test_points_are_sorted_by_stored_id_and_time(ids: list[str], times: list[set[int]]) -> None:
    points = {
        name: Points(
            np.array(sorted(mine), np.int64), np.arange(len(mine)) + 100.0 * code, np.full(len(mine), code, np.uint32)
        )
        for code, (name, mine) in enumerate(zip("abc", times, strict=True))
    }
    chunk = Chunk.from_points(KEY, points, ids)
    batch = in_stored_order(chunk)
    rows = list(
        zip(
            *(column.to_pylist() for column in (batch.column(0), batch.column(1).cast("int64"), batch.column(2))),
            strict=True,
        )
    )
    expected = [
        (ids[code], t, value)
        for code, name in enumerate("abc")
        for t, value in zip(points[name].times.tolist(), points[name].values.tolist(), strict=True)
    ]
    assert [row[:2] for row in rows] == sorted(row[:2] for row in expected)
    assert sorted(rows) == sorted(expected)


def test_without_a_mapping_nothing_moves() -> None:
    chunk = Chunk.from_points(KEY, {})
    assert in_stored_order(chunk) is chunk.batch
