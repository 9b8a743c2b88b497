"""Which answers to a write are the service's word that the points are stored, and what becomes of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from omnia_beam.core.errors import TransientServiceError
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.datapoints import Datapoints
from omnia_beam.net.http.retry import RetryPolicy

STORED = b'{"statusCode": 200, "message": "Datapoints stored.", "traceId": "t"}'
POINTS = [Datapoints.of("a", [0, 100], [1, 2]), Datapoints.of("b", [0], [3])]

WORDS = [
    STORED,
    b'{"message": "ok"}',
    b'{"Count": 3, "message": "ok"}',
    b'{"count": 2}',  # the series
    b'{"written": 3, "failed": 0, "errors": []}',
]
SILENCE = [
    (200, b"", "an empty body"),
    (200, b" \n", "an empty body"),
    (204, b"", "without a body"),
    (200, b"{}", "reports nothing"),
    (200, b"null", "reports nothing"),
    (200, b"[]", "reports nothing"),
    (200, b"OK", "no JSON"),
    (200, b'{"data": {"items": []}}', "another request"),
    (200, b'{"statusCode": 500, "message": "Internal"}', "reports 500"),
    (200, b'{"written": 2}', "written 2"),
    (200, b'{"count": 1}', "count 1"),
    (200, b'{"written": 3, "rejected": [{"id": "a"}]}', "rejected 1"),
    (207, STORED, "in place of 200"),
    (206, STORED, "in place of 200"),
]


@pytest.fixture
def client(service: Any) -> Iterator[OmniaClient]:
    with OmniaClient(service.url, requests_per_second=None, environ={}, retry=RetryPolicy(2, 10, 0)) as made:
        yield made


@pytest.mark.parametrize("body", WORDS)
def test_a_word_is_believed_at_once(service: Any, client: OmniaClient, body: bytes) -> None:
    service.script = [service.response(200, body)]
    assert client.write_multiple(POINTS).points == 3
    assert len(service.requests) == 1


@pytest.mark.parametrize(("status", "body", "why"), SILENCE)
def test_anything_else_is_no_word(service: Any, client: OmniaClient, status: int, body: bytes, why: str) -> None:
    service.script = [service.response(status, body)]
    with pytest.raises(TransientServiceError, match=f"{why}: no confirmation that the 3 points are stored"):
        client.write_multiple(POINTS)
    assert len(service.requests) == 3
    sent = {request.body for request in service.requests}
    assert len(sent) == 1  # the same upsert each time


@pytest.mark.parametrize(("status", "body", "why"), SILENCE)
def test_what_is_said_the_second_time_counts(
    service: Any, client: OmniaClient, status: int, body: bytes, why: str
) -> None:
    service.script = [service.response(status, body), service.response(200, STORED)]
    assert client.write_multiple(POINTS).points == 3
    assert [len(json.loads(request.body)["items"]) for request in service.requests] == [2, 2]
