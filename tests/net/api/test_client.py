"""Writing, metadata and the companions through the client, and making one; against a scripted service."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from azure.core.credentials import AccessToken

from omnia_beam.core.errors import (
    BadRequestError,
    ConflictError,
    NotTheServiceError,
    TerminalServiceError,
    UsageError,
)
from omnia_beam.core.series import TimeseriesDraft
from omnia_beam.net.api import metadata
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.datapoints import Datapoint, Datapoints
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.environments import environment
from omnia_beam.net.http.retry import RetryPolicy

PROTO = "application/protobuf"
BASE = 1_700_000_000_000_000_000


@pytest.fixture
def client(service: Any) -> Iterator[OmniaClient]:
    with OmniaClient(service.url, requests_per_second=None, environ={}, retry=RetryPolicy(2, 10, 0)) as made:
        yield made


def test_a_long_series_is_written_in_batches(service: Any, client: OmniaClient) -> None:
    service.script = [service.response(200, b'{"statusCode": 200, "message": "ok", "traceId": "t1"}')]
    written = client.write_data("a", Datapoints.of("a", range(0, 2500, 100), range(25)), batch_points=10)
    assert (written.points, written.requests, written.queued) == (25, 3, False)
    assert written.messages[0].trace_id == "t1"
    values = [point["value"] for request in service.requests for point in json.loads(request.body)["datapoints"]]
    assert values == list(range(25))


def test_batches_of_many_series(service: Any, client: OmniaClient) -> None:
    service.script = [service.response(202, b"")]
    series = [Datapoints.of(f"s{n}", [0] * n, [0.5] * n) for n in (3, 0, 4, 12, 1)]
    assert client.write_multiple(series, batch_points=5).queued
    sent = [[(i["id"], len(i["datapoints"])) for i in json.loads(r.body)["items"]] for r in service.requests]
    assert sent == [[("s3", 3), ("s4", 2)], [("s4", 2), ("s12", 3)], [("s12", 5)], [("s12", 4), ("s1", 1)]]


def test_no_more_than_a_hundred_series_a_request(service: Any, client: OmniaClient) -> None:
    service.script = [service.response(200, b'{"statusCode": 200, "message": "ok"}')]
    client.write_multiple([Datapoints.of(f"s{n}", [0], [0]) for n in range(201)])
    assert [len(json.loads(request.body)["items"]) for request in service.requests] == [100, 100, 1]


def test_nothing_to_write_sends_nothing(service: Any, client: OmniaClient) -> None:
    assert client.write_data("a", []).points == 0
    assert client.write_multiple([]).requests == 0
    assert service.requests == []


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([Datapoint(0, 1.0), Datapoint(BASE, float("nan"))], r"2023-11-14T22:13:20Z is nan \(1 such of 2\)"),
        ([Datapoint(0, float("-inf"))], "is -inf"),
        ([Datapoint(BASE + 1, 1.0)], "finer than the 100 ns"),
    ],
)
def test_what_json_cannot_hold_is_refused_before_anything_is_sent(
    service: Any, client: OmniaClient, points: list[Datapoint], told: str
) -> None:
    good = Datapoints.of("b", [0], [1])
    with pytest.raises(UsageError, match=told):
        client.write_data("a", points)
    with pytest.raises(UsageError, match=f"series a: .*{told}"):
        client.write_multiple([good, Datapoints.of_points("a", points)])
    assert service.requests == []


def test_aggregates_cannot_be_written(client: OmniaClient) -> None:
    points = Datapoints.of("a", [0], [1])
    with pytest.raises(UsageError, match="no column 'status'"):
        client.write_multiple([Datapoints("a", {"time": points.times, "value": points.values})])
    with pytest.raises(UsageError, match="column 'status' is int64, not uint32"):
        client.write_multiple([Datapoints("a", {**points.columns, "status": points.times})])


def test_a_failed_batch_tells_how_much_was_stored(service: Any, client: OmniaClient) -> None:
    service.script = [service.response(200, b'{"message": "ok"}'), service.response(400, b'{"message": "no"}')]
    with pytest.raises(BadRequestError, match=r"400 no \(2 of 5 points were stored before\)") as caught:
        client.write_data("a", Datapoints.of("a", [0] * 5, [0] * 5), batch_points=2)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("bounds", [{}, {"start_time": "2024-01-01"}, {"end_time": "2024-01-01"}])
def test_deleting_without_both_bounds_is_refused(service: Any, client: OmniaClient, bounds: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="delete_all_history=True"):
        client.delete_data("a", **bounds)  # type: ignore[arg-type]  # only times
    assert service.requests == []


def test_deleting_everything_must_be_said(service: Any, client: OmniaClient) -> None:
    client.delete_data("a", delete_all_history=True)
    assert (service.requests[0].method, service.requests[0].query) == ("DELETE", "")
    with pytest.raises(UsageError, match="not both"):
        client.delete_data("a", "2024-01-01", "2024-01-02", delete_all_history=True)
    with pytest.raises(UsageError, match=r"end_time: .*finer"):
        client.delete_data("a", "2024-01-01", "2024-01-02T00:00:00.00000001Z")
    with pytest.raises(UsageError, match="is not before"):
        client.delete_data("a", "2024-01-02", "2024-01-01")
    assert len(service.requests) == 1


def envelope(*items: dict[str, Any], token: str | None = None) -> bytes:
    return json.dumps({"data": {"items": items}, "count": len(items), "continuationToken": token}).encode()


def test_metadata_pages_are_fetched_as_needed(service: Any, client: OmniaClient) -> None:
    service.script = [
        service.response(200, envelope({"id": "1"}, {"id": "2"}, token="t")),
        service.response(200, envelope({"id": "3"}, token="")),
    ]
    found = client.search_timeseries("PT*")
    assert next(found).id == "1"
    assert len(service.requests) == 1
    assert [series.id for series in found] == ["2", "3"]
    assert [parse_qs(request.query).get("continuationToken") for request in service.requests] == [None, ["t"]]


def test_a_result_set_at_the_cap_is_not_taken_for_whole(
    service: Any, client: OmniaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "MAX_METADATA_ITEMS", 3)
    service.script = [service.response(200, envelope({"id": "1"}, {"id": "2"}))]
    assert len(list(client.get_timeseries())) == 2
    service.script = [service.response(200, envelope({"id": "1"}, {"id": "2"}, {"id": "3"}))]
    seen = []
    with pytest.raises(UsageError, match="3 timeseries match, the most that the service lists"):
        seen.extend(client.get_timeseries())


@pytest.mark.parametrize(
    "body",
    [envelope({"id": "1", "name": "n"}), b'{"id": "1", "name": "n"}', b'[{"id": "1", "name": "n"}]'],
    ids=["envelope", "object", "list"],
)
def test_one_timeseries_in_any_wrapping(service: Any, client: OmniaClient, body: bytes) -> None:
    service.script = [service.response(200, body)]
    assert client.get_timeseries_by_id("1").name == "n"


@pytest.mark.parametrize("body", [envelope(), envelope({"id": "1"}, {"id": "2"}), b"5", b'{"data": [1]}', b'{"data": '])
def test_an_answer_without_the_timeseries(service: Any, client: OmniaClient, body: bytes) -> None:
    service.script = [service.response(200, body)]
    with pytest.raises(NotTheServiceError, match="GET /1"):
        client.get_timeseries_by_id("1")


def test_an_existing_timeseries_is_a_conflict(service: Any, client: OmniaClient) -> None:
    told = "Attempt to store timeseries 'n' from 'f' which already exists"
    service.script = [service.response(409, json.dumps({"statusCode": 409, "message": told}).encode())]
    with pytest.raises(ConflictError, match=told):
        client.add_timeseries(TimeseriesDraft("n", "f"))
    assert len(service.requests) == 1


def test_history_facets_subscriptions(service: Any, client: OmniaClient) -> None:
    changes = {"unit": {"from": "bar", "to": "Pa"}}
    service.script = [
        service.response(200, envelope({"changedBy": "me", "changedTime": "2024", "changes": changes})),
        service.response(200, envelope({"facility": "1191", "count": 4}, {"facility": None, "count": None})),
        service.response(200, envelope({"id": "a", "customerId": "c"})),
        service.response(200, envelope({"id": "i", "uid": "u", "tag": "T", "systemCode": "S", "compressed": "yes"})),
        service.response(200, b'{"quota": 10, "count": 3}'),
    ]
    entry = client.get_history("a")[0]
    assert (entry.changed_by, entry.changes) == ("me", changes)
    assert client.get_facilities() == {"1191": 4, "None": 0}
    assert client.get_streaming_subscriptions()[0].customer_id == "c"
    tag = next(client.ims_metadata.search("T"))
    assert (tag.tag, tag.system_code, tag.fields["compressed"]) == ("T", "S", "yes")
    counter = client.ims_subscriptions_management.get_subscription_counter_by_system_code("S")
    assert (counter.quota, counter.count) == (10, 3)


def test_a_connection_string_shows_nowhere(service: Any, client: OmniaClient) -> None:
    secret = "Endpoint=sb://hub/;SharedAccessKey=hush-hush-hush"
    service.script = [service.response(400, json.dumps({"message": f"cannot reach {secret}"}).encode())]
    with pytest.raises(BadRequestError) as caught:
        client.set_stream_destination(secret)
    assert "hush" not in str(caught.value)
    assert "cannot reach ***" in str(caught.value)


class Tokens:
    """An azure TokenCredential that notes the scopes that it is asked for."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token-for-{scopes[0]}", 4_000_000_000)


