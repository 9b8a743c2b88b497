"""Reading through the client: paging, cutting, counting, refusing; against a scripted service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from omnia_beam.core.errors import (
    IncompleteReadError,
    NotTheServiceError,
    UsageError,
    WireFormatError,
)
from omnia_beam.net.api import items
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.datapoints import Datapoint, Datapoints
from omnia_beam.net.api.series_query import SeriesQuery
from omnia_beam.net.http.retry import RetryPolicy
from tests.wire import timeseries_pb2 as pb

PROTO = "application/protobuf"
BASE = 1_700_000_000_000_000_000


@pytest.fixture
def client(service: Any) -> Iterator[OmniaClient]:
    with OmniaClient(service.url, requests_per_second=None, environ={}, retry=RetryPolicy(2, 10, 0)) as made:
        yield made


def page(*items: tuple[str, list[int]], token: str = "", total: int | None = None, fields: str = "value") -> bytes:
    """Points at BASE plus these ns, of these series."""
    response = pb.CompactDatapointsDto(continuationToken=token)
    for series_id, offsets in items:
        item = response.data.add(id=series_id, totalCount=len(offsets) if total is None else total)
        item.fields.extend(["time", fields, "status"] if fields == "value" else ["time", fields])
        for offset in offsets:
            item.values.add(int64=BASE + offset)
            item.values.add(double=offset / 2)
            if fields == "value":
                item.values.add(uint32=192)
    return response.SerializeToString()


def serve(service: Any, *pages: bytes) -> None:
    service.requests.clear()
    service.script = [service.response(200, each, PROTO) for each in pages]


def offsets(points: Datapoints) -> list[int]:
    return [int(time) - BASE for time in points.times]


def tokens(service: Any) -> list[str | None]:
    return [parse_qs(request.query).get("continuationToken", [None])[0] for request in service.requests]


def test_pages_are_joined_and_cut_to_the_range(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0, 50, 99]), token="t+1", total=6), page(("a", [100, 149, 150]), total=6))
    points = client.get_datapoints("A", BASE, BASE + 150)
    assert points.series_id == "A"
    assert offsets(points) == [0, 50, 99, 100, 149]
    assert points.values.tolist() == [0, 25, 49.5, 50, 74.5]
    assert tokens(service) == [None, "t+1"]
    assert parse_qs(service.requests[0].query)["endTime"] == ["2023-11-14T22:13:20.0000002Z"]


@pytest.mark.parametrize("stray", [-1, 201, 10**15])
def test_a_point_beyond_the_rounded_range_is_no_answer(service: Any, client: OmniaClient, stray: int) -> None:
    for read in (
        lambda: client.get_datapoints("a", BASE, BASE + 150),
        lambda: client.get_multi_datapoints(["a"], BASE, BASE + 150),
        lambda: client.get_latest_datapoint("a", BASE, BASE + 200),
        lambda: client.get_first_multi_datapoint([SeriesQuery(id="a", start_time=BASE, end_time=BASE + 150)]),
    ):
        serve(service, page(("a", [stray])))
        with pytest.raises(IncompleteReadError, match="the response is to another request"):
            read()


def test_outside_points_are_kept_when_asked_for(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [-50, 0, 999])))
    assert offsets(client.get_datapoints("a", BASE, BASE + 10, include_outside_points=True)) == [-50, 0, 999]


def test_pages_are_fetched_as_they_are_needed(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0]), token="t", total=2), page(("a", [1]), total=2))
    pieces = client.iter_datapoints("a")
    assert service.requests == []
    assert offsets(next(pieces)) == [0]
    assert len(service.requests) == 1


def test_a_limit_ends_the_paging(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0, 1]), token="t", total=9), page(("a", [2, 3]), token="u", total=9))
    assert offsets(client.get_datapoints("a", limit=3)) == [0, 1, 2]
    assert len(service.requests) == 2


def test_nothing_is_an_empty_column_of_the_right_kind(service: Any, client: OmniaClient) -> None:
    serve(service, page())
    points = client.get_datapoints("a")
    assert points == Datapoints.of("a", [], [])
    assert client.get_aggregates("a", ["avg"], "1h").columns.keys() == {"time", "avg"}
    assert client.get_first_datapoint("a") is None


def test_the_range_of_aggregates_is_cut_at_its_end_alone(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [-5, 0, 10]), fields="avg"))
    found = client.get_aggregates("a", ["avg"], "1h", BASE, BASE + 10)
    assert offsets(found) == [-5, 0]
    assert found.columns["avg"].tolist() == [-2.5, 0]
    with pytest.raises(KeyError):
        found.values


def test_fewer_points_than_the_service_counts(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0, 1]), token="t", total=4), page(("a", [2]), total=4))
    with pytest.raises(IncompleteReadError, match="of a the service counts 4 points but sent 3") as caught:
        client.get_datapoints("a")
    assert (caught.value.expected, caught.value.received) == (4, 3)
    serve(service, page(("a", [0]), ("b", []), total=2))
    with pytest.raises(IncompleteReadError, match="of a the service"):
        client.get_multi_datapoints(["a", "b"])


def test_more_points_than_the_service_counts(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0, 1]), token="t", total=2), page(("a", [2]), total=3))
    with pytest.raises(IncompleteReadError, match="counts 2 points but sent 3"):
        client.get_datapoints("a")


def test_points_outside_may_come_beside_those_that_are_counted(service: Any, client: OmniaClient) -> None:
    for total in (1, 2, 3):
        serve(service, page(("a", [-50, 0, 999]), total=total))
        assert len(client.get_datapoints("a", BASE, BASE + 10, include_outside_points=True)) == 3
    serve(service, page(("a", [-50, 0, 5, 999]), total=1))
    with pytest.raises(IncompleteReadError, match="counts 1 point but sent 4"):
        client.get_datapoints("a", BASE, BASE + 10, include_outside_points=True)


def test_a_status_filter_is_counted_too(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0]), total=9))
    for read in (client.get_datapoints, lambda id, **by: client.get_multi_datapoints([id], **by)):
        with pytest.raises(IncompleteReadError, match="counts 9 points but sent 1"):
            read("a", status=[192])


def test_points_of_many_pages_are_sorted_and_each_is_there_once(service: Any, client: OmniaClient) -> None:
    pages = [page(("a", [4, 0, 2]), token="t", total=0), page(("a", [3, 2, 1]), total=0)]
    serve(service, *pages)
    assert offsets(client.get_datapoints("a")) == [0, 1, 2, 3, 4]
    serve(service, *pages)
    pieces = client.iter_datapoints("a")
    assert offsets(next(pieces)) == [0, 2, 4]
    with pytest.raises(IncompleteReadError, match="pages of a that overlap in time"):
        next(pieces)


def test_two_points_of_one_time(service: Any, client: OmniaClient) -> None:
    other = page(("a", [8])).replace(page(("a", [8]))[-11:], page(("a", [9]))[-11:])  # the value of 9 at the time of 8
    serve(service, page(("a", [8]), token="t", total=2), other)
    with pytest.raises(IncompleteReadError, match="two different points for the time"):
        client.get_datapoints("a")


def test_a_column_that_is_missing(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0]), fields="avg"))
    with pytest.raises(WireFormatError, match="raw data needs time, value and status"):
        client.get_datapoints("a")


def test_another_series_than_that_of_the_path(service: Any, client: OmniaClient) -> None:
    serve(service, page(("b", [0])))
    for read in (client.get_datapoints, client.get_latest_datapoint, lambda id: list(client.iter_datapoints(id))):
        with pytest.raises(IncompleteReadError, match="sent series 'b', which was not requested"):
            read("a")


def test_a_page_that_repeats_for_ever(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0]), token="t", total=9))
    with pytest.raises(IncompleteReadError, match="GET /a/data: the service repeats a page for ever"):
        client.get_datapoints("a")
    assert tokens(service) == [None] + ["t"] * 6


def test_a_page_that_comes_in_place_of_the_next(service: Any, client: OmniaClient) -> None:
    first = page(("a", [0]), token="t", total=2)
    serve(service, first, first, first, page(("a", [1]), total=2))
    assert offsets(client.get_datapoints("a")) == [0, 1]
    assert tokens(service) == [None, "t", "t", "t"]


def test_pages_that_come_round_again(service: Any, client: OmniaClient) -> None:
    first, second = page(("a", [0]), token="t", total=9), page(("a", [1]), token="u", total=9)
    service.script = [service.response(200, body, PROTO) for body in (first, second) * 3]
    with pytest.raises(IncompleteReadError, match="repeats a page for ever, under other tokens"):
        client.get_datapoints("a")
    assert len(service.requests) == 3


@pytest.mark.parametrize("last", ["t9", ""])
def test_the_same_points_under_another_token(service: Any, client: OmniaClient, last: str) -> None:
    serve(service, page(("a", [0]), token="t1", total=9), page(("a", [0]), token=last, total=9))
    with pytest.raises(IncompleteReadError, match="repeats a page for ever, under other tokens"):
        client.get_datapoints("a")


def test_ever_new_tokens_without_points(service: Any, client: OmniaClient) -> None:
    serve(service, *(page(("a", []), token=f"t{n}", total=9) for n in range(150)))
    with pytest.raises(IncompleteReadError, match="100 pages without points in a row, and no end"):
        client.get_multi_datapoints(["a"])
    assert len(service.requests) == 100


@pytest.mark.parametrize("repeats", [5, 6])
def test_a_list_passes_over_a_few_repeated_pages(service: Any, client: OmniaClient, repeats: int) -> None:
    def listed(name: str, token: str | None) -> bytes:
        return json.dumps({"data": {"items": [{"id": name, "name": name}]}, "continuationToken": token}).encode()

    bodies = [listed("A", "t"), *(listed("A", f"t{n}") for n in range(repeats)), listed("B", None)]
    service.script = [service.response(200, body) for body in bodies]
    found = client.search_timeseries(name="N*")
    if repeats == 5:
        assert [each.id for each in found] == ["A", "B"]
        return
    with pytest.raises(NotTheServiceError, match="GET /search: the service repeats a page for ever"):
        list(found)


@pytest.mark.parametrize("pages", [3, 4])
def test_a_list_without_end(service: Any, client: OmniaClient, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Each page holds ten other series; up to the bound a list is believed."""
    monkeypatch.setattr(items, "MOST_ITEMS", 30)
    for number in range(pages):
        listed = [{"id": f"S{number}-{n}", "name": f"N{n}"} for n in range(10)]
        token = {"continuationToken": f"t{number}"} if number < pages - 1 else {}
        service.script[number:] = [service.response(200, json.dumps({"data": {"items": listed}, **token}).encode())]
    found = client.search_timeseries(name="N*")
    if pages == 3:
        assert len(list(found)) == 30
        return
    with pytest.raises(NotTheServiceError, match="has given 40 items and continues"):
        list(found)


