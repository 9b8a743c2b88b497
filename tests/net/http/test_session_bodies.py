"""Bodies that are not whole, or not the service's: none of them passes for an answer."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from omnia_beam.core import errors
from omnia_beam.net.http.body_room import shared_room
from omnia_beam.net.http.response import PROTOBUF
from omnia_beam.net.http.retry import RetryPolicy

PROTO = "application/protobuf"


CUT_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/protobuf\r\n"


def cut(head: bytes, body: bytes) -> Callable[..., None]:
    def step(connection: Any, _request: Any) -> None:
        connection.sendall(CUT_HEAD + head + b"\r\n\r\n" + body)

    return step


GZIPPED = gzip.compress(bytes(range(256)) * 100)


@pytest.mark.parametrize(
    "broken",
    [
        cut(b"Content-Length: 1000000", b"x" * 999_999),
        cut(b"Content-Length: 10", b""),
        lambda connection, _request: connection.sendall(b"HTTP/1.1 200 OK\r\n"),
        lambda connection, _request: connection.sendall(CUT_HEAD + b"Cont"),
        cut(b"Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        cut(b"Transfer-Encoding: chunked", b"5\r\nhel"),
        cut(b"Transfer-Encoding: chunked", b"5\r\nhello\r\nzz\r\n"),
        cut(b"Content-Encoding: gzip\r\nContent-Length: %d" % (len(GZIPPED) - 3), GZIPPED[:-3]),
        cut(b"Content-Encoding: gzip\r\nContent-Length: 40", GZIPPED[:40]),
        cut(b"Content-Encoding: gzip\r\nContent-Length: 5", b"hello"),
    ],
    ids=[
        "length",
        "length-empty",
        "no-header",
        "header-cut",
        "chunk-missing",
        "chunk-cut",
        "chunk-broken",
        "gzip-end",
        "gzip-cut",
        "gzip-bad",
    ],
)
def test_a_truncated_body_is_never_an_answer(service: Any, session_on: Any, broken: Any) -> None:
    service.script = [broken, service.response(200, b"whole", PROTO)]
    session = session_on(service.url)
    response = session.send("GET", "x", accept=PROTOBUF, idempotent=True)
    assert (response.body, response.attempts) == (b"whole", 2)
    assert session.stats.snapshot().failures == {"truncated": 1}


@pytest.mark.parametrize(
    "whole",
    [
        cut(b"Content-Length: 25600", bytes(range(256)) * 100),
        cut(b"Transfer-Encoding: chunked", b"6400\r\n" + bytes(range(256)) * 100 + b"\r\n0\r\n\r\n"),
        cut(b"Content-Encoding: gzip\r\nContent-Length: %d" % len(GZIPPED), GZIPPED),
        cut(b"Content-Encoding: gzip\r\nContent-Length: %d" % (len(GZIPPED) + 20), gzip.compress(b"") + GZIPPED),
        cut(b"X: y", bytes(range(256)) * 100),
    ],
    ids=["length", "chunked", "gzip", "gzip-in-two-members", "until-closed"],
)
def test_whole_bodies_of_every_framing(service: Any, session_on: Any, whole: Any) -> None:
    service.script = [whole]
    assert session_on(service.url).send("GET", "x", accept=PROTOBUF, idempotent=True).body == bytes(range(256)) * 100


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (cut(b"Content-Length: 1001", b"x" * 1001), "1,001 bytes where 1,000 are"),
        (cut(b"Transfer-Encoding: chunked", b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"), "more than 1,000 bytes"),
        (cut(b"Content-Encoding: gzip\r\nContent-Length: %d" % len(GZIPPED), GZIPPED), "more than 1,000 bytes"),
        (cut(b"Content-Encoding: br\r\nContent-Length: 3", b"abc"), "Content-Encoding 'br'"),
    ],
    ids=["length", "chunked", "gzip", "encoding"],
)
def test_a_body_that_nobody_can_use_is_not_asked_for_again(service: Any, session_on: Any, step: Any, told: str) -> None:
    service.script = [step]
    with pytest.raises(errors.TerminalServiceError, match=told):
        session_on(service.url).send("GET", "x", accept=PROTOBUF, idempotent=True, most_bytes=1000)
    assert len(service.requests) == 1


def test_a_dripping_body_ends_at_the_attempt_timeout(service: Any, session_on: Any) -> None:
    def drip(connection: Any, _request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not service.stop.wait(0.02):
            connection.sendall(b"x")

    service.script = [drip, service.response()]
    session = session_on(service.url, attempt_timeout_s=0.3)
    assert session.send("GET", "x", idempotent=True).attempts == 2
    assert session.stats.snapshot().failures == {"timeout": 1}


def test_dripping_headers_end_at_the_attempt_timeout(service: Any, session_on: Any) -> None:
    def drip(connection: Any, _request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not service.stop.wait(0.02):
            connection.sendall(b"X: y\r\n"[:1])

    service.script = [drip]
    session = session_on(service.url, retry=RetryPolicy(attempts=1))
    with pytest.raises(errors.TransientServiceError, match=r"no complete response within 0\.3 s"):
        session.send("GET", "x", idempotent=True, timeout=0.3)


def test_silence_ends_at_the_read_timeout(service: Any, session_on: Any) -> None:
    service.script = [lambda _connection, _request: service.stop.wait(20) and False]
    session = session_on(service.url, read_timeout_s=0.2, retry=RetryPolicy(attempts=1))
    with pytest.raises(errors.TransientServiceError, match="fell silent"):
        session.send("GET", "x", idempotent=True)


def test_an_empty_reply_and_garbage_are_lost_connections(service: Any, session_on: Any) -> None:
    service.script = [
        lambda _connection, _request: None,
        lambda connection, _request: connection.sendall(b"\x00\x01\x02 not http at all\r\n\r\n"),
        service.response(),
    ]
    assert session_on(service.url).send("GET", "x", idempotent=True).attempts == 3


def test_bytes_are_counted_as_they_cross_the_wire(service: Any, session_on: Any) -> None:
    def zipped(connection: Any, _request: Any) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIPPED) + GZIPPED
        )

    service.script = [zipped]
    session = session_on(service.url)
    session.send("POST", "x", json_body=b"12345", accept=PROTO, idempotent=True)
    snapshot = session.stats.snapshot()
    assert (snapshot.bytes_read, snapshot.bytes_written) == (len(GZIPPED), 5)
    assert service.requests[0].headers["accept-encoding"] == "gzip"
    session_on(service.url, compression=False).send("GET", "x", accept=PROTO, idempotent=True)
    assert service.requests[1].headers["accept-encoding"] == "identity"


HTML = b"<!DOCTYPE html><html><head><title>Sign in to your\n account</title></head></html>"


@pytest.mark.parametrize("accept", ["application/json", PROTO])
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", None, "application/json"])
def test_html_with_200_is_not_the_service(service: Any, session_on: Any, accept: str, content_type: str | None) -> None:
    service.script = [service.response(200, HTML, content_type)]
    with pytest.raises(errors.NotTheServiceError, match=r"HTML page titled 'Sign in to your account'.*base_url"):
        session_on(service.url).send("GET", "x", accept=accept, idempotent=True)
    assert len(service.requests) == 1


def test_html_with_404_is_not_an_unknown_series(service: Any, session_on: Any) -> None:
    service.script = [service.response(404, HTML, "text/html")]
    with pytest.raises(errors.NotTheServiceError):
        session_on(service.url).send("GET", "x", idempotent=True)


def test_json_where_protobuf_was_asked_for(service: Any, session_on: Any) -> None:
    service.script = [service.response(200, b"{}", "application/json")]
    with pytest.raises(errors.NotTheServiceError, match="'application/json'"):
        session_on(service.url).send("GET", "x", accept=PROTO, idempotent=True)


@pytest.mark.parametrize("content_type", [PROTO, "application/x-google-protobuf", "application/octet-stream", None])
def test_protobuf_may_begin_like_a_tag(service: Any, session_on: Any, content_type: str | None) -> None:
    content = b"\n<\n\x01a\x10\x00" + b"\x22\x02\x08\x00" * 14
    service.script = [service.response(200, content, content_type)]
    assert session_on(service.url).send("GET", "x", accept=PROTO, idempotent=True).body == content


def test_an_empty_success_has_no_content_to_check(service: Any, session_on: Any) -> None:
    service.script = [service.response(202, b"", "text/html")]
    assert session_on(service.url).send("POST", "x", json_body={}, idempotent=True).json() is None


def test_a_success_that_is_no_json(service: Any, session_on: Any) -> None:
    service.script = [service.response(200, b'{"data": ')]
    with pytest.raises(errors.NotTheServiceError, match="no JSON"):
        session_on(service.url).send("GET", "x", idempotent=True).json()


def endless(head: bytes, piece: bytes) -> Callable[..., None]:
    def step(connection: Any, _request: Any) -> None:
        connection.sendall(CUT_HEAD + head + b"\r\n\r\n")
        while True:
            connection.sendall(piece)

    return step


def test_a_body_without_an_end_stops_at_the_limit(service: Any, session_on: Any) -> None:
    service.script = [endless(b"Transfer-Encoding: chunked", b"10000\r\n" + bytes(1 << 16) + b"\r\n")]
    with pytest.raises(errors.TerminalServiceError, match="a body of more than 5,000,000 bytes"):
        session_on(service.url).send("GET", "x", accept=PROTOBUF, idempotent=True, most_bytes=5_000_000)


def test_a_gzip_bomb_stops_at_the_limit(service: Any, session_on: Any) -> None:
    bomb = gzip.compress(bytes(50_000_000), 1)
    service.script = [cut(b"Content-Encoding: gzip\r\nContent-Length: %d" % len(bomb), bomb)]
    with pytest.raises(errors.TerminalServiceError, match="a body of more than 1,000,000 bytes"):
        session_on(service.url).send("GET", "x", accept=PROTOBUF, idempotent=True, most_bytes=1_000_000)


@pytest.mark.parametrize("size", [3_000_000, 9_000_001])
@pytest.mark.parametrize("zipped", [False, True])
def test_large_bodies_are_whole(service: Any, session_on: Any, size: int, zipped: bool) -> None:
    content = bytes(range(251)) * (size // 251)
    sent = gzip.compress(content[:4_000_000], 1) + gzip.compress(content[4_000_000:], 1) if zipped else content
    encoding = b"Content-Encoding: gzip\r\n" if zipped else b""
    service.script = [cut(encoding + b"Content-Length: %d" % len(sent), sent)]
    session = session_on(service.url)
    assert session.send("GET", "x", accept=PROTOBUF, idempotent=True).body == content
    assert session.stats.snapshot().bytes_read == len(sent)
    assert shared_room().used == 0


def test_an_errors_body_is_read_as_far_as_it_says_something(service: Any, session_on: Any) -> None:
    head = CUT_HEAD.replace(b"200 OK", b"503 Busy") + b"Content-Length: 900000000\r\n\r\n"
    service.script = [
        lambda connection, _request: connection.sendall(head + b"busy" + b" " * 1_000_000),
        service.response(200, b"whole", PROTO),
    ]
    session = session_on(service.url)
    assert session.send("GET", "x", accept=PROTOBUF, idempotent=True).attempts == 2
    assert session.stats.snapshot().statuses == {503: 1, 200: 1}


@pytest.mark.parametrize("deep", [b"[" * 65_536, b'{"message":' * 20_000, b'{"error": ' + b"[" * 100_000])
def test_an_error_body_nested_without_end_is_an_error_like_any_other(
    service: Any, session_on: Any, deep: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    service.script = [service.response(503, deep), service.response()]
    with caplog.at_level("INFO"):
        assert session_on(service.url).send("GET", "x", idempotent=True).attempts == 2
    [line] = [record.getMessage() for record in caplog.records if "trying again" in record.getMessage()]
    assert "…" in line
    assert line.count("[") + line.count("{") <= 4


def test_an_answer_nested_without_end_is_not_the_service(service: Any, session_on: Any) -> None:
    service.script = [service.response(200, b"[" * 100_000)]
    with pytest.raises(errors.NotTheServiceError, match="a body that is no JSON"):
        session_on(service.url).send("GET", "x", idempotent=True).json()


@pytest.mark.parametrize("headers", [b"X: y\r\n" * 200, b"X: " + b"y" * 100_000 + b"\r\n"], ids=["many", "wide"])
def test_headers_without_measure_are_a_failed_attempt(service: Any, session_on: Any, headers: bytes) -> None:
    service.script = [
        lambda connection, _request: connection.sendall(
            b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: 0\r\n\r\n"
        ),
        service.response(),
    ]
    assert session_on(service.url).send("GET", "x", idempotent=True).attempts == 2