def test_any_token_credential_also_for_the_companions(service: Any) -> None:
    credential = Tokens()
    prod = environment("prod")
    service.script = [service.response(200, envelope({"id": "a"}))]
    with OmniaClient(service.url, credential=credential, resource_id=prod.timeseries.resource_id) as client:
        client.get_timeseries_by_id("a")
        list(client.ims_metadata.search())
        list(client.ims_subscriptions.search())
    scopes = [prod.timeseries.scope, prod.ims_metadata.scope, prod.ims_subscriptions.scope]
    assert credential.scopes == scopes
    assert [request.headers["authorization"] for request in service.requests] == [
        f"Bearer token-for-{s}" for s in scopes
    ]


def test_environments_are_known_by_name() -> None:
    with OmniaClient.for_environment("test", credential=Tokens(), requests_per_second=5) as client:
        settings = client.session.settings
        assert settings.base_url == "https://api-test.gateway.equinor.com/plant/timeseries/v1.7"
        assert settings.requests_per_second == 5
        beside = client.ims_subscriptions_management.session.settings
        assert beside.base_url == "https://api-test.gateway.equinor.com/plant/ims-subscriptions-management/v1.2"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"credential": Tokens()}, "resource_id"),
        ({"credential": CredentialSpec(kind="client_secret")}, "resource_id"),
        ({"credential": "client_secret", "resource_id": "r"}, "AZURE_TENANT_ID"),
        ({"format": "xml"}, "protobuf or json"),
        ({"requests_per_seconds": 5}, "requests_per_seconds"),
    ],
)
def test_a_client_that_cannot_be_made(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        OmniaClient("http://127.0.0.1:9/plant/timeseries/v1.7", environ={}, **arguments)


def test_companions_of_an_unknown_place() -> None:
    with (
        OmniaClient("http://127.0.0.1:9/elsewhere", environ={}) as client,
        pytest.raises(UsageError, match="companion APIs"),
    ):
        client.ims_metadata


def test_a_client_is_not_pickled_and_shows_no_secret() -> None:
    with OmniaClient("http://127.0.0.1:9/plant/timeseries/v1.7", environ={}) as client:
        assert repr(client) == "OmniaClient('http://127.0.0.1:9/plant/timeseries/v1.7')"
        with pytest.raises(TypeError, match="shared_session"):
            pickle.dumps(client)


def test_closing_closes_the_companions_too(service: Any) -> None:
    with OmniaClient(service.url, environ={}) as client:
        beside = client.ims_metadata
    for closed in (client, beside):
        with pytest.raises(TerminalServiceError, match="session was closed"):
            closed.session.send("GET", "x", idempotent=True)