def test_one_token_for_all_pages_is_no_loop(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0]), token="t", total=2), page(("a", [1]), token="t", total=2), page(total=2))
    assert offsets(client.get_datapoints("a")) == [0, 1]


def test_many_series_in_hundreds_whole_and_in_order(service: Any, client: OmniaClient) -> None:
    ids = [f"S{n}" for n in range(150)]
    serve(
        service,
        page(*((id.lower(), [n]) for n, id in enumerate(ids[:60])), token="t"),
        page(*((id.lower(), [n]) for n, id in enumerate(ids[60:100], 60))),
        page(*((id, [n]) for n, id in reversed(list(enumerate(ids))[100:]))),
    )
    found = client.get_multi_datapoints(iter(ids))
    assert list(found) == ids
    assert [offsets(points) for points in found.values()] == [[n] for n in range(150)]
    assert [len(json.loads(request.body)) for request in service.requests] == [100, 100, 50]
    assert tokens(service) == [None, "t", None]


def test_every_series_has_its_own_range(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [0, 5, 10]), ("b", [0, 5, 10])))
    found = client.get_multi_datapoints(["a", SeriesQuery(id="b", start_time=BASE + 5)], BASE, BASE + 10)
    assert {id: offsets(points) for id, points in found.items()} == {"a": [0, 5], "b": [5, 10]}


