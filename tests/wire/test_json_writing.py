"""encode_datapoints: what a JSON parser reads back is what was put in, bit for bit, or it is refused by name."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnia_beam.core.timestamps import format_time
from omnia_beam.wire import decode_json_page, encode_datapoints, encode_series_datapoints, json_writing

EXACT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

TICKS = st.one_of(
    st.integers(16_000_000_000_000_000, 17_000_000_000_000_000),
    st.integers(-(2**63) // 100 + 1, (2**63 - 1) // 100),
    st.sampled_from([0, -1, 1, -(2**63) // 100 + 1, (2**63 - 1) // 100]),
)
"""Times in units of 100 ns."""
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 0.0, 5e-324, -5e-324, 1.7976931348623157e308, 1e22, 1e16, 1e-7, 0.1 + 0.2, 2.0**53 + 2]),
)
STATUSES = st.one_of(st.sampled_from([192, 0, 64]), st.integers(0, 2**32 - 1))
POINTS = st.lists(st.tuples(TICKS, VALUES, STATUSES), max_size=12)
SERIES = st.lists(st.tuples(st.text(max_size=8), POINTS), max_size=4)


def columns(points: list[tuple[int, float, int]]) -> tuple[Any, Any, Any]:
    times, values, statuses = ([point[nth] for point in points] for nth in range(3))
    return np.array(times, np.int64) * 100, np.array(values, np.float64), np.array(statuses, np.uint32)


def bits(points: list[dict[str, Any]]) -> list[tuple[str, bytes, int]]:
    return [(p["time"], struct.pack("<d", p["value"]), p["status"]) for p in points]


def wanted(points: list[tuple[int, float, int]]) -> list[tuple[str, bytes, int]]:
    return [(format_time(ticks * 100, 7), struct.pack("<d", value), status) for ticks, value, status in points]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_writing, "CHUNK_POINTS", 5)


@given(SERIES)
@EXACT
@pytest.mark.usefixtures("small_chunks")
def test_many_series_read_back_equal(series: list[tuple[str, list[tuple[int, float, int]]]]) -> None:
    response = json.loads(encode_datapoints([(series_id, *columns(points)) for series_id, points in series]))
    assert list(response) == ["items"]
    assert [list(item) for item in response["items"]] == [["id", "datapoints"]] * len(series)
    assert [(item["id"], bits(item["datapoints"])) for item in response["items"]] == [(i, wanted(p)) for i, p in series]
    assert all(list(p) == ["time", "value", "status"] for item in response["items"] for p in item["datapoints"])


@given(POINTS)
@EXACT
@pytest.mark.usefixtures("small_chunks")
def test_one_series_reads_back_equal(points: list[tuple[int, float, int]]) -> None:
    response = json.loads(encode_series_datapoints(*columns(points)))
    assert list(response) == ["datapoints"]
    assert bits(response["datapoints"]) == wanted(points)


def test_the_text_is_the_documented_one() -> None:
    points = [(16121732454200000, -0.000286, 192), (0, 1.0, 0)]
    assert encode_series_datapoints(*columns(points)) == (
        b'{"datapoints":[{"time":"2021-02-01T09:54:05.4200000Z","value":-0.000286,"status":192},'
        b'{"time":"1970-01-01T00:00:00.0000000Z","value":1.0,"status":0}]}'
    )
    assert encode_datapoints([]) == b'{"items":[]}'
    assert encode_datapoints([("a", *columns([]))]) == b'{"items":[{"id":"a","datapoints":[]}]}'


def test_many_points_of_any_bits() -> None:
    random = np.random.default_rng(5)
    n = 60_000
    values = random.integers(0, 2**64, n, dtype=np.uint64).view(np.float64)
    values = np.where(np.isfinite(values), values, -0.0)
    times = random.integers(-(2**63) // 100 + 1, (2**63 - 1) // 100, n) * 100
    statuses = random.integers(0, 2**32, n, dtype=np.uint32)
    response = json.loads(encode_datapoints([("a", times, values, statuses)]))["items"][0]["datapoints"]
    np.testing.assert_array_equal(np.array([p["value"] for p in response]).view(np.uint64), values.view(np.uint64))
    np.testing.assert_array_equal(np.array([p["status"] for p in response]), statuses)
    assert [p["time"] for p in response[:500]] == [format_time(t, 7) for t in times[:500].tolist()]
    # Our own reader, itself tested against another oracle, reads the rest of the times.
    years = [p for p in response if "1678" <= p["time"] < "2262"]
    page = decode_json_page(
        json.dumps({"data": {"items": [{"id": "a", "datapoints": years}]}}, separators=(",", ":")).encode()
    )
    inside = np.array(["1678" <= p["time"] < "2262" for p in response])
    np.testing.assert_array_equal(page.items[0].columns["time"], times[inside])


@pytest.mark.parametrize("step", [2, -1])
def test_columns_that_are_not_contiguous(step: int) -> None:
    points = [(n, n / 3, n % 5) for n in range(30)]
    assert encode_series_datapoints(*(c[::step] for c in columns(points))) == encode_series_datapoints(
        *columns(points[::step])
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({1: np.nan}, "index 3: the value is nan"),
        ({1: np.inf}, "index 3: the value is inf"),
        ({1: -np.inf}, "index 3: the value is -inf"),
        ({0: 12_345}, "index 3: the time 12345 ns is finer than the 100 ns"),
        ({0: -1}, "index 3: the time -1 ns is finer than the 100 ns"),
    ],
)
def test_what_json_cannot_hold_is_refused(change: dict[int, float], says: str) -> None:
    good = columns([(n, n / 3, 192) for n in range(6)])
    bad = columns([(n, n / 3, 192) for n in range(6)])
    for nth, number in change.items():
        bad[nth][3] = number
    with pytest.raises(ValueError, match=f"^series 'b', {says}"):
        encode_datapoints([("a", *good), ("b", *bad)])
    with pytest.raises(ValueError, match=f"^the series, {says}"):
        encode_series_datapoints(*bad)


def test_columns_of_another_shape_are_refused() -> None:
    times, values, statuses = columns([(1, 1.0, 1), (2, 2.0, 2)])
    with pytest.raises(ValueError, match=r"^series 'a': 2 times, 1 values, 2 statuses"):
        encode_datapoints([("a", times, values[:1], statuses)])
    with pytest.raises(ValueError, match=r"dtypes \['int64', 'float64', 'int64'\]; expected int64, float64, uint32"):
        encode_datapoints([("a", times, values, statuses.astype(np.int64))])
    with pytest.raises(ValueError, match=r"expected int64, float64, uint32"):
        encode_series_datapoints(times.astype(np.float64), values, statuses)
