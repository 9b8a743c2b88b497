"""A wrong password is sent once, however many requests are under way; and what a server says that it offers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.core import errors
from omnia_beam.core.errors import UnauthorizedError, UsageError
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.auth.credentials import BasicCredential
from omnia_beam.net.auth.sign_in import AGAIN_S, Guard, offers_of
from omnia_beam.net.http.session import ServiceSession
from tests.support.sign_in_proxy import SignInProxy

RIGHT = "Right-Passw0rd"
WRONG = "a-mistyped-one"
BASIC = BasicCredential(username_env="PI_USER", password_env="PI_PASSWORD")


@pytest.fixture
def plant() -> Iterator[str]:
    with EmulatorThread(["pi"]) as emulator:
        yield emulator.url


def outcomes(session: ServiceSession, requests: int) -> Counter[str]:
    """What becomes of requests of eight threads."""

    def send(_number: int) -> str:
        try:
            return str(session.send("GET", "system", idempotent=True).status)
        except errors.OmniaBeamError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(send, range(requests)))


def test_a_wrong_password_is_sent_once_by_eight_threads(plant: str, session_on: Any) -> None:
    with SignInProxy(plant, "Basic", accounts={"reader": RIGHT}, pause_s=0.05) as proxy:
        session = session_on(proxy.url, credential=BASIC, environ={"PI_USER": "reader", "PI_PASSWORD": WRONG})
        assert outcomes(session, 40) == {"UnauthorizedError": 40}
        assert proxy.counts["wrong"] == 1
        with pytest.raises(UnauthorizedError, match="not sent: the service has refused the password of PI_USER"):
            session.send("GET", "system", idempotent=True)
        assert proxy.counts["wrong"] == 1


def test_a_right_password_is_used_by_all_threads_at_once(plant: str, session_on: Any) -> None:
    with SignInProxy(plant, "Basic", accounts={"reader": RIGHT}) as proxy:
        session = session_on(proxy.url, credential=BASIC, environ={"PI_USER": "reader", "PI_PASSWORD": RIGHT})
        assert outcomes(session, 40) == {"200": 40}
        assert (proxy.counts["wrong"], proxy.counts["passed"]) == (0, 40)
        session.close()


def test_a_password_that_changes_on_the_server_stops_all_requests_until_the_file_changes(
    plant: str, session_on: Any, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text(f"{RIGHT}\n")
    credential = BasicCredential(username_env="PI_USER", password_file=str(path))
    with SignInProxy(plant, "Basic", accounts={"reader": RIGHT}, pause_s=0.05) as proxy:
        session = session_on(proxy.url, credential=credential, environ={"PI_USER": "reader"})
        assert outcomes(session, 8) == {"200": 8}
        proxy.accounts["reader"] = "Next-Passw0rd"
        assert outcomes(session, 100) == {"UnauthorizedError": 100}
        assert proxy.counts["wrong"] <= 8  # those that were under way
        path.write_text("Next-Passw0rd\n")
        assert outcomes(session, 100) == {"200": 100}
        assert proxy.counts["wrong"] <= 8
        session.close()


def test_a_gateway_that_fails_before_the_password_is_looked_at_proves_nothing(service: Any, session_on: Any) -> None:
    under_way: list[Any] = []
    most: list[int] = []

    def step(connection: Any, request: Any) -> bool:
        under_way.append(request)
        service.stop.wait(0.005)
        most.append(len(under_way))
        under_way.remove(request)
        connection.sendall(service.response(404))
        return True

    service.script = [step]
    session = session_on(service.url, credential=BASIC, environ={"PI_USER": "reader", "PI_PASSWORD": WRONG})
    assert outcomes(session, 20).keys() <= {"NotFoundError", "NotTheServiceError"}
    assert max(most) == 1
    session.close()


def test_threads_that_wait_for_the_first_answer_end_with_the_session(service: Any, session_on: Any) -> None:
    came = threading.Event()

    def hang(_connection: Any, _request: Any) -> None:
        came.set()
        service.stop.wait()

    service.script = [hang]
    session = session_on(service.url, credential=BASIC, environ={"PI_USER": "reader", "PI_PASSWORD": RIGHT})
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(outcomes, session, 8)
        assert came.wait(10)
        session.close()
        assert found.result() == {"TerminalServiceError": 8}
    assert len(service.requests) == 1


def test_a_refused_secret_is_tried_again_after_a_while_or_when_it_is_replaced() -> None:
    now, secret = [0.0], ["first"]
    guard = Guard(lambda: secret[0], "password", lambda: now[0])
    trial = guard.trial()
    assert not trial.refused()
    trial.end()
    with pytest.raises(UnauthorizedError):
        guard.trial()
    now[0] = AGAIN_S - 1
    with pytest.raises(UnauthorizedError):
        guard.trial()
    now[0] = AGAIN_S
    again = guard.trial()
    assert again.secret == "first"
    again.refused()
    again.end()
    with pytest.raises(UnauthorizedError):
        guard.trial()
    secret[0] = "second"
    assert guard.trial().secret == "second"


def test_a_late_answer_about_a_former_secret_changes_nothing() -> None:
    secret = ["first"]
    guard = Guard(lambda: secret[0], "password", lambda: 0.0)
    first = guard.trial()
    first.accepted()
    first.end()
    late, later = guard.trial(), guard.trial()
    secret[0] = "second"
    assert late.refused()
    second = guard.trial()
    second.accepted()
    second.end()
    assert later.refused()  # there is another one: the refused request may be sent again
    assert guard.trial().secret == "second"


def test_a_secret_that_cannot_be_read_any_more_is_not_sent_again() -> None:
    secrets: list[str] = ["first"]

    def read() -> str:
        if not secrets:
            raise UsageError("gone")
        return secrets.pop()

    guard = Guard(read, "password", lambda: 0.0)
    trial = guard.trial()
    assert not trial.refused()
    trial.end()
    with pytest.raises(UnauthorizedError):
        guard.trial()


@pytest.mark.parametrize(
    ("header", "offers"),
    [
        ("", {}),
        ("NTLM", {"NTLM": ""}),
        ("negotiate, ntlm", {"Negotiate": "", "NTLM": ""}),
        ("Negotiate oYG2MIGz==, NTLM TlRM+/A=", {"Negotiate": "oYG2MIGz==", "NTLM": "TlRM+/A="}),
        ('Basic realm="NTLM, Negotiate abc", charset="UTF-8", Negotiate', {"Basic": "", "Negotiate": ""}),
        ('Bearer authorization_uri="https://x", error=invalid_token', {"Bearer": ""}),
        ("Nonsense, NTLMx", {}),
    ],
)
def test_what_a_server_offers(header: str, offers: dict[str, str]) -> None:
    assert offers_of({"WWW-Authenticate": header}) == offers
