"""Every method of every client: what it asks for, and whether it is asked twice when the answer is lost.

The table below must name every public method: a new one without its line here fails.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

import omnia_beam.net
from omnia_beam.core.errors import NotFoundError, TransientServiceError
from omnia_beam.core.series import TimeseriesDraft
from omnia_beam.net.api import operations
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.datapoints import Datapoints
from omnia_beam.net.api.ims import ImsMetadataClient, ImsSubscriptionsClient, ImsSubscriptionsManagementClient
from omnia_beam.net.api.operations import Operation
from omnia_beam.net.api.reading import DatapointReads
from omnia_beam.net.api.series_query import SeriesQuery
from omnia_beam.net.http.retry import RetryPolicy

T0, T1 = "2024-01-01", "2024-01-02"
START, END = ("startTime", "2024-01-01T00:00:00.0000000Z"), ("endTime", "2024-01-02T00:00:00.0000000Z")
PAGE = ("limit", "100000")
ITEM = {"id": "a", "startTime": START[1], "endTime": END[1], "limit": 100_000}
POINT = {"time": "1970-01-01T00:00:00.0000001Z", "value": 0.5, "status": 192}
POINTS = Datapoints.of("a", [100], [0.5])
DRAFT = TimeseriesDraft("PT-1", "1191", unit="bar")
DRAFT_JSON = {"name": "PT-1", "facility": "1191", "unit": "bar"}
IMS: dict[str, type[ApiClient]] = {
    "ims_metadata": ImsMetadataClient,
    "ims_subscriptions": ImsSubscriptionsClient,
    "ims_subscriptions_management": ImsSubscriptionsManagementClient,
}


@dataclass
class Case:
    """A call, and the request that it makes; `body` None for none."""

    call: Callable[[OmniaClient], Any]
    operation: Operation
    path: str
    query: list[tuple[str, str]]
    body: Any = None


CASES: dict[str, Case] = {
    "get_datapoints": Case(
        lambda c: c.get_datapoints("a", T0, T1, status=[192, 64], include_outside_points=True, federation_source="IMS"),
        operations.GET_DATA,
        "/a/data",
        [
            START,
            END,
            ("includeOutsidePoints", "true"),
            ("status", "192"),
            ("status", "64"),
            PAGE,
            ("federationSource", "IMS"),
        ],
    ),
    "iter_datapoints": Case(
        lambda c: list(c.iter_datapoints("a", page_size=7)), operations.GET_DATA, "/a/data", [("limit", "7")]
    ),
    "get_datapoints_by_name": Case(
        lambda c: c.get_datapoints_by_name("PT 1", "1191", "T", T0, limit=5),
        operations.GET_DATA_BY_NAME,
        "/query/data",
        [("name", "PT 1"), ("facility", "1191"), ("terminal", "T"), START, ("limit", "5")],
    ),
    "get_multi_datapoints": Case(
        lambda c: c.get_multi_datapoints(["a"], T0, T1, align_to_cache=True, federation_source="TSDB"),
        operations.QUERY_DATA,
        "/query/data",
        [("federationSource", "TSDB"), ("alignToCache", "true")],
        [ITEM],
    ),
    "iter_multi_datapoints": Case(
        lambda c: list(
            c.iter_multi_datapoints(
                [
                    SeriesQuery(id="a", start_time=T0, end_time=T1, status=[192], include_outside_points=True),
                    SeriesQuery(id="b", aggregate_functions=["avg", "max"], processing_interval="10m", fill="null"),
                ],
                page_size=10,
            )
        ),
        operations.QUERY_DATA,
        "/query/data",
        [],
        [
            {**ITEM, "limit": 10, "statusFilter": [192], "includeOutsidePoints": True},
            {"id": "b", "limit": 10, "aggregateFunctions": ["avg", "max"], "processingInterval": "10m", "fill": "null"},
        ],
    ),
    "get_aggregates": Case(
        lambda c: c.get_aggregates("a", ["avg", "count"], "1h", T0, T1, status=[192], fill="f", align_to_cache=False),
        operations.GET_AGGREGATES,
        "/a/data/aggregates",
        [
            ("aggregateFunction", "avg"),
            ("aggregateFunction", "count"),
            ("processingInterval", "1h"),
            ("fill", "f"),
            ("alignToCache", "false"),
            START,
            END,
            ("status", "192"),
        ],
    ),
    "get_first_datapoint": Case(
        lambda c: c.get_first_datapoint("a", T0, T1, status=[192], federation_source="DataLake"),
        operations.GET_FIRST,
        "/a/data/first",
        [("afterTime", START[1]), ("beforeTime", END[1]), ("status", "192"), ("federationSource", "DataLake")],
    ),
    "get_latest_datapoint": Case(lambda c: c.get_latest_datapoint("a"), operations.GET_LATEST, "/a/data/latest", []),
    "get_first_multi_datapoint": Case(
        lambda c: c.get_first_multi_datapoint(["a", SeriesQuery(id="b", start_time=T0)], federation_source="IMS"),
        operations.QUERY_FIRST,
        "/query/data/first",
        [("federationSource", "IMS")],
        [{"id": "a"}, {"id": "b", "startTime": START[1]}],
    ),
    "get_latest_multi_datapoint": Case(
        lambda c: c.get_latest_multi_datapoint(["a"]), operations.QUERY_LATEST, "/query/data/latest", [], [{"id": "a"}]
    ),
    "write_data": Case(
        lambda c: c.write_data("a", POINTS),
        operations.WRITE_DATA,
        "/a/data",
        [("async", "false")],
        {"datapoints": [POINT]},
    ),
    "write_multiple": Case(
        lambda c: c.write_multiple([POINTS], asynchronous=True),
        operations.WRITE_MULTIPLE,
        "/data",
        [("async", "true")],
        {"items": [{"id": "a", "datapoints": [POINT]}]},
    ),
    "delete_data": Case(lambda c: c.delete_data("a", T0, T1), operations.DELETE_DATA, "/a/data", [START, END]),
    "get_timeseries": Case(
        lambda c: list(c.get_timeseries("n", "x", "IMS", "s", "f", page_size=9)),
        operations.LIST_TIMESERIES,
        "",
        [("name", "n"), ("externalId", "x"), ("source", "IMS"), ("assetId", "s"), ("facility", "f"), ("limit", "9")],
    ),
    "search_timeseries": Case(
        lambda c: list(c.search_timeseries(name="*PT*", description="d", unit="bar")),
        operations.SEARCH_TIMESERIES,
        "/search",
        [("name", "*PT*"), ("description", "d"), ("unit", "bar")],
    ),
    "search_timeseries by query": Case(
        lambda c: list(c.search_timeseries("a/b*")), operations.SEARCH_TIMESERIES_BY_QUERY, "/search/a/b*", []
    ),
    "get_timeseries_by_id": Case(lambda c: c.get_timeseries_by_id("a"), operations.GET_TIMESERIES, "/a", []),
    "post_timeseries": Case(lambda c: c.post_timeseries(DRAFT), operations.POST_TIMESERIES, "", [], DRAFT_JSON),
    "add_timeseries": Case(lambda c: c.add_timeseries(DRAFT), operations.POST_TIMESERIES, "", [], DRAFT_JSON),
    "get_or_add_timeseries": Case(
        lambda c: c.get_or_add_timeseries([DRAFT]), operations.GET_OR_ADD_TIMESERIES, "/getoradd", [], [DRAFT_JSON]
    ),
    "patch_timeseries": Case(
        lambda c: c.patch_timeseries("a", unit=None, asset_id="B"),
        operations.PATCH_TIMESERIES,
        "/a",
        [],
        {"unit": None, "assetId": "B"},
    ),
    "put_timeseries": Case(lambda c: c.put_timeseries("a", DRAFT), operations.PUT_TIMESERIES, "/a", [], DRAFT_JSON),
    "delete_timeseries_by_id": Case(lambda c: c.delete_timeseries_by_id("a"), operations.DELETE_TIMESERIES, "/a", []),
    "get_history": Case(lambda c: c.get_history("a"), operations.GET_HISTORY, "/a/history", []),
    "get_facilities": Case(lambda c: c.get_facilities(), operations.GET_FACILITIES, "/facets/facility", []),
    "get_facilities_by_source": Case(
        lambda c: c.get_facilities_by_source("IMS"), operations.GET_FACILITIES, "/facets/facility", [("source", "IMS")]
    ),
    "get_sources": Case(lambda c: c.get_sources(), operations.GET_SOURCES, "/facets/source", []),
    "get_sources_by_facility": Case(
        lambda c: c.get_sources_by_facility("a&b"), operations.GET_SOURCES, "/facets/source", [("facility", "a&b")]
    ),
    "get_streaming_subscriptions": Case(
        lambda c: c.get_streaming_subscriptions(), operations.GET_SUBSCRIPTIONS, "/streaming/subscriptions", []
    ),
    "create_stream_subscription": Case(
        lambda c: c.create_stream_subscription(["a", "b"]),
        operations.CREATE_SUBSCRIPTION,
        "/streaming/subscriptions",
        [],
        [{"id": "a"}, {"id": "b"}],
    ),
    "delete_stream_subscription": Case(
        lambda c: c.delete_stream_subscription("a"), operations.DELETE_SUBSCRIPTION, "/streaming/subscriptions/a", []
    ),
    "set_stream_destination": Case(
        lambda c: c.set_stream_destination("Endpoint=sb://x;SharedAccessKey=hush"),
        operations.SET_DESTINATION,
        "/streaming/destination",
        [],
        {"connectionString": "Endpoint=sb://x;SharedAccessKey=hush"},
    ),
    "ims_metadata.search": Case(
        lambda c: list(c.ims_metadata.search("t", "u")),
        operations.IMS_METADATA_SEARCH,
        "/ims-metadata/v1.3/search",
        [("tag", "t"), ("uid", "u")],
    ),
    "ims_subscriptions.search": Case(
        lambda c: list(c.ims_subscriptions.search()),
        operations.IMS_SUBSCRIPTIONS,
        "/ims-subscriptions/v1.2",
        [("limit", "1000")],
    ),
    "ims_subscriptions.search_by_uid": Case(
        lambda c: list(c.ims_subscriptions.search_by_uid("u")),
        operations.IMS_SUBSCRIPTIONS_BY_UID,
        "/ims-subscriptions/v1.2/uid/u",
        [],
    ),
    "ims_subscriptions.search_by_timeseries_id": Case(
        lambda c: list(c.ims_subscriptions.search_by_timeseries_id("a")),
        operations.IMS_SUBSCRIPTIONS_BY_TIMESERIES,
        "/ims-subscriptions/v1.2/timeseriesId/a",
        [],
    ),
    "ims_subscriptions.search_by_system_code": Case(
        lambda c: list(c.ims_subscriptions.search_by_system_code("s")),
        operations.IMS_SUBSCRIPTIONS_BY_SYSTEM,
        "/ims-subscriptions/v1.2/s",
        [],
    ),
    "ims_subscriptions_management.get_subscription_counter_by_system_code": Case(
        lambda c: c.ims_subscriptions_management.get_subscription_counter_by_system_code("s"),
        operations.IMS_COUNTER,
        "/ims-subscriptions-management/v1.2/s/counter",
        [],
    ),
    "ims_subscriptions_management.patch_subscription_by_uid": Case(
        lambda c: c.ims_subscriptions_management.patch_subscription_by_uid("u", {"name": "n"}, reset_state=True),
        operations.IMS_PATCH_SUBSCRIPTION,
        "/ims-subscriptions-management/v1.2/uid/u",
        [("resetState", "true")],
        {"name": "n"},
    ),
}

WRITES_POINTS = {"write_data", "write_multiple"}
READS_POINTS = {name for name in CASES if "datapoint" in name or name == "get_aggregates"}
NOT_REQUESTS = {"close", "for_environment", "session", "stats"} | set(IMS)


@pytest.fixture
def client(service: Any) -> Any:
    with OmniaClient(service.url, requests_per_second=None, environ={}, retry=RetryPolicy(first_wait_s=0.0)) as made:
        yield made


def answer_for(service: Any, name: str) -> Any:
    if name in READS_POINTS:
        return service.response(200, b"", "application/protobuf")
    if name in WRITES_POINTS:
        return service.response(200, b'{"statusCode": 200, "message": "stored"}')
    return service.response(200, b'{"data": {"items": [{"id": "a", "name": "n", "facility": "f"}]}}')


def public_methods() -> set[str]:
    found = {name for name in dir(OmniaClient) if not name.startswith("_")} - NOT_REQUESTS
    for prefix, kind in IMS.items():
        own = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        found |= {f"{prefix}.{name}" for name in own - NOT_REQUESTS}
    return found


def test_the_table_names_every_method() -> None:
    assert public_methods() == {name.partition(" ")[0] for name in CASES}


def test_the_table_uses_every_operation() -> None:
    declared = {id(value): name for name, value in vars(operations).items() if isinstance(value, Operation)}
    used = {id(case.operation) for case in CASES.values()}
    assert [name for key, name in declared.items() if key not in used] == []


def test_every_request_goes_through_an_operation() -> None:
    folder = Path(omnia_beam.net.__file__).parent
    senders = {path.name for path in folder.rglob("*.py") if re.search(r"\bsession\.send\(", path.read_text())}
    assert senders == {"operations.py"}


@pytest.mark.parametrize("name", CASES)
def test_what_is_asked_for(service: Any, client: OmniaClient, name: str) -> None:
    case = CASES[name]
    service.script = [answer_for(service, name)]
    case.call(client)
    assert len(service.requests) == 1
    seen = service.requests[0]
    prefix = "/plant" if name.startswith("ims_") else "/plant/timeseries/v1.7"
    assert (seen.method, unquote(seen.path)) == (case.operation.method, prefix + case.path)
    assert parse_qsl(seen.query, strict_parsing=bool(seen.query)) == case.query
    assert (json.loads(seen.body) if seen.body else None) == case.body
    assert seen.headers["accept"] == ("application/protobuf" if name in READS_POINTS else "application/json")


@pytest.mark.parametrize("name", CASES)
def test_a_lost_answer_is_asked_for_again_only_where_declared(
    service: Any, client: OmniaClient, reset_connection: Any, name: str
) -> None:
    case = CASES[name]
    service.script = [reset_connection, answer_for(service, name)]
    if case.operation.idempotent:
        case.call(client)
        assert [r.body for r in service.requests] == [service.requests[0].body] * 2
        assert service.requests[0].target == service.requests[1].target
    else:
        with pytest.raises(TransientServiceError, match="Not sent again: the service may have acted on it"):
            case.call(client)
        assert len(service.requests) == 1


def test_only_these_may_not_run_twice() -> None:
    once = {name for name, value in vars(operations).items() if isinstance(value, Operation) and not value.idempotent}
    assert once == {"POST_TIMESERIES", "CREATE_SUBSCRIPTION", "IMS_PATCH_SUBSCRIPTION"}


@pytest.mark.parametrize("name", ["delete_data", "delete_timeseries_by_id", "delete_stream_subscription"])
def test_what_a_lost_attempt_deleted_is_deleted(
    service: Any, client: OmniaClient, reset_connection: Any, name: str
) -> None:
    service.script = [reset_connection, service.response(404, b'{"message": "not found"}')]
    assert "earlier attempt" in CASES[name].call(client).message


@pytest.mark.parametrize("name", ["delete_data", "delete_timeseries_by_id", "delete_stream_subscription"])
def test_what_is_not_there_cannot_be_deleted(service: Any, client: OmniaClient, name: str) -> None:
    service.script = [service.response(404, b'{"message": "not found"}')]
    with pytest.raises(NotFoundError):
        CASES[name].call(client)


def test_datapoint_reads_are_the_only_protobuf_ones() -> None:
    own = {name for name, _ in inspect.getmembers(DatapointReads, inspect.isfunction) if not name.startswith("_")}
    assert own - NOT_REQUESTS == READS_POINTS
