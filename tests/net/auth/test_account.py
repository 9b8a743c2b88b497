"""Accounts with a password, over real sockets: what is sent, where it is not sent, and that no text shows it."""

from __future__ import annotations

import base64
import pickle
import time
import traceback
from pathlib import Path
from typing import Any

import pydantic
import pytest

from omnia_beam.config.problems import usage_error
from omnia_beam.config.section import Section, key
from omnia_beam.core import errors
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.auth.credentials import (
    KINDS,
    AnyCredential,
    BasicCredential,
    CredentialSpec,
    KerberosCredential,
    NtlmCredential,
)
from tests.support.leaks import all_logs

PASSWORD = "c0rrect:Horse battery~Ståple"
ENVIRON = {"PI_USER": "plant\\reader", "PI_PASSWORD": PASSWORD}
BASIC = BasicCredential(username_env="PI_USER", password_env="PI_PASSWORD")
HEADER = base64.b64encode(f"plant\\reader:{PASSWORD}".encode()).decode()
ELSEWHERE = "http://pi.example.com/piwebapi"


class Connection(Section):
    """A connection that takes every kind."""

    credential: AnyCredential = key("How to sign in.")


def assert_no_secret(text: str) -> None:
    assert PASSWORD not in text
    assert HEADER not in text
    assert "Horse battery" not in text


def test_the_password_goes_along_with_every_request(service: Any, session_on: Any) -> None:
    session = session_on(service.url, environ=ENVIRON, credential=BASIC)
    assert session.sign_in()
    session.send("GET", "x", idempotent=True)
    session.send("POST", "y", json_body={}, idempotent=False)
    assert [request.headers["authorization"] for request in service.requests] == [f"Basic {HEADER}"] * 2


def test_a_client_signs_in_with_it(service: Any) -> None:
    with OmniaClient(service.url, credential=BASIC, environ=ENVIRON) as client:
        client.session.send("GET", "x", idempotent=True)
    assert service.requests[0].headers["authorization"] == f"Basic {HEADER}"


def test_a_replaced_password_is_read_again_after_a_401(service: Any, session_on: Any, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("old-password\n")

    def refuse(connection: Any, _request: Any) -> bool:
        path.write_text(f"{PASSWORD}\n")
        connection.sendall(service.response(401))
        return True

    service.script = [refuse, service.response()]
    credential = BasicCredential(username_env="PI_USER", password_file=str(path))
    session_on(service.url, environ=ENVIRON, credential=credential).send("GET", "x", idempotent=True)
    assert service.requests[1].headers["authorization"] == f"Basic {HEADER}"


def test_the_same_password_is_not_tried_twice(service: Any, session_on: Any) -> None:
    service.script = [service.response(401)]
    with pytest.raises(errors.UnauthorizedError):
        session_on(service.url, environ=ENVIRON, credential=BASIC).send("GET", "x", idempotent=True)
    assert len(service.requests) == 1  # a domain locks an account after a few wrong passwords


def test_no_text_shows_the_password(service: Any, session_on: Any, caplog: Any) -> None:
    echo = f'{{"message": "bad Authorization: Basic {HEADER} of {PASSWORD}"}}'.encode()
    service.script = [service.response(400, echo)]
    session = session_on(service.url, environ=ENVIRON, credential=BASIC)
    with all_logs() as logged, pytest.raises(errors.ServiceError) as caught:
        session.send("GET", "x", idempotent=True)
    shown = "".join(traceback.format_exception(caught.value))
    tokens = BASIC.sign_in(ENVIRON, time.time)
    for text in (shown, str(logged), caplog.text, repr(session), repr(session.settings), repr(tokens)):
        assert_no_secret(text)
    assert_no_secret(pickle.dumps(session.settings).decode("latin-1"))
    assert pickle.loads(pickle.dumps(session.settings)) == session.settings
    with pytest.raises(TypeError, match="send the credential"):
        pickle.dumps(tokens)


def test_a_redirect_to_another_host_does_not_get_it(service: Any, other_service: Any, session_on: Any) -> None:
    service.script = [service.response(302, b"", None, Location=f"{other_service.origin}/x")]
    with pytest.raises(errors.TerminalServiceError, match="not followed"):
        session_on(service.url, environ=ENVIRON, credential=BASIC).send("GET", "x", idempotent=True)
    assert other_service.requests == []


def test_a_proxy_does_not_see_what_goes_to_this_machine(
    service: Any, other_service: Any, session_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other_service.origin)
    session_on(service.url, environ=ENVIRON, credential=BASIC).send("GET", "x", idempotent=True)
    assert other_service.requests == []
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "url", [ELSEWHERE, "HTTP://PI.example.com/piwebapi", "http://10.0.0.7", "http://localhost.example.com"]
)
@pytest.mark.parametrize(
    ("credential", "word"),
    [(BASIC, "password"), (CredentialSpec("managed_identity"), "token"), (CredentialSpec("anonymous"), "subscription key")],
)  # fmt: skip
def test_plain_http_to_another_machine_is_refused(session_on: Any, credential: Any, word: str, url: str) -> None:
    keys = {"environ": ENVIRON, "credential": credential, "resource_id": "r", "subscription_key_env": "PI_PASSWORD"}
    with pytest.raises(errors.UsageError, match=f"plain http would carry the {word} over the network") as caught:
        session_on(url, **keys)
    assert "allow_plain_http" in str(caught.value)


