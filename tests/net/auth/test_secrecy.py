"""No secret shows: not in a log at DEBUG, not in an exception, a repr or a pickle, also when the authority is indiscreet."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core import redaction
from omnia_beam.core.errors import CredentialError
from omnia_beam.core.redaction import RedactingFilter, guard_logs, redact, remember_secret
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.auth.token_provider import TokenProvider
from tests.support import fixtures
from tests.support.authority import Fault
from tests.support.clock import MovableClock
from tests.support.leaks import all_logs, find_leaks
from tests.support.sign_ins import SECRET, SIGN_INS, Stage

private_ca, application_certificate = fixtures.private_ca, fixtures.application_certificate
stage, clock = fixtures.stage, fixtures.clock


@pytest.fixture
def provide(stage: Stage, clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TokenProvider]:
    """The provider for one of `SIGN_INS`."""

    def make(name: str) -> TokenProvider:
        sign_in = stage.sign_in(name)
        fixtures.put_into_environment(sign_in, monkeypatch)
        spec = CredentialSpec(**sign_in.keys)
        return TokenProvider.of(spec, stage.resource_id, clock=clock.time, sleep=clock.sleep)

    return make


@pytest.mark.parametrize("name", SIGN_INS)
def test_a_life_of_a_credential_shows_nothing(
    stage: Stage,
    clock: MovableClock,
    provide: Callable[[str], TokenProvider],
    capfd: pytest.CaptureFixture[str],
    name: str,
) -> None:
    places: list[tuple[str, str | bytes]] = []
    with all_logs() as logs:
        provider = provide(name)
        places.append(("repr when new", repr(provider)))
        token = provider.token()
        provider.renew(token)
        clock.move(3500)
        provider.token()
        places += [("repr", repr(provider)), ("str", str(provider)), ("format", f"{provider}")]
    with pytest.raises(TypeError) as refused:
        pickle.dumps(provider)
    sign_in = stage.sign_in(name)
    spec = CredentialSpec(**sign_in.keys)
    out, err = capfd.readouterr()
    places += [("log", line) for line in logs]
    places += [("refused pickle", str(refused.value)), ("spec", repr(spec)), ("spec pickle", pickle.dumps(spec))]
    places += [("stdout", out), ("stderr", err)]
    assert any(" DEBUG " in line for line in logs)
    assert any(line.startswith("azure.identity") for line in logs)
    assert stage.secrets(sign_in)
    assert find_leaks(places, stage.secrets(sign_in)) == []


ECHOING = Fault(status=400, error="invalid_grant")
TROUBLES = {
    "echo": None,  # the real rules, whose refusals repeat the request
    "html": "<html><body>Blocked: {sent}</body></html>",
    "json without error": '{{"unexpected": {quoted}}}',
    "json list": "[{quoted}]",
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", [name for name in SIGN_INS if "identity" not in name])
def test_an_indiscreet_authority_is_not_repeated(
    stage: Stage,
    clock: MovableClock,
    provide: Callable[[str], TokenProvider],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    trouble: str,
) -> None:
    sign_in = stage.sign_in(name)
    _make_indiscreet(stage, monkeypatch, trouble)
    with all_logs() as logs, pytest.raises(CredentialError) as caught:
        provide(name).token()
    places: list[tuple[str, str | bytes]] = [("log", line) for line in logs]
    places += [
        ("message", str(caught.value)),
        ("repr", repr(caught.value)),
        ("members", repr(vars(caught.value))),
        ("pickle", pickle.dumps(caught.value)),
        ("traceback", "".join(traceback.format_exception(caught.value))),
    ]
    secrets = [*stage.secrets(sign_in), *stage.sent]  # type: ignore[attr-defined]  # put there just now
    assert find_leaks(places, secrets) == []


def _make_indiscreet(stage: Stage, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    """Have every token request fail with an answer that repeats it; `stage.sent` keeps the secrets that were sent."""
    sent: list[str] = []
    monkeypatch.setattr(stage, "sent", sent, raising=False)
    for application in stage.directory.applications.values():
        if application.secret:
            application.secret, application.certificates = "another", []
    stage.authority.echo = True
    response = stage.authority.response

    def indiscreet(method: str, target: str, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = response(method, target, form)
        if not form:
            return status, headers, body
        names = (
            "client_secret",
            "client_assertion",
            "assertion",
            "code",
            "code_verifier",
            "device_code",
            "refresh_token",
        )
        sent.extend(form[name] for name in names if name in form)
        page = TROUBLES[trouble]
        if page is None:
            refusal = {"error": "invalid_grant", "error_description": f"AADSTS1: You sent {form} {json.dumps(form)}"}
            return 400, headers, json.dumps(refusal).encode()
        return 200, {"Content-Type": "text/html"}, page.format(sent=form, quoted=json.dumps(str(form))).encode()

    monkeypatch.setattr(stage.authority, "response", indiscreet)


def test_without_the_guard_msal_does_log_what_it_was_sent(
    stage: Stage, provide: Callable[[str], TokenProvider]
) -> None:
    """The test that the others can fail: the same trouble, the filters taken off."""
    page = f"<html>Blocked: client_secret={SECRET}</html>".encode()
    stage.authority.fail_next(1, Fault(status=200, body=page, content_type="text/html"))
    sign_in = stage.sign_in("client_secret")
    credential = CredentialSpec(**sign_in.keys).build(sign_in.environ)
    assert credential
    for logger in [each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)]:
        for one in [each for each in logger.filters if isinstance(each, RedactingFilter)]:
            logger.removeFilter(one)
    try:
        with all_logs() as logs, pytest.raises(Exception, match="Expecting value"):
            credential.get_token(f"{stage.resource_id}/.default")
    finally:
        guard_logs()
    assert find_leaks([("log", line) for line in logs], [SECRET])


def test_a_refused_secret_is_not_in_what_is_said(stage: Stage, provide: Callable[[str], TokenProvider]) -> None:
    stage.authority.echo = True
    stage.directory.applications[stage.sign_in("client_secret").environ["AZURE_CLIENT_ID"]].secret = "another"
    with pytest.raises(CredentialError, match="AADSTS7000215") as caught:
        provide("client_secret").token()
    assert find_leaks([("message", str(caught.value))], [SECRET]) == []
    assert redaction.REDACTED in str(caught.value)


JWT = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJ4In0.c2lnbmF0dXJl-_0"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer ***"),
        ("Authorization: Bearer opaque.token~1/2==", "Authorization: Bearer ***"),
        (f"token {JWT}, expired", "token ***, expired"),
        (f"{JWT.rsplit('.', 1)[0]}.", "***"),
        (
            "grant_type=refresh_token&refresh_token=0.AX-abc&scope=x",
            "grant_type=refresh_token&refresh_token=***&scope=x",
        ),
        ("a=1&client_secret=a%2Bb", "a=1&client_secret=***"),
        ('{"refresh_token": "0.AX\\"abc", "error": "e"}', '{"refresh_token": ***, "error": "e"}'),
        (
            r'{"a": "{\"refresh_token\": \"0.AX-abc\", \"b\": \"c\"}"}',
            r'{"a": "{\"refresh_token\": ***, \"b\": \"c\"}"}',
        ),
        ("{'client_secret': 'it\\'s', 'x': 'y'}", "{'client_secret': ***, 'x': 'y'}"),
        ("http://localhost:8400/?code=0.ABC&state=s", "http://localhost:8400/?code=***&state=s"),
        ('"code": "M.R3_BAY.0a1b2c3d4e5f6a7b"', '"code": ***'),
        (
            'status code=503, error_code=7, {"code": "TooManyRequests"}',
            'status code=503, error_code=7, {"code": "TooManyRequests"}',
        ),
        ("https://me:pass@proxy:3128/x", "https://***@proxy:3128/x"),
        ("x\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\ny", "x\n***\ny"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE", "***"),
        (
            "AADSTS7000215: Invalid client secret provided for app 'x'.",
            "AADSTS7000215: Invalid client secret provided for app 'x'.",
        ),
        ("client_secret_env and refresh_token_expires_in=5", "client_secret_env and refresh_token_expires_in=5"),
    ],
)
def test_what_is_shaped_like_a_secret_is_blotted_out(text: str, clean: str) -> None:
    assert redact(text) == clean


@given(secret=st.text(min_size=4).filter(lambda text: "*" not in text), before=st.text(), after=st.text())
def test_a_remembered_secret_is_blotted_out_wherever_and_however_it_stands(
    secret: str, before: str, after: str
) -> None:
    with redaction.forgotten_afterwards():
        remember_secret(secret)
        assert secret not in redact(f"{before}{secret}{after}")
        assert json.dumps(secret)[1:-1] not in redact(json.dumps({"x": secret}))
        assert json.dumps(secret)[1:-1] not in redact(json.dumps(json.dumps({"x": secret})))
        assert repr(secret)[1:-1] not in redact(repr({"x": secret}))


def test_a_filtered_record_keeps_its_sense_and_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("azure.identity.of_a_module_that_comes_later")
    guard_logs()
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        logger.exception("failed with %s after %d tries", JWT, 3)
    logger.warning("no secret in %s", "here")
    first, second = caplog.records
    assert first.getMessage() == "failed with *** after 3 tries"
    assert "ValueError: bad token ***" in (first.exc_text or "")
    assert JWT not in caplog.text
    assert second.args == ("here",)


def test_a_malformed_record_passes_the_filter_redacted() -> None:
    record = logging.LogRecord("msal", logging.INFO, "x.py", 1, "%d of " + JWT, ("many",), None)
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "%d of *** ('many',)"
