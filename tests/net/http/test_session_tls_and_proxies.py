"""Private authorities and proxies, as users of `requests` expect them."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from omnia_beam.core import errors
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.response import PROTOBUF
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.route import proxy_of
from omnia_beam.net.http.settings import ServiceSettings
from tests.net.conftest import ScriptedService
from tests.support.pki import PrivateCa, make_ca


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls_service(ca: PrivateCa) -> Iterator[ScriptedService]:
    made = ScriptedService(ca.server_context("127.0.0.1", "service.invalid"))
    yield made
    made.close()


def test_a_ca_bundle_of_the_settings(tls_service: Any, session_on: Any, ca: PrivateCa, monkeypatch: Any) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")  # the settings go first
    session = session_on(tls_service.url, ca_bundle=str(ca.bundle))
    assert session.send("GET", "x", idempotent=True).status == 200
    session.send("GET", "x", idempotent=True)
    assert {request.connection for request in tls_service.requests} == {1}


def test_a_ca_bundle_of_the_environment(tls_service: Any, session_on: Any, ca: PrivateCa, monkeypatch: Any) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca.bundle))
    assert session_on(tls_service.url).send("GET", "x", idempotent=True).status == 200


def test_an_unknown_authority_is_told_at_once_with_the_cure(tls_service: Any, session_on: Any) -> None:
    session = session_on(tls_service.url)
    with pytest.raises(errors.UnreachableError, match=r"not trusted .*ca_bundle or in REQUESTS_CA_BUNDLE") as caught:
        session.send("GET", "x", idempotent=True)
    assert caught.value.attempts == 1
    assert tls_service.requests == []


def test_a_certificate_for_another_host_is_not_trusted(session_on: Any, ca: PrivateCa) -> None:
    service = ScriptedService(ca.server_context("elsewhere.invalid"))
    try:
        with pytest.raises(errors.UnreachableError, match="not trusted"):
            session_on(service.url, ca_bundle=str(ca.bundle)).send("GET", "x", idempotent=True)
    finally:
        service.close()


def test_a_ca_bundle_that_is_not_there(tls_service: Any, session_on: Any) -> None:
    with pytest.raises(errors.UsageError, match=r"ca_bundle .*nowhere\.pem"):
        session_on(tls_service.url, ca_bundle="/nowhere.pem")


def test_a_ca_bundle_of_the_environment_that_is_not_there(tls_service: Any, session_on: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(errors.UnreachableError, match=r"/nowhere\.pem: see ca_bundle") as caught:
        session_on(tls_service.url).send("GET", "x", idempotent=True)
    assert caught.value.attempts == 1


def test_plain_http_where_tls_was_expected(service: Any, session_on: Any) -> None:
    session = session_on(service.url.replace("http:", "https:"), retry=RetryPolicy(attempts=2))
    service.greeting = service.response(400)
    with pytest.raises(errors.UnreachableError, match="TLS failed"):
        session.send("POST", "x", json_body={}, idempotent=False)
    assert session.stats.snapshot().failures == {"tls": 2}


def test_a_handshake_that_never_comes(session_on: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/v1"
        session = session_on(url, connect_timeout_s=0.1, retry=RetryPolicy(attempts=2))
        with pytest.raises(errors.UnreachableError, match="no TLS connection within the connect timeout"):
            session.send("POST", "x", json_body={}, idempotent=False)
    assert session.stats.snapshot().failures == {"connect": 2}


def test_a_body_cut_short_under_tls(tls_service: Any, session_on: Any, ca: PrivateCa) -> None:
    def cut(connection: Any, _request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 99_000)

    tls_service.script = [cut, tls_service.response(200, b"whole", "application/protobuf")]
    session = session_on(tls_service.url, ca_bundle=str(ca.bundle))
    response = session.send("GET", "x", accept=PROTOBUF, idempotent=True)
    assert (response.body, response.attempts) == (b"whole", 2)


def test_a_dripping_body_under_tls_ends(tls_service: Any, session_on: Any, ca: PrivateCa) -> None:
    def drip(connection: Any, _request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not tls_service.stop.wait(0.02):
            connection.sendall(b"x")

    tls_service.script = [drip, tls_service.response()]
    session = session_on(tls_service.url, ca_bundle=str(ca.bundle), attempt_timeout_s=0.3)
    assert session.send("GET", "x", idempotent=True).attempts == 2
    assert session.stats.snapshot().failures == {"timeout": 1}


def test_a_proxy_of_the_environment_is_used(service: Any, session_on: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", service.origin)
    session_on("http://service.invalid/v1").send("GET", "x", idempotent=True)
    assert service.requests[0].target == "http://service.invalid/v1/x"


def test_no_proxy_is_heeded(other_service: Any, session_on: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", other_service.origin)
    monkeypatch.setenv("NO_PROXY", "service.invalid")
    session = session_on("http://service.invalid/v1", retry=RetryPolicy(attempts=1))
    with pytest.raises(errors.UnreachableError, match="host name is not known"):
        session.send("GET", "x", idempotent=True)
    assert other_service.requests == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"])
def test_no_token_for_this_machine_goes_to_a_proxy(
    service: Any, other_service: Any, session_on: Any, changing_tokens: Any, monkeypatch: Any, variable: str, host: str
) -> None:
    monkeypatch.setenv(variable, other_service.origin)
    url = service.url.replace("127.0.0.1", host)
    session = session_on(url, tokens=changing_tokens, retry=RetryPolicy(attempts=1))
    with suppress(errors.UnreachableError):  # a machine without IPv6 has no way to such an address
        session.send("GET", "x", idempotent=True)
    check_reachable(ServiceSettings(service.url), sleep=lambda _seconds: None)
    assert other_service.requests == []
    assert len(service.requests) == 1 or ":" in host


def test_tls_to_this_machine_needs_no_proxy(
    tls_service: Any, other_service: Any, session_on: Any, ca: PrivateCa, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", other_service.origin)
    session_on(tls_service.url, ca_bundle=str(ca.bundle)).send("GET", "x", idempotent=True)
    assert other_service.requests == []


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost", "localhost.", "a.localhost", "127.0.0.1", "127.255.255.254", "127.1", "2130706433"),
        *("0x7f.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.2]", "169.254.169.254", "[fe80::1%25eth0]"),
    ],
)
def test_this_machine_by_any_name(host: str, monkeypatch: Any) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://proxy.invalid:3128")
    for scheme in ("http", "https"):
        assert proxy_of(f"{scheme}://{host}:8080/plant") is None


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "notlocalhost", "128.0.0.1", "10.0.0.1", "127.0.0.1.nip.io", "[2001:db8::1]", "1"]
)
def test_another_machine_however_it_looks(host: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    assert proxy_of(f"http://{host}/") == "http://proxy.invalid:3128"


def test_a_proxy_that_refuses_the_tunnel(service: Any, session_on: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTPS_PROXY", service.origin.replace("//", "//user:proxy-hush@"))
    service.script = [service.response(407, b"")]
    session = session_on("https://service.invalid/v1", retry=RetryPolicy(attempts=2))
    with pytest.raises(errors.UnreachableError, match=r"proxy failed \(Tunnel .*407.*see HTTPS_PROXY") as caught:
        session.send("POST", "x", json_body={}, idempotent=False)
    # Only the proxy heard of it: sending again was safe.
    assert [request.method for request in service.requests] == ["CONNECT", "CONNECT"]
    assert "hush" not in str(caught.value)


def test_a_tunnel_leads_to_the_service(
    tls_service: Any, service: Any, session_on: Any, ca: PrivateCa, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", service.origin)
    service.script = [_tunnel]
    session = session_on(tls_service.url.replace("127.0.0.1", "service.invalid"), ca_bundle=str(ca.bundle))
    assert session.send("GET", "x", idempotent=True).status == 200
    assert service.requests[0].method == "CONNECT"
    session.close()


def _tunnel(client: Any, request: Any) -> None:
    """Pass bytes both ways until one side ends; every host is on this machine."""
    _, _, port = request.target.partition(":")
    with socket.create_connection(("127.0.0.1", int(port))) as upstream, selectors.DefaultSelector() as ready:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ready.register(client, selectors.EVENT_READ, upstream)
        ready.register(upstream, selectors.EVENT_READ, client)
        while True:
            for key, _ in ready.select(10):
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]  # sockets, both
                if not data:
                    return
                key.data.sendall(data)


def test_an_unknown_proxy(session_on: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    session = session_on("http://service.invalid/v1", retry=RetryPolicy(attempts=1))
    with pytest.raises(errors.UnreachableError, match="the proxy failed"):
        session.send("GET", "x", idempotent=True)