def test_tokens_of_others_are_kept_from_plain_http_too(session_on: Any, changing_tokens: Any) -> None:
    with pytest.raises(errors.UsageError, match="plain http would carry the token"):
        session_on(ELSEWHERE, tokens=changing_tokens)
    session_on(ELSEWHERE)  # anonymous requests hold nothing to read
    session_on("https://pi.example.com/piwebapi", environ=ENVIRON, credential=BASIC)


def test_plain_http_that_is_allowed_is_warned_of(session_on: Any, caplog: Any) -> None:
    for _ in range(2):
        caplog.clear()
        session_on(ELSEWHERE, environ=ENVIRON, credential=BASIC, allow_plain_http=True)
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert "plain http would carry the password" in record.getMessage()
        assert_no_secret(caplog.text)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PI_PASSWORD": PASSWORD}, r"PI_USER \(credential.username_env\)"),
        ({"PI_USER": "u"}, r"PI_PASSWORD \(credential.password_env\).*credential.password_file"),
        ({"PI_USER": "a:b", "PI_PASSWORD": PASSWORD}, "username_env: PI_USER holds a colon"),
        ({"PI_USER": "u", "PI_PASSWORD": f"{PASSWORD}\n"}, r"the password \(not shown\) holds a line break"),
    ],
)
def test_what_is_missing_or_cannot_be_sent_is_named(session_on: Any, environ: dict[str, str], says: str) -> None:
    with pytest.raises(errors.UsageError, match=says) as caught:
        session_on("http://127.0.0.1:9/x", environ=environ, credential=BASIC)
    assert_no_secret("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"kind": "basic", "username_env": "U"}, "credential: needs a password"),
        (
            {"kind": "basic", "username_env": "U", "password_env": "P", "password_file": "p"},
            "credential.password_file: password_env and password_file exclude each other",
        ),
        ({"kind": "basic", "password_env": "P"}, "credential.username_env: required key is missing"),
        ({"kind": "basic", "username_env": "U", "password_env": "not a name"}, "credential.password_env: must be the name of an"),
        ({"kind": "basic", "username_env": "U", "tenant_id": "t"}, "credential.tenant_id: unknown key"),
        ({"kind": "kerberos", "username_env": "U"}, "credential.username_env: unknown key"),
        ({"kind": "basics"}, 'credential.kind: the value (not shown) is not one of anonymous, client_secret'),
        ({"username_env": "U"}, "credential.kind: required key is missing; one of anonymous, client_secret"),
        ({"kind": "anonymous", "tenant_id": "t"}, "credential.tenant_id: has no meaning for kind anonymous"),
    ],
)  # fmt: skip
def test_a_key_that_takes_every_kind_says_what_is_wrong(keys: dict[str, str], says: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Connection.model_validate({"credential": keys})
    assert str(usage_error(caught.value, Connection)).startswith(says)


@pytest.mark.parametrize("kind", [*KINDS, "Client-Secret", "basic", "Basic", "kerberos", "ntlm"])
def test_a_key_that_takes_every_kind_makes_what_code_makes(kind: str) -> None:
    account = {"username_env": "U", "password_file": "p"} if kind.lower() in ("basic", "ntlm") else {}
    made = Connection.model_validate({"credential": {"kind": kind, **account}}).credential
    models = {"basic": BasicCredential, "ntlm": NtlmCredential, "kerberos": KerberosCredential}
    assert made == models.get(kind.lower(), CredentialSpec)(kind, **account)
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))
    assert Connection.model_validate({"credential": made}).credential is made
