"""The provider over real azure-identity and msal, with their caches, against the stand-in: expiry, renewal, storms, trouble."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omnia_beam.core.errors import CredentialError
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import fixtures
from tests.support.authority import Fault
from tests.support.clock import MovableClock
from tests.support.sign_ins import SIGN_INS, Stage

private_ca, application_certificate = fixtures.private_ca, fixtures.application_certificate
stage, clock = fixtures.stage, fixtures.clock

BUSY = Fault(status=503)
SIGNED_IN = {"interactive_browser", "device_code", "on_behalf_of", "on_behalf_of_by_certificate"}


@pytest.fixture
def provide(stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TokenProvider]:
    """The provider for one of `SIGN_INS`, with further keys."""

    def make(name: str, **keys: object) -> TokenProvider:
        sign_in = stage.sign_in(name)
        fixtures.put_into_environment(sign_in, monkeypatch)
        spec = CredentialSpec(**sign_in.keys | keys)
        return TokenProvider.of(spec, stage.resource_id, clock=clock.time, sleep=clock.sleep)

    return make


def issued_in_all(stage: Stage) -> int:
    return stage.authority.grants.issued.total() + stage.identity.issued.total()


@pytest.mark.parametrize("name", SIGN_INS)
def test_a_token_is_refreshed_before_it_ends(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], name: str
) -> None:
    provider = provide(name)
    first = provider.token()
    clock.move(3600 - 310)
    assert provider.token() == first
    assert issued_in_all(stage) == 1
    clock.move(20)
    second = provider.token()
    assert second != first
    stage.authority.mint.check(second or "", stage.resource_id)
    assert issued_in_all(stage) == 2
    assert stage.authority.grants.issued["refresh_token"] == (1 if name in SIGNED_IN else 0)


@pytest.mark.parametrize("name", SIGN_INS)
def test_a_refused_token_is_renewed_past_every_cache(
    stage: Stage, provide: Callable[..., TokenProvider], name: str
) -> None:
    provider = provide(name)
    first = provider.token()
    second = provider.renew(first)
    assert second != first
    stage.authority.mint.check(second or "", stage.resource_id)
    assert issued_in_all(stage) == 2
    assert provider.token() == second
    # A person is not asked again, and the application's assertion of a user is not used up: the refresh token does it.
    assert stage.authority.grants.issued["refresh_token"] == (1 if name in SIGNED_IN else 0)


def test_the_claims_that_renew_sends_have_the_form_of_a_claims_challenge(
    stage: Stage, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("device_code")
    provider.renew(provider.token())
    (claims,) = stage.authority.grants.claims_seen
    assert json.loads(claims) == {"access_token": {"nbf": {"essential": True, "value": "1"}}}


def test_an_identity_endpoint_that_keeps_its_token_is_no_endless_loop(
    stage: Stage, provide: Callable[..., TokenProvider], caplog: pytest.LogCaptureFixture
) -> None:
    stage.identity.keeps_tokens = True
    provider = provide("managed_identity")
    first = provider.token()
    assert provider.renew(first) == first
    assert "ManagedIdentityCredential has no other one" in caplog.text


def test_a_revoked_sign_in_asks_the_person_again(stage: Stage, provide: Callable[..., TokenProvider]) -> None:
    provider = provide("interactive_browser")
    first = provider.token()
    stage.authority.grants.require_fresh_sign_in = True
    second = provider.renew(first)
    assert second != first
    assert stage.issued("interactive_browser") == 2
    assert len(stage.browser.visited) == 2


def test_an_expired_refresh_token_asks_the_person_again(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("interactive_browser")
    provider.token()
    stage.authority.grants.require_fresh_sign_in = True
    clock.move(3700)
    provider.token()
    assert stage.issued("interactive_browser") == 2


def test_on_behalf_of_outlives_the_users_assertion(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("on_behalf_of")
    provider.token()
    for _ in range(3):
        clock.move(3600)
        stage.authority.mint.check(provider.token() or "", stage.resource_id)
    assert stage.issued("on_behalf_of") == 1


def test_an_assertion_that_has_ended_is_named(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("on_behalf_of")
    clock.move(3700)
    with pytest.raises(CredentialError, match=r"AADSTS500133.*fetch a new one"):
        provider.token()


def test_an_assertion_of_somebody_elses_authority_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, provide: Callable[..., TokenProvider]
) -> None:
    good = stage.user_assertion()
    forged = good.rpartition(".")[0] + "." + "A" * 342
    monkeypatch.setattr(stage, "user_assertion", lambda: forged)
    with pytest.raises(CredentialError, match=r"AADSTS50013.*own application"):
        provide("on_behalf_of").token()


@pytest.mark.parametrize("name", ["client_secret", "interactive_browser"])
def test_a_storm_of_threads_signs_in_once(stage: Stage, provide: Callable[..., TokenProvider], name: str) -> None:
    stage.authority.fail_next(1, Fault(delay_s=0.2))
    provider = provide(name)
    barrier = threading.Barrier(16)

    def one(_: int) -> str | None:
        barrier.wait()
        return provider.token()

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(one, range(16)))) == 1
    assert issued_in_all(stage) == 1


@pytest.mark.parametrize("name", ["client_secret", "client_certificate", "on_behalf_of", "device_code"])
@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        Fault(status=500, body=b"<html>gateway</html>", content_type="text/html"),
        Fault(status=429, text="AADSTS90055: Too many requests.", headers={"Retry-After": "7"}),
        Fault(status=200, body=b"<html>please wait</html>", content_type="text/html"),
        Fault(
            status=400, error="temporarily_unavailable", text="AADSTS90033: Try again.", headers={"Retry-After": "2"}
        ),
    ],
    ids=["503", "500 html", "429", "200 html", "AADSTS90033"],
)
def test_a_passing_trouble_of_the_authority_is_waited_out(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], name: str, fault: Fault
) -> None:
    stage.authority.fail_next(1, fault, endpoint="devicecode" if name == "device_code" else "token")
    stage.authority.mint.check(provide(name).token() or "", stage.resource_id)
    assert issued_in_all(stage) == 1
    assert 6 <= sum(clock.slept) < (80 if name == "device_code" else 25)  # msal keeps a person's away for 60 s


@pytest.mark.parametrize("endpoint", ["openid-configuration", "token"])
def test_a_lasting_trouble_ends_with_what_the_authority_said(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], endpoint: str
) -> None:
    stage.authority.fail_next(50, BUSY, endpoint)
    with pytest.raises(CredentialError, match="503") as caught:
        provide("client_secret").token()
    assert "ClientSecretCredential" in str(caught.value)
    assert sum(clock.slept) < 80
    assert (
        stage.authority.requests[endpoint] == 5
    )  # no retries of azure-core's own in between, nor answers from a cache


def test_a_retry_after_is_obeyed(stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]) -> None:
    stage.authority.fail_next(1, Fault(status=503, headers={"Retry-After": "40"}))
    provide("client_secret").token()
    assert sum(clock.slept) > 40
    assert stage.authority.requests["token"] == 2


def test_a_slow_authority_is_waited_for_as_long_as_said(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    stage.authority.fail_next(1, Fault(delay_s=5))
    provide("client_secret", read_timeout_s=0.2).token()
    assert stage.authority.requests["token"] == 2
    assert len(clock.slept) == 1


def test_an_authority_that_is_not_there_is_named(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("client_secret", authority="https://login.invalid")
    with pytest.raises(CredentialError, match=r"login\.invalid"):
        provider.token()
    assert len(clock.slept) == 4


def test_a_failing_identity_endpoint_is_asked_again_by_azure_identity(
    stage: Stage, provide: Callable[..., TokenProvider]
) -> None:
    stage.identity.failures = 1
    assert provide("managed_identity").token()
    assert stage.issued("system_assigned") == 1


def test_trouble_in_the_middle_of_a_run_is_not_noticed(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("client_secret")
    first = provider.token()
    clock.move(3400)
    stage.authority.fail_next(4, BUSY)
    slept = len(clock.slept)
    for _ in range(100):
        assert provider.token() == first
        clock.move(1)
    assert len(clock.slept) == slept
    clock.move(60)
    assert provider.token() != first


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("client_secret", "AADSTS7000215", "client_secret_env"),
        ("client_certificate", "AADSTS700027", "certificate is not the one"),
        ("device_code", "AADSTS700016", "client id"),
    ],
)
def test_what_the_authority_does_not_know_is_refused_once_with_the_cure(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], name: str, code: str, word: str
) -> None:
    for application in stage.directory.applications.values():
        application.secret, application.certificates = "another", []
    if name == "device_code":
        stage.directory.applications.clear()
    with pytest.raises(CredentialError) as caught:
        provide(name).token()
    assert code in str(caught.value)
    assert word in str(caught.value)
    assert clock.slept == []


def test_an_unknown_tenant_is_named(stage: Stage, provide: Callable[..., TokenProvider]) -> None:
    with pytest.raises(CredentialError, match="Check the tenant id"):
        provide("client_secret", tenant_id="00000000-0000-0000-0000-000000000000").token()


def test_an_unknown_api_is_named(stage: Stage) -> None:
    sign_in = stage.sign_in("client_secret")
    provider = TokenProvider.of(CredentialSpec(**sign_in.keys), "another-resource", sign_in.environ)
    with pytest.raises(CredentialError, match=r"AADSTS500011.*resource_id"):
        provider.token()


def test_no_identity_on_this_machine_is_said_to_be_so(
    stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, provide: Callable[..., TokenProvider]
) -> None:
    provider = provide("managed_identity", client_id="nobody")
    with pytest.raises(CredentialError, match=r"No User Assigned or Delegated Managed Identity.*of Azure"):
        provider.token()
    assert clock.slept == []


def test_a_default_chain_that_finds_nothing_says_so(
    stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential"
    )  # the rest of the chain would leave this machine
    provider = TokenProvider.of(CredentialSpec("default"), stage.resource_id, clock=clock.time, sleep=clock.sleep)
    with pytest.raises(CredentialError, match=r"EnvironmentCredential authentication unavailable.*kind default tries"):
        provider.token()
    assert clock.slept == []


def test_a_default_chain_waits_out_a_busy_authority(
    stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, provide: Callable[..., TokenProvider]
) -> None:
    monkeypatch.setattr(
        "azure.core.pipeline.transport.RequestsTransport.sleep", lambda self, seconds: clock.sleep(seconds)
    )
    stage.authority.fail_next(4, BUSY)
    assert provide("default_by_environment").token()
    assert stage.authority.requests["token"] == 5


def test_a_secret_replaced_while_the_job_runs_is_found(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text("the first secret")
    application = stage.directory.applications[stage.sign_in("client_secret").environ["AZURE_CLIENT_ID"]]
    application.secret = "the first secret"
    provider = provide("client_secret", client_secret_file=str(path))
    first = provider.token()
    application.secret = "the second secret"
    path.write_text("the second secret")
    clock.move(3700)
    assert provider.token() != first
    assert stage.issued("client_secret") == 2


@pytest.mark.parametrize("name", [name for name in SIGN_INS if "identity" not in name])
@pytest.mark.parametrize("status", [200, 400])
def test_json_without_an_end_to_its_depth_is_no_token(
    stage: Stage, provide: Callable[..., TokenProvider], name: str, status: int
) -> None:
    stage.authority.fail_next(50, Fault(status=status, body=b'{"access_token":' + b"[" * 100_000))
    with pytest.raises(CredentialError) as caught:
        provide(name).token()
    assert "the response is JSON that is nested too deeply to be read" in str(caught.value)
    assert "recursion" not in str(caught.value)
    assert "[[[" not in str(caught.value)


def test_json_of_too_great_a_depth_may_pass(stage: Stage, provide: Callable[..., TokenProvider]) -> None:
    """As a gateway's page does."""
    stage.authority.fail_next(2, Fault(status=200, body=b"[" * 100_000))
    assert provide("client_secret").token() is not None
