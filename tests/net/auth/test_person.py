"""The two kinds that ask a person: the prompt, the waiting, the ways it fails, and the sign-in kept for later runs."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omnia_beam.core.errors import CredentialError
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import fixtures
from tests.support.clock import MovableClock
from tests.support.grants import DeviceScript
from tests.support.sign_ins import Stage

private_ca, application_certificate = fixtures.private_ca, fixtures.application_certificate
stage, clock = fixtures.stage, fixtures.clock

PERSONS = ["interactive_browser", "device_code"]
KEPT = {"token_cache": "pumps", "token_cache_unencrypted": True}


@pytest.fixture
def provide(stage: Stage, clock: MovableClock) -> Callable[..., TokenProvider]:
    """The provider for a person's kind, as a new process would make it."""

    def make(name: str, **keys: Any) -> TokenProvider:
        sign_in = stage.sign_in(name)
        spec = CredentialSpec(**sign_in.keys | keys)
        return TokenProvider.of(spec, stage.resource_id, sign_in.environ, clock=clock.time, sleep=clock.sleep)

    return make


def test_the_device_code_is_shown_on_stderr_alone(
    provide: Callable[..., TokenProvider], capfd: pytest.CaptureFixture[str]
) -> None:
    provide("device_code").token()
    out, err = capfd.readouterr()
    assert out == ""
    assert "open https://microsoft.invalid/devicelogin and enter the code ABCD1234" in err


