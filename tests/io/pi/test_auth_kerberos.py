"""Kerberos with the key distribution centre of MIT Kerberos: tickets by kinit and from a keytab, and all that can be wrong."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.config import JobConfig
from omnia_beam.core import errors
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.auth.credentials import KerberosCredential
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.pipelines.run import run_backfill
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points
from tests.support import kdc as realm
from tests.support.kdc import REALM, Kdc
from tests.support.leaks import all_logs
from tests.support.pki import make_ca
from tests.support.sign_in_proxy import SignInProxy

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(realm.missing() is not None, reason=realm.missing() or ""),
]
PASSWORD = "Right-Passw0rd"
DAY = {"start": "2024-01-01", "end": "2024-01-02"}


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    for module in ("spnego", "gssapi", "krb5"):
        pytest.importorskip(module, reason="needs pip install 'omnia-beam[kerberos]'")
    with Kdc(tmp_path_factory.mktemp("kdc")) as made:
        made.add("HTTP/localhost")
        made.add("reader", PASSWORD)
        yield made


@pytest.fixture(scope="module")
def service_keytab(kdc: Kdc) -> str:
    return kdc.keytab("http.keytab", "HTTP/localhost")


@pytest.fixture(autouse=True)
def _realm(kdc: Kdc, service_keytab: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the realm, without a ticket."""
    for name, value in {**kdc.environ, "KRB5_KTNAME": service_keytab, "KRB5CCNAME": f"FILE:{tmp_path}/none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KRB5_CLIENT_KTNAME", raising=False)


