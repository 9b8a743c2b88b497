"""Aggregates over real sockets, against Python's own statistics bucket by bucket."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.emulator.common.points import as_points
from omnia_beam.emulator.common.source import StoredPoints
from omnia_beam.emulator.omnia import aggregate
from omnia_beam.emulator.omnia.aggregate import FUNCTIONS, AggregateQuery
from omnia_beam.emulator.omnia.pagetoken import START
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, SECOND, identity
from tests.emulator.omnia.messages import Page, table
from tests.emulator.omnia.pages import PROTOBUF, ns_of, text_of

Start = Callable[..., EmulatorThread]
Buckets = dict[int, dict[str, float]]


def by_hand(points: list[tuple[int, float]], interval: int | None, start: int | None) -> Buckets:
    grouped: dict[int, list[float]] = defaultdict(list)
    for time_ns, value in sorted(points):
        grouped[time_ns // interval * interval if interval else start if start is not None else min(points)[0]].append(
            value
        )
    return {
        time_ns: {
            "avg": statistics.fmean(values),
            "min": min(values),
            "max": max(values),
            "sum": math.fsum(values),
            "stddev": statistics.stdev(values) if len(values) > 1 else 0.0,
            "count": len(values),
            "first": values[0],
            "last": values[-1],
        }
        for time_ns, values in grouped.items()
    }


def same(found: Buckets, expected: Buckets) -> None:
    assert list(found) == list(expected)
    for time_ns, bucket in expected.items():
        assert found[time_ns] == pytest.approx(bucket, rel=1e-9, abs=1e-9)


def computed(query: AggregateQuery) -> Buckets:
    rows, last = query.rows(START, 10**9)
    assert last
    assert rows.total == len(rows)
    columns = {column.name: column.values.tolist() for column in rows.columns}
    return {time_ns: {name: columns[name][row] for name in columns} for row, time_ns in enumerate(rows.times.tolist())}


_POINTS = st.dictionaries(st.integers(-500, 500), st.floats(-1e6, 1e6), max_size=80)


@given(
    _POINTS,
    st.integers(1, 300),
    st.one_of(st.none(), st.integers(-400, 0)),
    st.one_of(st.none(), st.integers(0, 400)),
    st.booleans(),
)
@settings(max_examples=200)
def test_every_bucket_is_what_statistics_give(
    points: dict[int, float], interval: int, start: int | None, stop: int | None, whole: bool
) -> None:
    times = sorted(points)
    source = StoredPoints(as_points(times, [points[time] for time in times], [time % 2 for time in times]))
    length = None if whole else interval
    for statuses in (None, (1,)):
        query = AggregateQuery("x", source, start, stop, 1000, FUNCTIONS, length, "none", statuses)
        inside = [
            (time, points[time])
            for time in times
            if (start is None or time >= start)
            and (stop is None or time < stop)
            and (statuses is None or time % 2 == 1)
        ]
        same(computed(query), by_hand(inside, length, start) if inside else {})


def test_buckets_over_block_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate, "BLOCK_POINTS", 7)
    drawn = np.random.default_rng(5).normal(1000, 3, 200)
    source = StoredPoints(as_points(np.arange(200) * 3, drawn))
    for interval in (1, 3, 50, 1000, None):
        points = list(zip((np.arange(200) * 3).tolist(), drawn.tolist(), strict=True))
        same(
            computed(AggregateQuery("x", source, None, None, 10, FUNCTIONS, interval)), by_hand(points, interval, None)
        )


def test_filling() -> None:
    source = StoredPoints(as_points([10, 12, 45], [1.0, 3.0, 11.0]))

    def filled(fill: Any, stop: int | None = 70) -> list[tuple[int, float, int]]:
        buckets = computed(AggregateQuery("x", source, 0, stop, 10, ("avg", "count"), 10, fill))
        return [(time, bucket["avg"], int(bucket["count"])) for time, bucket in buckets.items()]

    assert filled("none") == [(10, 2.0, 2), (40, 11.0, 1)]
    assert filled("previous") == [(10, 2.0, 2), (20, 2.0, 0), (30, 2.0, 0), (40, 11.0, 1), (50, 11.0, 0), (60, 11.0, 0)]
    assert filled("previous", None) == [(10, 2.0, 2), (20, 2.0, 0), (30, 2.0, 0), (40, 11.0, 1)]
    assert filled("linear") == [(10, 2.0, 2), (20, 5.0, 0), (30, 8.0, 0), (40, 11.0, 1)]
    nothing = AggregateQuery("x", source, 100, 200, 10, ("avg",), 10, "previous")
    assert computed(nothing) == {}


def read(response: requests.Response) -> tuple[Buckets, str]:
    assert response.status_code == 200, response.text
    if response.headers["Content-Type"] == "application/json":
        body = response.json()
        item = body["data"]["items"][0]
        rows = {ns_of(row.pop("time")): row for row in item["datapoints"]}
        return rows, body["continuationToken"] or ""
    page = Page.FromString(response.content)
    columns = table(page.data[0])
    times = columns.pop("time")
    return {
        time_ns: {name: columns[name][row] for name in columns} for row, time_ns in enumerate(times)
    }, page.continuationToken


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF[0]])
@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("5m", 300), ("1h", 3600), ("20d", 20 * 86_400)])
def test_over_http_with_paging(emulator: Start, http: requests.Session, accept: str, text: str, seconds: int) -> None:
    running = emulator()
    key = identity("steady")
    points = running.store.series[key].points()
    start, stop = BASE + 30 * SECOND, BASE + 1830 * SECOND
    inside = [
        (time, value)
        for time, value in zip(points.times.tolist(), points.values.tolist(), strict=True)
        if start <= time < stop
    ]
    expected = by_hand(inside, seconds * SECOND, start)
    params: dict[str, Any] = {
        "aggregateFunction": list(FUNCTIONS),
        "processingInterval": text,
        "startTime": text_of(start),
        "endTime": text_of(stop),
        "limit": 500,
    }
    found, token, pages = {}, "", 0
    while pages == 0 or token:
        more = {"continuationToken": token} if token else {}
        part, token = read(
            http.get(f"{running.url}/{key}/data/aggregates", params=params | more, headers={"Accept": accept})
        )
        found |= part
        pages += 1
    same(found, expected)
    assert pages == -(-len(expected) // 500)
    assert all(set(row) == set(FUNCTIONS) for row in found.values())


def test_without_an_interval_there_is_one_bucket(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    params: dict[str, Any] = {"aggregateFunction": "count", "status": 64}
    found, _ = read(http.get(f"{running.url}/{identity('steady')}/data/aggregates", params=params))
    assert found == {BASE: {"count": 1667}}
    params["startTime"] = text_of(BASE - 5 * SECOND)
    found, _ = read(http.get(f"{running.url}/{identity('steady')}/data/aggregates", params=params))
    assert found == {BASE - 5 * SECOND: {"count": 1667}}


def test_raw_and_aggregates_in_one_request(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    key = identity("steady")
    items = [
        {"id": key, "aggregateFunctions": ["avg", "count"], "processingInterval": "15m", "limit": 3},
        {"id": key, "limit": 2},
        {"id": identity("empty"), "aggregateFunctions": ["max"], "processingInterval": "1h", "fill": "previous"},
    ]
    body = http.post(f"{running.url}/query/data", json=items, params={"alignToCache": "True"}).json()
    kinds = [[set(row) for row in item["datapoints"]] for item in body["data"]["items"]]
    assert kinds == [[{"time", "avg", "count"}] * 3, [{"time", "value", "status"}] * 2, []]
    page = Page.FromString(http.post(f"{running.url}/query/data", json=items, headers={"Accept": PROTOBUF[0]}).content)
    assert [list(item.fields) for item in page.data] == [
        ["time", "avg", "count"],
        ["time", "value", "status"],
        ["time", "max"],
    ]
    assert [value.WhichOneof("value") for value in page.data[0].values[:3]] == ["int64", "double", "uint64"]


@pytest.mark.parametrize(
    "params",
    [{}, {"aggregateFunction": "median"}, {"aggregateFunction": "avg", "processingInterval": "5"},
     {"aggregateFunction": "avg", "processingInterval": "0s"}, {"aggregateFunction": "avg", "processingInterval": "5 m"},
     {"aggregateFunction": "avg", "fill": "next"}, {"aggregateFunction": "avg", "alignToCache": "if possible"},
     {"aggregateFunction": "avg", "processingInterval": "1s", "fill": "previous", "endTime": "2200-01-01"}],
)  # fmt: skip
def test_what_is_refused(emulator: Start, http: requests.Session, params: dict[str, str]) -> None:
    assert http.get(f"{emulator().url}/{identity('steady')}/data/aggregates", params=params).status_code == 400