@pytest.mark.parametrize("kind", PERSONS)
def test_stdout_stays_free_for_results(
    provide: Callable[..., TokenProvider], capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    provide(kind).token()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", PERSONS)
def test_a_first_sign_in_is_no_warning(
    provide: Callable[..., TokenProvider], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    provide(kind).token()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_person_who_takes_time_is_polled_at_the_pace_that_the_authority_asks_for(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    stage.authority.grants.device = DeviceScript(pending=3, slow_downs=2, interval_s=5, expires_in_s=900)
    provide("device_code", prompt_timeout_s=600).token()
    assert stage.authority.requests["token"] == 6
    assert sum(clock.slept) == 3 * 5 + 10 + 15  # each slow_down adds 5 s to the interval, for good


@pytest.mark.parametrize(
    ("script", "timeout_s", "word"),
    [
        (DeviceScript(pending=10_000), 60, "Timed out waiting.*credential.prompt_timeout_s"),
        (DeviceScript(pending=10_000, expires_in_s=90, interval_s=5), 600, "AADSTS7001|AADSTS7002"),
        (DeviceScript(decline=True), 60, "has said no"),
    ],
    ids=["nobody comes", "the code ends", "no"],
)
def test_a_device_code_that_nobody_confirms_ends_in_time(
    stage: Stage,
    clock: MovableClock,
    provide: Callable[..., TokenProvider],
    script: DeviceScript,
    timeout_s: float,
    word: str,
) -> None:
    stage.authority.grants.device = script
    with pytest.raises(CredentialError, match=word):
        provide("device_code", prompt_timeout_s=timeout_s).token()
    assert sum(clock.slept) <= 100


def test_a_browser_that_nobody_sits_at_is_given_up(stage: Stage, provide: Callable[..., TokenProvider]) -> None:
    stage.browser.absent = True
    with pytest.raises(CredentialError, match=r"Timed out after waiting 1 seconds.*credential.prompt_timeout_s"):
        provide("interactive_browser", prompt_timeout_s=1).token()


def test_a_machine_without_a_browser_is_told_to_use_a_device_code(
    provide: Callable[..., TokenProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    with pytest.raises(CredentialError, match="use credential kind device_code"):
        provide("interactive_browser").token()


def test_a_person_who_says_no_ends_it(stage: Stage, provide: Callable[..., TokenProvider]) -> None:
    stage.authority.person_declines = True
    with pytest.raises(CredentialError, match="The user said no"):
        provide("interactive_browser").token()


def test_the_browser_is_sent_with_pkce_to_the_configured_redirect(
    stage: Stage, provide: Callable[..., TokenProvider], unused_port: int
) -> None:
    redirect = f"http://localhost:{unused_port}"
    provide("interactive_browser", redirect_uri=redirect, login_hint="operator@example.invalid").token()
    (page,) = stage.browser.visited
    query = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
    assert query["redirect_uri"] == redirect
    assert query["login_hint"] == "operator@example.invalid"
    assert query["code_challenge_method"] == "S256"
    assert query["response_mode"] == "form_post"
    assert f"{stage.resource_id}/user_impersonation" in query["scope"].split()


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("kind", PERSONS)
def test_a_kept_sign_in_serves_later_runs_without_a_prompt(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider], kind: str
) -> None:
    first = provide(kind, **KEPT).token()
    assert provide(kind, **KEPT).token() == first
    clock.move(20 * 3600)
    later = provide(kind, **KEPT).token()
    stage.authority.mint.check(later or "", stage.resource_id)
    assert stage.issued(kind) == 1
    assert stage.issued("refresh_token") == 1


@pytest.mark.parametrize("kind", PERSONS)
def test_without_a_cache_each_run_asks(stage: Stage, provide: Callable[..., TokenProvider], kind: str) -> None:
    provide(kind).token()
    provide(kind).token()
    assert stage.issued(kind) == 2
    assert not list(stage.home.iterdir())


def test_what_is_kept_is_for_the_owner_alone_and_the_record_holds_no_secret(
    stage: Stage, provide: Callable[..., TokenProvider]
) -> None:
    provide("device_code", **KEPT).token()
    record = stage.home / ".omnia-beam/sign-in/pumps.json"
    cache = stage.home / ".IdentityService/omnia-beam.pumps.nocae"
    files = [path for path in stage.home.rglob("*") if path.is_file() and path.suffix != ".lockfile"]
    assert sorted(files) == sorted([record, cache])
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    text = record.read_text()
    assert stage.directory.user.name in text
    assert not [secret for secret in stage.authority.grants.handed_out if secret in text]


def test_two_caches_are_two_sign_ins(stage: Stage, provide: Callable[..., TokenProvider]) -> None:
    provide("device_code", **KEPT).token()
    provide("device_code", **KEPT | {"token_cache": "valves"}).token()
    assert stage.issued("device_code") == 2


@pytest.mark.parametrize("damage", ["", "{}", "not json", '{"version": "9.9"}'])
def test_a_damaged_record_costs_one_prompt(
    stage: Stage, provide: Callable[..., TokenProvider], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    provide("device_code", **KEPT).token()
    record = stage.home / ".omnia-beam/sign-in/pumps.json"
    record.write_text(damage)
    provide("device_code", **KEPT).token()
    assert str(record) in caplog.text
    provide("device_code", **KEPT).token()
    assert stage.issued("device_code") == 2


def test_a_sign_in_that_cannot_be_kept_still_serves_this_run(
    stage: Stage, provide: Callable[..., TokenProvider], caplog: pytest.LogCaptureFixture
) -> None:
    (stage.home / ".omnia-beam").write_text("a file where the folder should be")
    assert provide("device_code", **KEPT).token()
    assert "the next run needs a new one" in caplog.text


def test_a_revoked_sign_in_that_was_kept_asks_and_is_kept_anew(
    stage: Stage, clock: MovableClock, provide: Callable[..., TokenProvider]
) -> None:
    provide("device_code", **KEPT).token()
    clock.move(20 * 3600)
    stage.authority.grants.require_fresh_sign_in = True
    provide("device_code", **KEPT).token()
    stage.authority.grants.require_fresh_sign_in = False
    provide("device_code", **KEPT).token()
    assert stage.issued("device_code") == 2


def test_without_a_key_store_a_plain_file_has_to_be_allowed(
    stage: Stage, provide: Callable[..., TokenProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_key_store(*args: object, **options: object) -> None:
        raise ImportError("no libsecret here")

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("msal_extensions.LibsecretPersistence", no_key_store)
    with pytest.raises(CredentialError, match=r"credential\.token_cache_unencrypted"):
        provide("device_code", token_cache="pumps").token()
    assert not [path for path in stage.home.rglob("*") if path.is_file()]


IN_ITS_OWN_PROCESS = """
import json, os, sys
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
print(TokenProvider.of(CredentialSpec(**json.loads(sys.argv[1])), sys.argv[2]).token())
"""


@pytest.mark.parametrize("kind", PERSONS)
def test_a_job_in_its_own_process_asks_and_is_answered(stage: Stage, kind: str) -> None:
    sign_in = stage.sign_in(kind)
    command = [sys.executable, "-c", IN_ITS_OWN_PROCESS, json.dumps(sign_in.keys), stage.resource_id]
    done = subprocess.run(
        command, env=os.environ | sign_in.environ, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    stage.authority.mint.check(done.stdout.strip(), stage.resource_id)
    assert ("enter the code ABCD1234" in done.stderr) == (kind == "device_code")