def test_a_series_that_nobody_asked_for(service: Any, client: OmniaClient) -> None:
    serve(service, page(("z", [0])))
    for read in (client.get_multi_datapoints, client.get_latest_multi_datapoint):
        with pytest.raises(IncompleteReadError, match="'z', which was not requested"):
            read(["a"])


def test_latest_of_many(service: Any, client: OmniaClient) -> None:
    serve(service, page(("a", [7]), ("b", [])))
    assert client.get_latest_multi_datapoint(["A", "b", "c"]) == {
        "A": Datapoint(BASE + 7, 3.5, 192),
        "b": None,
        "c": None,
    }


def test_the_name_tells_the_id(service: Any, client: OmniaClient) -> None:
    serve(service, page(("0a-1b", [0])))
    assert client.get_datapoints_by_name("PT-1", "1191").series_id == "0a-1b"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda c: c.get_datapoints("a", datetime(2024, 1, 1)), "start_time: .*naive"),  # the point
        (lambda c: c.get_datapoints("a", "2024-01-02", "2024-01-02"), "is not before end_time"),
        (lambda c: c.get_datapoints("a", federation_source="tsdb"), "choose IMS, TSDB, DataLake"),
        (lambda c: c.get_datapoints("a", limit=0), "limit is 0"),
        (lambda c: c.iter_datapoints("a", page_size=100_001), "a page of 100001"),
        (lambda c: c.get_datapoints(""), "is an id empty"),
        (lambda c: c.get_aggregates("a", ["median"], "1h"), "'median': choose from avg"),
        (lambda c: c.get_aggregates("a", [], "1h"), "both aggregate_functions and a processing_interval"),
        (lambda c: c.get_multi_datapoints(["a", "A"]), "named twice"),
        (lambda c: list(c.iter_multi_datapoints(["a", "A"])), "A is named twice, as a and as A"),
        (lambda c: list(c.iter_multi_datapoints(["a", "a"])), "a is named twice: keep one"),
        (lambda c: c.get_first_datapoint("a", BASE + 1), "after_time: .*finer than the 100 ns"),
        (lambda c: c.patch_timeseries("a"), "without a change"),
        (lambda c: c.patch_timeseries("a", source="IMS"), "'source' is no field"),
        (lambda c: c.create_stream_subscription([]), "without an id"),
        (lambda c: c.set_stream_destination(" "), "connection string"),
        (lambda c: c.ims_subscriptions_management.patch_subscription_by_uid("u", {}), "without a change"),
    ],
)
def test_what_cannot_be_asked_for_is_not_asked_for(service: Any, client: OmniaClient, call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call(client)
    assert service.requests == []
