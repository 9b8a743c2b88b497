from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.net.api.datapoints import Datapoint, Datapoints, joined

POINTS = st.lists(
    st.builds(Datapoint, st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.integers(0, 2**32 - 1)),
    max_size=30,
)


@given(POINTS)
def test_points_in_points_out(points: list[Datapoint]) -> None:
    columns = Datapoints.of_points("a", points)
    assert list(columns) == points
    assert len(columns) == len(points)
    assert [columns.times.dtype, columns.values.dtype, columns.statuses.dtype] == [np.int64, np.float64, np.uint32]
    assert columns == Datapoints.of("a", columns.times, columns.values, columns.statuses)


@given(POINTS, st.none() | st.integers(-(2**62), 2**62), st.none() | st.integers(-(2**62), 2**62))
def test_between_is_half_open(points: list[Datapoint], start: int | None, end: int | None) -> None:
    kept = Datapoints.of_points("a", points).between(start, end)
    assert list(kept) == [p for p in points if (start is None or start <= p.time) and (end is None or p.time < end)]


@given(POINTS, st.lists(st.integers(0, 30)))
def test_joining_what_was_cut_changes_nothing(points: list[Datapoint], cuts: list[int]) -> None:
    whole = Datapoints.of_points("a", points)
    edges = [0, *sorted(min(cut, len(points)) for cut in cuts), len(points)]
    parts = [Datapoints.of_points("a", points[a:b]) for a, b in pairwise(edges)]
    assert joined("a", parts) == whole


def test_arrow_has_the_promised_types() -> None:
    table = Datapoints.of("a", [1, 2], [0.5, -0.0], [192, 2**32 - 1]).to_arrow()
    assert table.schema == pa.schema(
        [("time", pa.timestamp("ns", tz="UTC")), ("value", pa.float64()), ("status", pa.uint32())]
    )
    assert table["time"].cast(pa.int64()).to_pylist() == [1, 2]


def test_pandas_or_a_word_on_how_to_get_it() -> None:
    points = Datapoints.of("a", ["2024-01-01T00:00:00.0000001Z"], [1.5])
    try:
        import pandas as pd
    except ModuleNotFoundError:
        with pytest.raises(UsageError, match="pip install pandas"):
            points.to_pandas()
        return
    frame = points.to_pandas()
    assert list(frame.columns) == ["value", "status"]
    assert frame.index[0] == pd.Timestamp("2024-01-01T00:00:00.0000001Z")
    assert frame.index.name == "time"


@pytest.mark.parametrize(
    "times",
    [
        ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"],
        [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)],
        np.array([1, 2], "datetime64[s]"),
        np.array([10**9, 2 * 10**9]),
        np.array([10**9, 2 * 10**9], np.uint64),
        (10**9, np.datetime64(2000, "ms")),
    ],
    ids=["text", "datetime", "datetime64", "int64", "uint64", "mixed"],
)
def test_times_of_every_kind(times: Any) -> None:
    assert Datapoints.of("a", times, [1, 2]).times.tolist() == [10**9, 2 * 10**9]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([1], [1.0, 2.0]), "1 times but 2 values"),
        ((np.array(["NaT"], "datetime64[ns]"), [1.0]), "NaT"),
        ((np.array([2**62], "datetime64[s]"), [1.0]), "64-bit"),
        ((np.array([2**63], np.uint64), [1.0]), "64-bit"),
        ((np.array([0.5]), [1.0]), "no time"),
        (([1], [1.0], [-1]), "status outside"),
        (([1], [1.0], [2**32]), "status outside"),
        (([1], [1.0], [0.5]), "whole numbers"),
    ],
)
def test_what_a_column_cannot_hold_is_refused(arguments: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Datapoints.of("a", *arguments)


def test_equality_is_of_bits() -> None:
    assert Datapoints.of("a", [1], [float("nan")]) == Datapoints.of("a", [1], [float("nan")])
    assert Datapoints.of("a", [1], [0.0]) != Datapoints.of("a", [1], [-0.0])
    assert Datapoints.of("a", [1], [0.0]) != Datapoints.of("b", [1], [0.0])
    assert "2 of time, value, status, 1970-01-01T00:00:00.000000001Z to" in repr(Datapoints.of("a", [1, 2], [0, 0]))