@pytest.fixture
def ticket(kdc: Kdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket of the reader, as `kinit` gets it."""
    monkeypatch.setenv("KRB5CCNAME", kdc.kinit(tmp_path / "tickets", "reader", PASSWORD))


@pytest.fixture
def plant() -> Iterator[EmulatorThread]:
    with EmulatorThread(["pi", "--synthetic", "mixed:series=12,days=1,step=30s", "--max-items", "2000"]) as emulator:
        yield emulator


def door(plant: EmulatorThread, **keys: Any) -> SignInProxy:
    return SignInProxy(plant.url, "Negotiate", "NTLM", kerberos=True, **keys)


def session_on(proxy: SignInProxy, **settings: Any) -> ServiceSession:
    keys = {"credential": KerberosCredential(), "requests_per_second": None, **settings}
    return ServiceSession(ServiceSettings(proxy.named_url, **keys))


def outcomes(session: ServiceSession, requests: int) -> Counter[str]:
    def send(_number: int) -> str:
        try:
            return str(session.send("GET", "system", idempotent=True).status)
        except errors.OmniaBeamError as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(send, range(requests)))


def told_by_check(proxy: SignInProxy, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of `check`, and what it prints."""
    job = {
        "name": "signed",
        "source": {
            "kind": "pi",
            "base_url": proxy.named_url,
            "credential": {"kind": "kerberos"},
            "series": {"search": {"name": "*"}},
        },
        "window": DAY,
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")
    code = main(["check", str(path)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return code, " ".join((shown.out + shown.err).split())


@pytest.mark.usefixtures("ticket")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_copy_by_a_ticket_is_exact_although_connections_end(
    workers: int, plant: EmulatorThread, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with door(plant, each_request=True, closes=lambda step, number: step == "passed" and number % 5 == 0) as proxy:
        config = load(
            proxy.named_url,
            source={"credential": {"kind": "kerberos"}},
            window=DAY,
            workers=workers,
            accept=["text_values", "same_time"],
            max_chunk_points=2_000,
        )
        assert run_backfill(config, context).status == "complete"
        truth = Truth.of(plant.archive, parse_time(DAY["start"]), parse_time(DAY["end"])).points
        assert differences(stored_points(tmp_path / "out"), truth) == {}
        assert proxy.users.keys() == {f"reader@{REALM}"}
        assert proxy.counts["wrong"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_ticket_that_is_gone_in_the_middle_ends_the_job_and_the_next_one_goes_on(
    workers: int,
    kdc: Kdc,
    plant: EmulatorThread,
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "tickets"
    monkeypatch.setenv("KRB5CCNAME", kdc.kinit(cache, "reader", PASSWORD))

    def lose(step: str, number: int) -> bool:
        if step == "passed" and number == 40:
            cache.unlink()
        return False

    with door(plant, each_request=True, closes=lose) as proxy:
        config = load(
            proxy.named_url,
            source={"credential": {"kind": "kerberos"}, "page_limit": 100},
            window=DAY,
            workers=workers,
            accept=["text_values", "same_time"],
            max_chunk_points=2_000,
        )
        with pytest.raises(errors.CredentialError, match=r"No Kerberos credentials available.*Run kinit"):
            run_backfill(config, context)
        assert 40 <= proxy.counts["passed"] <= 60
        kdc.kinit(cache, "reader", PASSWORD)
        assert run_backfill(config, context).status == "complete"
        truth = Truth.of(plant.archive, parse_time(DAY["start"]), parse_time(DAY["end"])).points
        assert differences(stored_points(tmp_path / "out"), truth) == {}


@pytest.mark.usefixtures("ticket")
def test_from_the_second_request_on_the_ticket_goes_along_at_once(plant: EmulatorThread) -> None:
    with door(plant, each_request=True) as proxy, session_on(proxy) as session:
        assert session.sign_in() == "a ticket for HTTP/localhost"
        for _ in range(10):
            session.send("GET", "system", idempotent=True)
        assert [each.partition(" ")[0] for each in proxy.heard] == ["", *["Negotiate"] * 10]


@pytest.mark.usefixtures("ticket")
def test_check_names_the_ticket(plant: EmulatorThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with door(plant) as proxy:
        code, text = told_by_check(proxy, tmp_path, capsys)
        assert (code, "kerberos: a ticket for HTTP/localhost" in text) == (0, True)


def test_a_keytab_gets_tickets_by_itself_and_renews_them(
    kdc: Kdc, plant: EmulatorThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kdc.add("robot")
    kdc.run("kadmin.local", "-q", "modprinc -maxlife 2sec robot")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", kdc.keytab("robot.keytab", "robot"))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/robot-tickets")
    with door(plant, each_request=True) as proxy, session_on(proxy) as session:
        assert outcomes(session, 20) == {"200": 20}
        for _ in range(3):  # longer than the ticket lives, with the skew of clocks that the realm allows
            time.sleep(1.5)
        assert outcomes(session, 20) == {"200": 20}
        assert proxy.users == {f"robot@{REALM}": 40}


def test_no_ticket_ends_check_with_3_and_the_cure(
    plant: EmulatorThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with door(plant) as proxy:
        code, text = told_by_check(proxy, tmp_path, capsys)
        assert code == 3
        assert "No Kerberos credentials available" in text
        assert "Run kinit, or name a keytab by KRB5_CLIENT_KTNAME" in text


def test_a_ticket_that_has_expired_ends_check_with_3_and_the_cure(
    kdc: Kdc,
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRB5CCNAME", kdc.kinit(tmp_path / "short", "reader", PASSWORD, "-l", "2s"))
    with door(plant, each_request=True) as proxy:
        with session_on(proxy) as session:
            assert outcomes(session, 1) == {"200": 1}
            for _ in range(3):
                time.sleep(1.5)
            found = outcomes(session, 20)
            assert all("CredentialError" in each and "run kinit again" in each for each in found)
            kdc.kinit(tmp_path / "short", "reader", PASSWORD)
            assert outcomes(session, 20) == {"200": 20}  # without a restart
        kdc.kinit(tmp_path / "short", "reader", PASSWORD, "-l", "2s")
        for _ in range(3):
            time.sleep(1.5)
        code, text = told_by_check(proxy, tmp_path, capsys)
        assert code == 3
        assert "The ticket has expired: run kinit again" in text


def test_a_stale_keytab_is_tried_once_and_again_when_it_is_replaced(
    kdc: Kdc,
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong key counts like a wrong password where a domain locks accounts."""
    kdc.add("stale")
    stale = Path(kdc.keytab("stale.keytab", "stale"))
    old = stale.read_bytes()
    fresh = kdc.keytab("stale-new.keytab", "stale")
    stale.write_bytes(old)
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", str(stale))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/stale-tickets")
    before = kdc.log().count("PREAUTH_FAILED: stale")
    with door(plant, each_request=True) as proxy:
        with session_on(proxy) as session:
            assert all("200" not in each for each in outcomes(session, 40))
            assert kdc.log().count("PREAUTH_FAILED: stale") == before + 1
            stale.write_bytes(Path(fresh).read_bytes())
            assert outcomes(session, 20) == {"200": 20}
        stale.write_bytes(old)
        monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/stale-again")
        code, text = told_by_check(proxy, tmp_path, capsys)
        assert code == 3
        assert "The keytab (KRB5_CLIENT_KTNAME) holds no key of today" in text


@pytest.mark.usefixtures("ticket")
def test_a_host_that_is_no_service_of_the_realm_is_told(plant: EmulatorThread) -> None:
    with door(plant) as proxy:
        keys = {"credential": KerberosCredential(), "requests_per_second": None}
        session = ServiceSession(ServiceSettings(proxy.url, **keys))  # 127.0.0.1
        with session, pytest.raises(errors.CredentialError, match="base_url must name the host as its service princ"):
            session.send("GET", "system", idempotent=True)


@pytest.mark.usefixtures("ticket")
def test_a_job_goes_on_without_the_centre_as_long_as_its_ticket_lives(kdc: Kdc, plant: EmulatorThread) -> None:
    with door(plant, each_request=True) as proxy, session_on(proxy) as session:
        assert outcomes(session, 5) == {"200": 5}
        kdc.stop()
        try:
            proxy.drop_connections()
            assert outcomes(session, 20) == {"200": 20}
        finally:
            kdc.start()


def test_a_centre_that_cannot_be_reached_is_told(
    kdc: Kdc,
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRB5CCNAME", kdc.kinit(tmp_path / "fresh", "reader", PASSWORD))
    kdc.stop()
    try:
        with door(plant) as proxy:
            code, text = told_by_check(proxy, tmp_path, capsys)
    finally:
        kdc.start()
    assert code == 3
    assert "Cannot contact any KDC" in text
    assert "krb5.conf" in text


@pytest.mark.usefixtures("ticket")
@pytest.mark.parametrize("is_own", [True, False])
def test_over_tls_a_ticket_is_bound_to_the_certificate(is_own: bool, plant: EmulatorThread, tmp_path: Path) -> None:
    ca = make_ca(tmp_path)
    own, other = ca.server_pem("localhost"), ca.server_pem("localhost")
    context = ca.server_context("localhost")
    context.load_cert_chain(own)
    certificate = (own if is_own else other).read_bytes()
    with (
        door(plant, tls=context, certificate=certificate, each_request=True) as proxy,
        session_on(proxy, ca_bundle=str(ca.bundle)) as session,
    ):
        found = outcomes(session, 10)
        assert found == {"200": 10} if is_own else all(each.startswith("UnauthorizedError") for each in found)


@pytest.mark.usefixtures("ticket")
def test_a_ticket_follows_no_redirect_and_shows_in_no_text(plant: EmulatorThread, tmp_path: Path) -> None:
    with door(plant) as elsewhere, door(plant, redirect=f"{elsewhere.named_url}/system") as proxy, all_logs() as logged:
        with session_on(proxy) as session, pytest.raises(errors.TerminalServiceError, match="not followed"):
            session.send("GET", "system", idempotent=True)
        assert elsewhere.heard == []
        [ticket] = [each.partition(" ")[2] for each in proxy.heard if each]
        assert ticket[20:60] not in str(logged)


@pytest.mark.usefixtures("ticket")
def test_a_server_that_does_not_prove_itself_is_not_read(
    plant: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over plain http only its proof tells the server from another one that took its address."""

    class Impostor(SignInProxy):
        def acceptor(self) -> Any:
            made = super().acceptor()

            class Broken:
                complete = property(lambda _self: made.complete)
                client_principal = property(lambda _self: made.client_principal)

                def step(self, message: bytes) -> bytes:
                    proof = bytearray(made.step(message))
                    proof[-5] ^= 1
                    return bytes(proof)

            return Broken()

    with (
        Impostor(plant.url, "Negotiate", kerberos=True) as proxy,
        session_on(proxy) as session,
        pytest.raises(errors.CredentialError, match="does not prove that it is HTTP/localhost"),
    ):
        session.send("GET", "system", idempotent=True)
