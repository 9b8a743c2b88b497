"""What is asked of the service for raw data, and how counts are made of its answers, whichever way it counts limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnia_beam.core.errors import NotTheServiceError, SelectionError, UsageError
from omnia_beam.net.api.raw_data import RawQuery, fetch_page, outward, probe_counts
from tests.wire import timeseries_pb2 as pb

PROTO = "application/protobuf"
A, B, C = "0000-a", "0000-b", "0000-c"
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64, INT64)
@example(0, -9_223_372_036_000_000_001)
def test_bounds_are_rounded_outward_to_what_seven_decimals_hold(one: int, other: int) -> None:
    start, end = sorted((one, other))
    texts = outward(start, end)
    assert all(len(text.partition(".")[2]) == 8 for text in texts)
    down, up = (_ticks(text) for text in texts)
    assert down * 100 <= start < down * 100 + 100
    assert up * 100 - 100 < end <= up * 100


def _ticks(text: str) -> int:
    """Counted in 100 ns, by the standard library: the outermost ticks lie beyond what 64 bits of ns hold."""
    seconds, _, fraction = text.partition(".")
    moment = datetime.fromisoformat(seconds + "+00:00") - datetime(1970, 1, 1, tzinfo=UTC)
    return moment // timedelta(seconds=1) * 10**7 + int(fraction[:7])


def page(*items: tuple[str, int, int], token: str = "") -> bytes:
    """A protobuf answer: (id, totalCount, points in the page) each."""
    response = pb.CompactDatapointsDto(continuationToken=token)
    for series_id, total, points in items:
        item = response.data.add(id=series_id, totalCount=total, fields=["time", "value", "status"] if points else [])
        for n in range(points):
            item.values.add(int64=n)
            item.values.add(double=0.5)
            item.values.add(uint32=192)
    return response.SerializeToString()


def test_one_series_is_a_get(service: Any, session_on: Any) -> None:
    service.script = [service.response(200, b"bytes", PROTO)]
    query = RawQuery((A,), 150, 10**9 + 1, 5000, statuses=(192, 64), federation_source="TSDB")
    assert fetch_page(session_on(service.url), query, "next+/=") == b"bytes"
    seen = service.requests[0]
    assert (seen.method, seen.path) == ("GET", f"/plant/timeseries/v1.7/{A}/data")
    assert seen.headers["accept"] == PROTO
    assert parse_qsl(seen.query) == [
        ("startTime", "1970-01-01T00:00:00.0000001Z"),
        ("endTime", "1970-01-01T00:00:01.0000001Z"),
        ("status", "192"),
        ("status", "64"),
        ("limit", "5000"),
        ("federationSource", "TSDB"),
        ("continuationToken", "next+/="),
    ]


def test_several_series_are_a_post_that_may_be_repeated(service: Any, session_on: Any) -> None:
    service.script = [service.response(502, b""), service.response(200, b'{"data": {}}')]
    query = RawQuery((A, B), 0, 100, statuses=(192,), format="json")
    session = session_on(service.url, federation_source="IMS")
    assert fetch_page(session, query, "t") == b'{"data": {}}'
    assert service.requests[0].body == service.requests[1].body
    seen = service.requests[1]
    assert (seen.method, seen.path) == ("POST", "/plant/timeseries/v1.7/query/data")
    assert parse_qsl(seen.query) == [("federationSource", "IMS"), ("continuationToken", "t")]
    assert json.loads(seen.body) == [
        {
            "id": series_id,
            "startTime": "1970-01-01T00:00:00.0000000Z",
            "endTime": "1970-01-01T00:00:00.0000001Z",
            "limit": 100_000,
            "statusFilter": [192],
        }
        for series_id in (A, B)
    ]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"series_ids": ()}, "0 series"),
        ({"series_ids": tuple(map(str, range(101)))}, "101 series"),
        ({"series_ids": ("a", "A")}, "named twice"),
        ({"series_ids": ("a", "..")}, "is an id empty"),
        ({"end_ns": 0}, "is empty"),
        ({"limit": 0}, "a page of 0 points"),
        ({"limit": 100_001}, "a page of 100001 points"),
        ({"format": "xml"}, "protobuf or json"),
    ],
)
def test_a_query_that_cannot_be_is_refused(bad: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        RawQuery(**{"series_ids": ("a",), "start_ns": 0, "end_ns": 10, **bad})


def test_counts_where_the_limit_is_per_series(service: Any, session_on: Any) -> None:
    service.script = [service.response(200, page((B.upper(), 7, 1), (A, 10**11, 1), (C, 0, 0)), PROTO)]
    counts = probe_counts(session_on(service.url), (A, B, C), 0, 100)
    assert list(counts.items()) == [(A, 10**11), (B, 7), (C, 0)]
    assert [item["limit"] for item in json.loads(service.requests[0].body)] == [1, 1, 1]
    assert len(service.requests) == 1


def test_counts_where_the_limit_is_per_answer(service: Any, session_on: Any) -> None:
    service.script = [
        service.response(200, page((A, 3, 1), token="more"), PROTO),
        service.response(200, page((B, 7, 1)), PROTO),
        service.response(200, page(), PROTO),
    ]
    assert probe_counts(session_on(service.url), (A, B, C), 0, 100) == {A: 3, B: 7, C: 0}
    assert [request.method for request in service.requests] == ["POST", "GET", "GET"]
    assert dict(parse_qsl(service.requests[1].query))["limit"] == "1"


def test_a_service_without_totals_still_shows_that_there_is_something(service: Any, session_on: Any) -> None:
    service.script = [service.response(200, page((A, 0, 1)), PROTO)]
    assert probe_counts(session_on(service.url), (A,), 0, 100) == {A: 1}


def test_an_unknown_series_is_named(service: Any, session_on: Any) -> None:
    missing = service.response(404, b'{"statusCode": 404, "message": "Timeseries not found."}')
    anything = service.response(200, b'{"data": {"items": []}}')  # to the question whether this is the service at all
    service.script = [missing, anything, service.response(200, page((A, 3, 1)), PROTO), missing]
    with pytest.raises(SelectionError, match=rf"series {B} is not known to http://127.*Timeseries not found") as caught:
        probe_counts(session_on(service.url), (A, B, C), 0, 100)
    assert caught.value.__context__ is None


def test_json_instead_of_protobuf_is_told(service: Any, session_on: Any) -> None:
    with pytest.raises(NotTheServiceError):
        probe_counts(session_on(service.url), (A,), 0, 100)
