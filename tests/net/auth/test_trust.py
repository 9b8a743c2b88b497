"""The way to the authority: which certificates are trusted, and through which proxy it goes. As `requests` users expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.core.errors import CredentialError
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import fixtures
from tests.support.clock import MovableClock
from tests.support.connect_proxy import ConnectProxy
from tests.support.pki import make_ca
from tests.support.sign_ins import Stage

private_ca, application_certificate = fixtures.private_ca, fixtures.application_certificate
stage, clock = fixtures.stage, fixtures.clock

BY_AUTHORITY = ["client_secret", "client_certificate", "device_code", "interactive_browser", "on_behalf_of"]


@pytest.fixture
def provide(stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TokenProvider]:
    """The provider for one of `SIGN_INS`, without the ca_bundle unless given."""

    def make(name: str, **keys: object) -> TokenProvider:
        sign_in = stage.sign_in(name)
        fixtures.put_into_environment(sign_in, monkeypatch)
        if "REQUESTS_CA_BUNDLE" in sign_in.environ:
            monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        kept = {key: value for key, value in sign_in.keys.items() if key != "ca_bundle"}
        spec = CredentialSpec(**kept | keys)
        return TokenProvider.of(spec, stage.resource_id, clock=clock.time, sleep=clock.sleep)

    return make


@pytest.mark.parametrize("name", [*BY_AUTHORITY, "default_by_environment"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_private_ca_is_trusted_by_the_usual_variable(
    stage: Stage, provide: Callable[..., TokenProvider], monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    provider = provide(name)
    monkeypatch.setenv(variable, str(stage.ca.bundle))
    assert provider.token()


@pytest.mark.parametrize("name", BY_AUTHORITY)
def test_a_private_ca_that_nobody_named_is_refused_at_once_with_the_cure(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], name: str
) -> None:
    with pytest.raises(CredentialError, match=r"certificate is not trusted.*credential\.ca_bundle.*REQUESTS_CA_BUNDLE"):
        provide(name).token()
    assert clock.slept == []
    assert stage.authority.requests.total() == 0


def test_the_configured_ca_goes_before_the_variable(
    stage: Stage, provide: Callable[..., TokenProvider], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = make_ca(tmp_path, "Another CA")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.bundle))
    assert provide("client_secret", ca_bundle=str(stage.ca.bundle)).token()
    with pytest.raises(CredentialError, match="not trusted"):
        provide("client_secret", ca_bundle=str(other.bundle)).token()


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    """A proxy that wants a user and a password."""
    with ConnectProxy("pump", "pr0xy-Passw0rd") as proxy:
        yield proxy


@pytest.mark.parametrize("stage", ["authority.invalid"], indirect=True)
@pytest.mark.parametrize("name", [*BY_AUTHORITY, "default_by_environment"])
def test_the_usual_variable_names_the_proxy(
    stage: Stage,
    provide: Callable[..., TokenProvider],
    monkeypatch: pytest.MonkeyPatch,
    proxy: ConnectProxy,
    name: str,
) -> None:
    provider = provide(name, ca_bundle=str(stage.ca.bundle))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    if name == "interactive_browser":  # the browser is not ours to send through a proxy
        monkeypatch.setenv("http_proxy", "")
    assert provider.token()
    assert set(proxy.connected) == {stage.authority.url.removeprefix("https://")}


@pytest.mark.parametrize("stage", ["authority.invalid"], indirect=True)
def test_no_proxy_is_heeded(
    stage: Stage,
    clock: MovableClock,
    provide: Callable[..., TokenProvider],
    monkeypatch: pytest.MonkeyPatch,
    proxy: ConnectProxy,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "authority.invalid")
    with pytest.raises(CredentialError):  # which has no address: nobody but the proxy knows the way
        provide("client_secret", ca_bundle=str(stage.ca.bundle)).token()
    assert proxy.connected == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("name", [*BY_AUTHORITY, "default_by_environment"])
def test_an_authority_on_this_machine_is_asked_without_a_proxy(
    stage: Stage,
    provide: Callable[..., TokenProvider],
    monkeypatch: pytest.MonkeyPatch,
    proxy: ConnectProxy,
    name: str,
    variable: str,
) -> None:
    provider = provide(name, ca_bundle=str(stage.ca.bundle))
    if name == "interactive_browser":  # the browser is not ours to keep from a proxy
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv(variable, proxy.url)
    assert provider.token()
    assert proxy.connected == []


@pytest.mark.parametrize("name", ["managed_identity", "managed_identity_of_user", "default_by_identity"])
def test_an_identity_endpoint_is_asked_without_a_proxy(
    stage: Stage, provide: Callable[..., TokenProvider], monkeypatch: pytest.MonkeyPatch, service: Any, name: str
) -> None:
    provider = provide(name)
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, service.origin)  # a proxy for plain http, which sees all of a request
    assert provider.token() in stage.identity.handed_out
    assert service.requests == []


@pytest.mark.parametrize("stage", ["authority.invalid"], indirect=True)
def test_a_proxy_that_refuses_is_named_without_its_password(
    stage: Stage, provide: Callable[..., TokenProvider], monkeypatch: pytest.MonkeyPatch, proxy: ConnectProxy
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://pump:wr0ng-Passw0rd@{proxy.address}")
    with pytest.raises(CredentialError, match="HTTPS_PROXY") as caught:
        provide("client_secret", ca_bundle=str(stage.ca.bundle)).token()
    assert "wr0ng-Passw0rd" not in str(caught.value)
    assert proxy.connected == []
