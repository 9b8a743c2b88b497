"""NTLM against pyspnego's acceptor in front of the emulator, over real sockets; Kerberos stands in tests/io/pi."""

from __future__ import annotations

import base64
import pickle
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.core import errors
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.auth.credentials import KerberosCredential, NtlmCredential
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from tests.support.leaks import all_logs
from tests.support.pki import make_ca
from tests.support.sign_in_proxy import SignInProxy

PASSWORD = "c0rrect Horse battery~Ståple"
USER = "PLANT\\reader"
NTLM = NtlmCredential(username_env="PI_USER", password_env="PI_PASSWORD")
RIGHT = {"PI_USER": USER, "PI_PASSWORD": PASSWORD}
WRONG = {"PI_USER": USER, "PI_PASSWORD": "a-mistyped-one"}


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an emulator; its servers know one account."""
    pytest.importorskip("spnego", reason="needs pyspnego: pip install 'omnia-beam[kerberos]'")
    users = tmp_path / "users"
    users.write_text(f"PLANT:reader:{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    with EmulatorThread(["pi"]) as emulator:
        yield emulator.url


@pytest.fixture
def sign_in_to(session_on: Callable[..., ServiceSession]) -> Callable[..., ServiceSession]:
    def make(proxy: SignInProxy, environ: dict[str, str] = RIGHT, **settings: Any) -> ServiceSession:
        return session_on(proxy.url, **{"credential": NTLM, "environ": environ, **settings})

    return make


def outcomes(session: ServiceSession, requests: int) -> Counter[str]:
    """What becomes of requests of eight threads."""

    def send(_number: int) -> str:
        try:
            return str(session.send("GET", "system", idempotent=True).status)
        except errors.OmniaBeamError as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(send, range(requests)))


def test_the_password_proves_itself_once_a_connection_and_is_not_sent(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "NTLM") as proxy:
        session = sign_in_to(proxy)
        assert session.sign_in() == "the password of PI_USER"
        body = {"1": {"Method": "GET", "Resource": f"{plant}/system"}}
        assert session.send("POST", "batch", json_body=body, idempotent=False).json()["1"]["Status"] == 200
        for _ in range(3):
            session.send("GET", "system", idempotent=True)
        assert proxy.users == {USER: 4}
        assert (proxy.counts["connections"], proxy.counts["signed_in"], len(proxy.heard)) == (1, 1, 6)
        sent = b"".join(base64.b64decode(each.partition(" ")[2]) for each in proxy.heard)
        assert b"NTLMSSP" in sent
        assert PASSWORD.encode() not in sent
        assert PASSWORD.encode("utf-16-le") not in sent
        session.close()


def test_messages_of_eight_threads_keep_to_their_connections(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "Negotiate", "NTLM", each_request=True) as proxy:
        session = sign_in_to(proxy)
        assert outcomes(session, 100) == {"200": 100}
        assert proxy.counts["signed_in"] == proxy.counts["challenge"] == 100
        assert (proxy.counts["wrong"], proxy.counts["stray"]) == (0, 0)
        assert proxy.counts["connections"] <= 8
        session.close()


def test_a_server_that_offers_negotiate_alone_takes_ntlm_by_it(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "Negotiate") as proxy:
        session = sign_in_to(proxy)
        assert outcomes(session, 20) == {"200": 20}
        session.close()


def test_a_wrong_password_is_tried_once_and_does_not_lock_the_account(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "NTLM", lock_after=2, pause_s=0.05) as proxy:
        session = sign_in_to(proxy, WRONG)
        found = outcomes(session, 40)
        assert sum(found[each] for each in found if each.startswith("UnauthorizedError")) == 40
        assert any("check the credential, its user name and password" in each for each in found)
        assert proxy.counts["wrong"] == 1
        session.close()
        session = sign_in_to(proxy)
        assert outcomes(session, 10) == {"200": 10}
        session.close()


def test_a_password_that_is_replaced_while_a_job_runs_is_read_again(
    plant: str, sign_in_to: Any, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    credential = NtlmCredential(username_env="PI_USER", password_file=str(path))
    with SignInProxy(plant, "NTLM", each_request=True) as proxy:
        session = sign_in_to(proxy, {"PI_USER": USER}, credential=credential)
        assert outcomes(session, 8) == {"200": 8}
        (tmp_path / "users").write_text("PLANT:reader:Next-Passw0rd\n")
        path.write_text("Next-Passw0rd\n")
        assert outcomes(session, 40) == {"200": 40}
        assert proxy.counts["wrong"] <= 8
        session.close()


def test_a_connection_that_ends_between_the_steps_is_no_wrong_password(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "NTLM", closes=lambda step, number: step == "challenge" and number <= 2) as proxy:
        session = sign_in_to(proxy)
        response = session.send("GET", "system", idempotent=True)
        assert response.attempts == 3
        assert proxy.counts["wrong"] == 0
        session.close()


def test_a_gateway_that_ends_every_connection_is_told_as_what_it_is(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "NTLM", closes=lambda step, _number: step == "challenge") as proxy:
        session = sign_in_to(proxy, retry=RetryPolicy(attempts=3))
        with pytest.raises(errors.TransientServiceError, match="closed between two steps of the sign-in"):
            session.send("POST", "batch", json_body={}, idempotent=False)  # safe to repeat: it was never acted on
        assert (proxy.counts["challenge"], proxy.counts["wrong"]) == (3, 0)


def test_connections_that_end_in_the_middle_sign_in_anew(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "NTLM", closes=lambda step, number: step == "passed" and number % 7 == 0) as proxy:
        session = sign_in_to(proxy)
        assert outcomes(session, 60) == {"200": 60}
        proxy.drop_connections()
        assert outcomes(session, 20) == {"200": 20}
        assert (proxy.counts["wrong"], proxy.counts["stray"]) == (0, 0)
        session.close()


def test_a_redirect_to_another_host_gets_no_message(plant: str, sign_in_to: Any, other_service: Any) -> None:
    with SignInProxy(plant, "NTLM", redirect=f"{other_service.origin}/x") as proxy:
        session = sign_in_to(proxy)
        with pytest.raises(errors.TerminalServiceError, match="not followed"):
            session.send("GET", "system", idempotent=True)
        assert other_service.requests == []
        session.close()


@pytest.mark.parametrize("is_own", [True, False])
def test_over_tls_a_sign_in_is_bound_to_the_certificate(
    is_own: bool, plant: str, sign_in_to: Any, tmp_path: Path
) -> None:
    """`Extended Protection` of IIS: a sign-in that came through a server in between is refused."""
    ca = make_ca(tmp_path)
    own, other = ca.server_pem("127.0.0.1"), ca.server_pem("127.0.0.1")
    context = ca.server_context("127.0.0.1")
    context.load_cert_chain(own)
    certificate = (own if is_own else other).read_bytes()
    with SignInProxy(plant, "NTLM", tls=context, certificate=certificate) as proxy:
        session = sign_in_to(proxy, ca_bundle=str(ca.bundle))
        found = outcomes(session, 10)
        if is_own:
            assert found == {"200": 10}
        else:
            assert all(each.startswith("UnauthorizedError") for each in found)
            assert any("BadBindingsError" in each for each in proxy.heard)
        session.close()


def test_each_step_takes_a_turn_of_the_budget(plant: str, sign_in_to: Any, turned_clock: Any) -> None:
    with SignInProxy(plant, "NTLM", each_request=True) as proxy:
        session = sign_in_to(proxy, requests_per_second=10.0)
        started = turned_clock.now
        for _ in range(5):
            session.send("GET", "system", idempotent=True)
        assert len(proxy.heard) == 15
        assert turned_clock.now - started >= 1.4
        snapshot = session.stats.snapshot()
        assert (snapshot.requests, snapshot.attempts, snapshot.statuses) == (5, 15, {401: 10, 200: 5})
        session.close()


def test_a_server_that_does_not_take_ntlm_is_told_with_what_it_takes(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "Basic") as proxy:
        session = sign_in_to(proxy)
        with pytest.raises(errors.UnauthorizedError, match=r"\(the service takes Basic\)"):
            session.send("GET", "system", idempotent=True)
        session.close()


@pytest.mark.parametrize("challenge", ["!", "TlRM", base64.b64encode(b"NTLMSSP\0\2\0\0\0" + b"\xff" * 60).decode()])
def test_a_challenge_that_is_none_ends_the_request_with_a_clear_error(
    challenge: str, service: Any, session_on: Any
) -> None:
    pytest.importorskip("spnego", reason="needs pyspnego: pip install 'omnia-beam[kerberos]'")
    service.script = [
        service.response(401, WWW_Authenticate="NTLM"),
        service.response(401, WWW_Authenticate=f"NTLM {challenge}"),
    ]
    session = session_on(service.url, environ=RIGHT, credential=NTLM)
    with pytest.raises((errors.CredentialError, errors.UnauthorizedError)) as caught:
        session.send("GET", "x", idempotent=True)
    assert "Traceback" not in str(caught.value)
    session.close()


def test_no_text_shows_password_or_message(plant: str, sign_in_to: Any) -> None:
    with SignInProxy(plant, "NTLM") as proxy, all_logs() as logged:
        session = sign_in_to(proxy)
        session.send("GET", "system", idempotent=True)
        refused = sign_in_to(proxy, WRONG)
        with pytest.raises(errors.UnauthorizedError) as caught:
            refused.send("GET", "system", idempotent=True)
        shown = "".join(traceback.format_exception(caught.value)) + str(logged)
        tokens = NTLM.sign_in(RIGHT, time.time)
        assert tokens.ready("127.0.0.1") is not None
        shown += repr(session) + repr(tokens) + repr(session.settings)
        for secret in (PASSWORD, WRONG["PI_PASSWORD"], "Horse battery", "TlRMTVNTU"):
            assert secret not in shown
        with pytest.raises(TypeError, match="send the credential"):
            pickle.dumps(tokens)
        assert PASSWORD not in pickle.dumps(session.settings).decode("latin-1")
        session.close()


def test_a_server_that_repeats_our_message_in_its_error_shows_nothing_of_it(service: Any, session_on: Any) -> None:
    token = base64.b64encode(b"NTLMSSP\0\3\0\0\0" + bytes(range(90))).decode()
    ticket = base64.b64encode(b"\x60\x82\x05\x10\x06\x09" + bytes(range(90))).decode()
    service.script = [service.response(400, f'{{"Message": "bad NTLM {token} and Negotiate {ticket}"}}'.encode())]
    with pytest.raises(errors.BadRequestError) as caught:
        session_on(service.url).send("GET", "x", idempotent=True)
    assert token[12:40] not in str(caught.value)
    assert ticket[12:40] not in str(caught.value)


@pytest.mark.parametrize(
    ("credential", "package", "told"),
    [
        (NTLM, "spnego", r"kind 'ntlm' needs the package pyspnego: pip install 'omnia-beam\[kerberos\]'"),
        (KerberosCredential(), "spnego", r"kind 'kerberos' needs the packages pyspnego and gssapi: pip install 'omnia"),
        (KerberosCredential(), "gssapi", r"pip install 'omnia-beam\[kerberos\]'.*libkrb5-dev"),
    ],
)
def test_a_kind_without_its_package_names_the_extra(
    credential: Any, package: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(errors.UsageError, match=told):
        ServiceSession(ServiceSettings("http://127.0.0.1:9/x", credential=credential), environ=RIGHT)
