"""Bodies of requests: bounded on the wire and unpacked, and never so deep that the emulator chokes on what it keeps."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import identity

Start = Callable[..., EmulatorThread]
MIB = 1 << 20
POINTS = json.dumps({"datapoints": [{"time": "2024-01-01T00:00:00Z", "value": 1.5}]}).encode()


def write(running: EmulatorThread, http: requests.Session, body: bytes | Iterator[bytes], encoding: str = "") -> int:
    headers = {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})
    url = f"{running.url}/{identity('empty')}/data?async=false"
    return http.post(url, data=body, headers=headers).status_code


@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize(
    ("encoding", "packed", "status"),
    [
        ("gzip", gzip.compress(POINTS), 200),
        ("X-GZIP", gzip.compress(POINTS), 200),
        ("deflate", zlib.compress(POINTS), 200),
        ("identity", POINTS, 200),
        ("gzip", gzip.compress(POINTS)[:-9], 400),
        ("gzip", gzip.compress(POINTS) + b"more", 400),
        ("gzip", POINTS, 400),
        ("br", POINTS, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(POINTS)), 415),
    ],
    ids=["gzip", "x-gzip", "deflate", "identity", "cut short", "more behind", "no gzip", "brotli", "twice"],
)
def test_packed_bodies(
    emulator: Start, http: requests.Session, encoding: str, packed: bytes, status: int, as_stream: bool
) -> None:
    body = (packed[at : at + 1] for at in range(len(packed))) if as_stream else packed
    running = emulator()
    assert write(running, http, body, encoding) == status
    assert running.stats()["points_written"] == (status == 200)


def bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, compresslevel=9)


def test_a_bound_holds_on_the_wire_and_unpacked(emulator: Start, http: requests.Session) -> None:
    running = emulator("--max-body", "2000")
    assert write(running, http, POINTS + b" " * (2000 - len(POINTS))) == 200
    assert write(running, http, POINTS + b" " * (2001 - len(POINTS))) == 413
    assert write(running, http, iter([POINTS, b" " * 2000])) == 413
    assert write(running, http, gzip.compress(POINTS + b" " * (2000 - len(POINTS))), "gzip") == 200
    assert write(running, http, gzip.compress(POINTS + b" " * (2001 - len(POINTS))), "gzip") == 413
    assert running.stats()["points_written"] == 2


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_any_option_memory_has_a_bound() -> None:
    with EmulatorProcess(["--synthetic", "dense:series=1,days=1,step=1h", "--auth", "bearer"]) as running:
        before = peak_mb(running.pid)
        packed, place = bomb(256 * MIB), urlsplit(running.url)
        for path in ("/_emulator/faults", f"{place.path}/data"):
            for token in ("", "Authorization: Bearer opaque\r\n"):
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{token}"
                for more in (
                    ("Content-Length: 8000000000\r\n\r\n", b"x" * MIB),
                    ("Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + b"x" * MIB + b"\r\n"),
                ):
                    pour(place.port or 0, f"{head}{more[0]}".encode(), more[1])
                head += f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
                pour(place.port or 0, head.encode() + packed, b"")
        assert running.stats()["requests_by_status"].keys() >= {"401", "413"}
        assert peak_mb(running.pid) - before < 180


def pour(port: int, head: bytes, piece: bytes) -> None:
    """Send the head, and then so much that no emulator should keep it all, for as long as it is taken."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(1)
        try:
            connection.sendall(head)
            for _ in range(80 if piece else 0):
                connection.sendall(piece)
        except OSError:
            return


def peak_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("depth", [17, 200, 400, 900, 100_000])
def test_what_is_nested_deeply_is_refused_and_not_kept(emulator: Start, http: requests.Session, depth: int) -> None:
    running = emulator("--synthetic", "dense:series=1,days=1,step=1h")
    deep, headers = nested(depth), {"Content-Type": "application/json"}
    series, uid = identity("steady"), f"ims-{identity('steady')}"
    base = running.url.partition("/plant")[0] + "/plant"
    bodies = {
        ("PATCH", f"{running.url}/{series}"): f'{{"metadata": {deep}}}',
        ("PUT", f"{running.url}/{series}"): f'{{"name": "n", "facility": "f", "metadata": {deep}}}',
        ("POST", running.url): f'{{"name": "new", "facility": "EMU", "metadata": {deep}}}',
        ("POST", f"{running.url}/getoradd"): f'[{{"name": "new", "facility": "EMU", "metadata": {deep}}}]',
        ("POST", f"{running.url}/query/data"): f'[{{"id": "{series}", "limit": {deep}}}]',
        ("POST", f"{running.url}/data"): f'{{"items": [{{"id": "{series}", "datapoints": [{{"time": {deep}}}]}}]}}',
        ("POST", f"{running.url}/streaming/subscriptions"): f'[{{"id": {deep}}}]',
        ("PATCH", f"{base}/ims-subscriptions-management/v1.2/uid/{uid}"): f'{{"name": {deep}}}',
    }
    for (method, url), body in bodies.items():
        response = http.request(method, url, data=body, headers=headers)
        assert response.status_code in (400, 404), (method, url, response.text[:200])
        assert len(response.text) < 2_000
    listed = http.get(running.url)
    assert listed.status_code == 200
    assert "new" not in {item["name"] for item in listed.json()["data"]["items"]}
    assert http.get(f"{base}/ims-subscriptions/v1.2").status_code == 200


def test_a_status_of_thousands_of_digits(emulator: Start, http: requests.Session) -> None:
    url = f"{emulator().url}/{identity('steady')}/data"
    assert http.get(url, params={"status": "9" * 5_000}).status_code == 400


def test_a_request_that_is_none_is_not_logged() -> None:
    secret = "0paque-T0ken-0f-S0mebody-Else"
    with EmulatorProcess(["--auth", "bearer"]) as running:
        for line in (f"Authorization: Bearer {secret}\x00", f"Authorization\x01: {secret}", f"Bearer {secret}"):
            pour(urlsplit(running.url).port or 0, f"GET / HTTP/1.1\r\n{line}\r\n\r\n".encode(), b"")
        running.stats()
        assert secret not in running.errors()
