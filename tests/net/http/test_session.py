"""A session against a service that does what the test says: what is sent, retried, refused and told."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from omnia_beam.core import errors
from omnia_beam.net.http.retry import RetryPolicy
from tests.support.free_port import free_port

PROTO = "application/protobuf"


def test_a_request_as_the_service_sees_it(service: Any, session_on: Any, changing_tokens: Any) -> None:
    session = session_on(
        service.url + "/", tokens=changing_tokens, environ={"KEY": "sub-key"}, subscription_key_env="KEY"
    )
    response = session.send(
        "POST",
        "query/data",
        params=[("status", "192"), ("status", "64"), ("startTime", "2024-01-01T00:00:00.0000000Z")],
        json_body=[{"id": "æ"}],
        idempotent=True,
    )
    seen = service.requests[0]
    assert seen.method == "POST"
    assert seen.target == (
        "/plant/timeseries/v1.7/query/data?status=192&status=64&startTime=2024-01-01T00%3A00%3A00.0000000Z"
    )
    assert json.loads(seen.body) == [{"id": "æ"}]
    assert seen.headers["authorization"] == "Bearer secret-token-1"
    assert seen.headers["ocp-apim-subscription-key"] == "sub-key"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("omnia-beam/")
    assert (response.status, response.json(), response.attempts) == (200, {}, 1)


def test_anonymous_sends_no_authorization_even_with_a_netrc(
    service: Any, session_on: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    session_on(service.url).send("GET", "search", idempotent=True)
    assert "authorization" not in service.requests[0].headers


def test_the_token_survives_a_netrc(
    service: Any, session_on: Any, changing_tokens: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session_on(service.url, tokens=changing_tokens).send("GET", "search", idempotent=True)
    assert service.requests[0].headers["authorization"] == "Bearer secret-token-1"


def test_one_connection_serves_many_requests(service: Any, session_on: Any) -> None:
    session = session_on(service.url)
    service.script = [service.response(503), service.response(200)]
    for _ in range(4):
        session.send("GET", "", idempotent=True)
    assert {request.connection for request in service.requests} == {1}
    assert service.requests[0].target == "/plant/timeseries/v1.7"


def test_parallel_requests_share_a_pool_of_the_right_size(service: Any, session_on: Any) -> None:
    session = session_on(service.url, max_in_flight=4)
    gate = threading.Barrier(4, timeout=20)

    def together(connection: Any, _request: Any) -> bool:
        gate.wait()
        connection.sendall(service.response())
        return True

    service.script = [together]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: session.send("GET", "x", idempotent=True), range(12)))
    assert len(service.requests) == 12
    assert {request.connection for request in service.requests} == {1, 2, 3, 4}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_transient_statuses_are_tried_again(service: Any, session_on: Any, status: int) -> None:
    session = session_on(service.url)
    service.script = [service.response(status, b"", None), service.response(status, b"<html>busy</html>", "text/html")]
    service.script.append(service.response(200, b'{"count": 1}'))
    response = session.send("GET", "x", idempotent=True)
    assert (response.json(), response.attempts) == ({"count": 1}, 3)
    snapshot = session.stats.snapshot()
    assert (snapshot.requests, snapshot.attempts, snapshot.retries) == (1, 3, 2)
    assert snapshot.statuses == {status: 2, 200: 1}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (413, errors.PayloadTooLargeError),
        (418, errors.TerminalServiceError),
        (501, errors.TerminalServiceError),
        (304, errors.TerminalServiceError),
    ],
)
def test_terminal_statuses_are_raised_at_once(
    service: Any, session_on: Any, status: int, kind: type[errors.ServiceError]
) -> None:
    body = {"statusCode": status, "message": "Facility not found.", "traceId": "abc-1"}
    refused = service.response(status, json.dumps(body).encode() if status != 304 else b"")
    service.script = [refused, service.response(200, b"{}")]
    with pytest.raises(kind) as caught:
        session_on(service.url).send("GET", "some-id/data", params=[("continuationToken", "SECRET")], idempotent=True)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.method, error.path, error.attempts) == (status, "GET", "/some-id/data", 1)
    if status != 304:
        assert str(error).startswith(f"GET /some-id/data: {status} Facility not found. (trace abc-1)")
        assert error.trace_id == "abc-1"
    assert "SECRET" not in repr(error) + str(error.__dict__)
    assert len(service.requests) == 1 + (
        status == 404
    )  # after a first 404 it is asked whether this is the service at all


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        (b"", None, "GET /x: 400"),
        (b"plain words", "text/plain", "GET /x: 400 plain words"),
        (b'["list"]', "application/json", "GET /x: 400"),
        (b'{"error": {"message": "nested"}}', "application/json", "GET /x: 400 nested"),
        (b'{"message": 5}', "application/json", "GET /x: 400"),
        (b'{"message": "two\\nlines\\u001b[31m"}', "application/json", "GET /x: 400 two lines [31m"),
        (b"\xff\xfe\x00", "application/json", "GET /x: 400"),
        (b'{"message": "' + b"a" * 5000 + b'"}', "application/json", "GET /x: 400 " + "a" * 399 + "…"),
        (b'{"message": "bad token Bearer abcdefghijkl"}', "application/json", "GET /x: 400 bad token Bearer ***"),
    ],
)
def test_error_bodies_of_every_kind(
    service: Any, session_on: Any, body: bytes, content_type: str | None, told: str
) -> None:
    service.script = [service.response(400, body, content_type)]
    with pytest.raises(errors.BadRequestError) as caught:
        session_on(service.url).send("GET", "x", idempotent=True)
    assert str(caught.value).startswith(told)
    assert len(str(caught.value)) < 600


def test_gives_up_with_the_last_answer(service: Any, session_on: Any) -> None:
    service.script = [service.response(503, b'{"message": "maintenance", "traceId": "t9"}')]
    with pytest.raises(errors.TransientServiceError, match=r"503 maintenance \(trace t9\)\. Gave up after 3") as caught:
        session_on(service.url, retry=RetryPolicy(attempts=3)).send("GET", "x", idempotent=True)
    assert (caught.value.attempts, caught.value.status) == (3, 503)
    assert len(service.requests) == 3


def test_retry_after_is_obeyed_by_everybody(service: Any, session_on: Any, turned_clock: Any) -> None:
    session = session_on(service.url)
    service.script = [service.response(429, b"", None, Retry_After="12"), service.response()]
    session.send("GET", "x", idempotent=True)
    assert sum(turned_clock.sleeps) == pytest.approx(12)
    assert session.stats.snapshot().throttled_s == pytest.approx(12)


def test_a_pause_asked_of_one_request_holds_the_next_one(service: Any, session_on: Any, turned_clock: Any) -> None:
    session = session_on(service.url, retry=RetryPolicy(attempts=1, deadline_s=5))
    service.script = [service.response(503, b"", None, Retry_After="4"), service.response()]
    with pytest.raises(errors.TransientServiceError):
        session.send("GET", "x", idempotent=True)
    session.send("GET", "x", idempotent=True)
    assert turned_clock.sleeps == [pytest.approx(4)]
    assert session.stats.snapshot().throttled_s == pytest.approx(4)


def test_a_pause_beyond_the_deadline_fails_without_sending(service: Any, session_on: Any, turned_clock: Any) -> None:
    session = session_on(service.url)
    service.script = [service.response(429, b"", None, Retry_After="Tue, 14 Nov 2023 23:13:20 GMT"), service.response()]
    for _ in range(2):  # the second is not even sent
        with pytest.raises(errors.ThrottledError, match="asks to wait 3600 s"):
            session.send("GET", "x", idempotent=True)
    assert len(service.requests) == 1
    assert turned_clock.sleeps == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_what_must_not_run_twice_is_not_sent_twice(service: Any, session_on: Any, status: int) -> None:
    service.script = [service.response(status), service.response()]
    with pytest.raises(errors.TransientServiceError, match="Not sent again: the service may have acted on it"):
        session_on(service.url).send("POST", "x", json_body={}, idempotent=False)
    assert len(service.requests) == 1


@pytest.mark.parametrize(("status", "headers"), [(429, {}), (425, {}), (503, {"Retry_After": "1"})])
def test_what_the_service_refused_to_begin_is_sent_again(
    service: Any, session_on: Any, status: int, headers: dict[str, str]
) -> None:
    service.script = [service.response(status, b"", None, **headers), service.response()]
    assert session_on(service.url).send("POST", "x", json_body={}, idempotent=False).attempts == 2


def test_a_lost_connection_is_tried_again_only_if_idempotent(
    service: Any, session_on: Any, reset_connection: Any
) -> None:
    service.script = [reset_connection, service.response(), reset_connection, service.response()]
    session = session_on(service.url)
    assert session.send("GET", "x", idempotent=True).attempts == 2
    with pytest.raises(errors.TransientServiceError, match=r"connection was lost .*Not sent again") as caught:
        session.send("POST", "x", json_body={}, idempotent=False)
    assert not isinstance(caught.value, errors.UnreachableError)
    assert caught.value.status is None
    assert len(service.requests) == 3
    assert session.stats.snapshot().failures == {"lost": 2}


def test_no_connection_is_tried_again_even_if_not_idempotent(session_on: Any) -> None:
    session = session_on(f"http://127.0.0.1:{free_port()}/v1.7", retry=RetryPolicy(attempts=3))
    with pytest.raises(errors.UnreachableError, match=r"no connection \(Connection refused\)\. Gave up after 3"):
        session.send("POST", "x", json_body={}, idempotent=False)
    assert session.stats.snapshot().failures == {"connect": 3}


def test_unknown_host(session_on: Any) -> None:
    with pytest.raises(errors.UnreachableError, match="host name is not known"):
        session_on("http://service.invalid/v1", retry=RetryPolicy(attempts=1)).send("GET", "x", idempotent=True)


def test_a_refusal_before_the_body_is_read_is_still_heard(session_on: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        session = session_on(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", retry=RetryPolicy(attempts=1))
        with pytest.raises(errors.PayloadTooLargeError):
            session.send("POST", "data", json_body=b"x" * 30_000_000, idempotent=True)
        thread.join()
