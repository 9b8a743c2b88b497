"""Jobs that sign in to PI by basic authentication and NTLM: what is copied, what a wrong password costs, what is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.run import run_backfill
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points
from tests.support import fixtures
from tests.support.connect_proxy import ConnectProxy
from tests.support.fixtures import put_into_environment
from tests.support.pki import PrivateCa, make_ca
from tests.support.sign_in_proxy import SignInProxy
from tests.support.sign_ins import Stage

private_ca, application_certificate, stage = fixtures.private_ca, fixtures.application_certificate, fixtures.stage

Load = Callable[..., JobConfig]
RIGHT = "Right-Passw0rd"
USER = "PLANT\\reader"
DAY = {"start": "2024-01-01", "end": "2024-01-02"}
ACCOUNT = {"username_env": "PI_USER", "password_env": "PI_PASSWORD"}
BASIC = {"kind": "basic", **ACCOUNT}
NTLM = {"kind": "ntlm", **ACCOUNT}
SMALL = {"accept": ["text_values", "same_time"], "max_chunk_points": 2_000}
BY_NTLM = pytest.param("NTLM", NTLM, id="ntlm")
BY_BASIC = pytest.param("Basic", BASIC, id="basic")


@pytest.fixture
def plant() -> Iterator[EmulatorThread]:
    with EmulatorThread(["pi", "--synthetic", "mixed:series=12,days=1,step=30s", "--max-items", "2000"]) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right account in the environment, and in the file that an acceptor of NTLM reads."""
    users = tmp_path / "users"
    users.write_text(f"PLANT:reader:{RIGHT}\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    monkeypatch.setenv("PI_USER", USER)
    monkeypatch.setenv("PI_PASSWORD", RIGHT)


def door(plant: EmulatorThread, scheme: str, **keys: Any) -> SignInProxy:
    """A server of one scheme in front of the plant."""
    if scheme == "NTLM":
        pytest.importorskip("spnego", reason="needs pyspnego: pip install 'omnia-beam[kerberos]'")
    return SignInProxy(plant.url, scheme, accounts={USER: RIGHT}, **keys)


def truth(plant: EmulatorThread) -> dict[str, Any]:
    return Truth.of(plant.archive, parse_time(DAY["start"]), parse_time(DAY["end"])).points


def job_file(folder: Path, url: str, credential: dict[str, Any], **source: Any) -> Path:
    job = {
        "name": "signed",
        "source": {
            "kind": "pi",
            "base_url": url,
            "credential": credential,
            "series": {"search": {"name": "*"}},
            **source,
        },
        "window": DAY,
        "accept": ["text_values"],
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("each_request", [False, True])
def test_a_copy_by_ntlm_is_exact_although_connections_end(
    workers: int, each_request: bool, plant: EmulatorThread, load: Load, context: RunContext, tmp_path: Path
) -> None:
    with door(
        plant, "NTLM", each_request=each_request, closes=lambda step, number: step == "passed" and number % 5 == 0
    ) as proxy:
        config = load(proxy.url, source={"credential": NTLM}, window=DAY, workers=workers, **SMALL)
        assert run_backfill(config, context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(plant)) == {}
        assert proxy.users.keys() == {USER}
        assert (proxy.counts["wrong"], proxy.counts["stray"]) == (0, 0)


@pytest.mark.parametrize(("scheme", "credential"), [BY_BASIC, BY_NTLM])
def test_a_wrong_password_is_sent_once_a_command_and_told(
    scheme: str,
    credential: dict[str, str],
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PI_PASSWORD", "a-mistyped-one")
    with door(plant, scheme, pause_s=0.02) as proxy:
        path = job_file(tmp_path, proxy.url, credential, rate={"max_in_flight": 8})
        for number, command in enumerate((["check"], ["backfill"], ["series"], ["plan"]), 1):
            assert main([command[0], str(path), *command[1:]]) == 3, command
            shown = capsys.readouterr()
            assert "check the credential, its user name and password" in shown.out + shown.err
            assert "Traceback" not in shown.err
            assert "a-mistyped-one" not in shown.out + shown.err
            assert proxy.counts["wrong"] <= number


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize(("scheme", "credential"), [BY_BASIC, BY_NTLM])
def test_a_password_that_is_changed_in_the_middle_is_sent_no_oftener_than_it_must(
    scheme: str,
    credential: dict[str, str],
    workers: int,
    plant: EmulatorThread,
    load: Load,
    context: RunContext,
    tmp_path: Path,
) -> None:
    """Requests that are under way fail together, and no further one is sent; with the new password the rest is copied."""
    from omnia_beam.core.errors import OmniaBeamError

    with door(plant, scheme, each_request=True, pause_s=0.02) as proxy:

        def change(step: str, number: int) -> bool:
            if step == "passed" and number == 40:
                proxy.accounts[USER] = "Next-Passw0rd"
                (tmp_path / "users").write_text("PLANT:reader:Next-Passw0rd\n")
            return False

        proxy.closes = change
        job = {"window": DAY, "workers": workers, **SMALL}
        path = tmp_path / "password"
        path.write_text(RIGHT)
        of_file = {"kind": credential["kind"], "username_env": "PI_USER", "password_file": str(path)}
        limits = {"rate": {"requests_per_second": None, "max_in_flight": 4}, "page_limit": 100}
        config = load(proxy.url, source={"credential": of_file, **limits}, **job)
        with pytest.raises(OmniaBeamError, match="refuse"):
            run_backfill(config, context)
        assert 1 <= proxy.counts["wrong"] <= 4 * workers
        wrong = proxy.counts["wrong"]
        path.write_text("Next-Passw0rd")
        assert run_backfill(config, context).status == "complete"
        # The process that starts workers had sent the old one with success, and finds out by one more request.
        assert proxy.counts["wrong"] <= wrong + (workers > 1)
        assert differences(stored_points(tmp_path / "out"), truth(plant)) == {}


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    """A company's own authority."""
    return make_ca(tmp_path, "Plant CA")


@pytest.mark.parametrize(("scheme", "credential"), [BY_BASIC, BY_NTLM])
@pytest.mark.parametrize("way", ["key", "variable", "none"])
def test_a_server_with_a_certificate_of_the_company(
    way: str,
    scheme: str,
    credential: dict[str, str],
    ca: PrivateCa,
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with door(plant, scheme, tls=ca.server_context("127.0.0.1")) as proxy:
        bundle = {"ca_bundle": str(ca.bundle)} if way == "key" else {}
        if way == "variable":
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca.bundle))
        path = job_file(tmp_path, proxy.url, credential, **bundle)
        assert main(["check", str(path)]) == (3 if way == "none" else 0)
        shown = capsys.readouterr()
        if way == "none":
            assert "the TLS certificate is not trusted" in shown.out + shown.err
            assert "give its PEM file as ca_bundle or in REQUESTS_CA_BUNDLE" in shown.out + shown.err
            assert proxy.heard == []
        else:
            assert proxy.users.keys() == {USER}


@pytest.mark.parametrize(("scheme", "credential"), [BY_BASIC, BY_NTLM])
def test_through_a_proxy_of_the_company(
    scheme: str,
    credential: dict[str, str],
    ca: PrivateCa,
    plant: EmulatorThread,
    load: Load,
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with door(plant, scheme, tls=ca.server_context("pi.invalid")) as server, ConnectProxy("me", "pr0xy-word") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        url = server.url.replace("127.0.0.1", "pi.invalid")
        config = load(
            url,
            source={"credential": credential, "ca_bundle": str(ca.bundle)},
            window=DAY,
            accept=["text_values", "same_time"],
        )
        assert run_backfill(config, context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(plant)) == {}
        assert {each.partition(":")[0] for each in proxy.connected} == {"pi.invalid"}
        reset_shared_sessions()


def signed_in(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The keys of a source that signs in at the stand-in of Entra ID; what they need is in the environment."""
    sign_in = stage.sign_in(name)
    put_into_environment(sign_in, monkeypatch)
    return {"credential": sign_in.keys, "resource_id": stage.resource_id, "ca_bundle": str(stage.ca.bundle)}


@pytest.mark.parametrize(
    "name", ["client_secret", "client_certificate", "managed_identity", "default_by_identity", "on_behalf_of"]
)
def test_a_proxy_in_front_of_pi_takes_tokens_and_new_ones_when_it_refuses_one(
    name: str,
    stage: Stage,
    plant: EmulatorThread,
    load: Load,
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revoked: set[str] = set()

    def is_good(token: str) -> bool:
        stage.authority.mint.check(token, stage.resource_id)
        return token not in revoked

    def revoke(step: str, number: int) -> bool:
        if number == 10:
            revoked.update(each.partition(" ")[2] for each in proxy.heard)
        return False

    context_of = stage.ca.server_context("127.0.0.1")
    with SignInProxy(plant.url, "Bearer", tokens=is_good, tls=context_of, closes=revoke) as proxy:
        source = signed_in(stage, name, monkeypatch)
        assert run_backfill(load(proxy.url, source=source, window=DAY, **SMALL), context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(plant)) == {}
        assert len({*proxy.heard}) == 2
        assert all(each.startswith("Bearer ") for each in proxy.heard)


def test_a_proxy_that_sends_to_its_sign_in_page_is_told_as_what_it_is(
    stage: Stage,
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = f"{stage.authority.url}/tenant/oauth2/authorize"
    context_of = stage.ca.server_context("127.0.0.1")
    with SignInProxy(plant.url, "Bearer", sign_in_page=page, tls=context_of) as proxy:
        source = signed_in(stage, "client_secret", monkeypatch)
        path = job_file(tmp_path, proxy.url, **source)
        assert main(["check", str(path)]) == 3
        shown = capsys.readouterr()
        text = " ".join((shown.out + shown.err).split())
        assert f"redirect to another host ({stage.authority.url}), which is not followed" in text
        assert (
            "If it is a sign-in page, a proxy in front of the service does not take the token: check resource_id"
            in text
        )
        assert len(proxy.heard) == 1


@pytest.mark.parametrize(
    ("credential", "told"),
    [(BASIC, "password"), (NTLM, "proof of the password"), ({"kind": "kerberos"}, "Kerberos ticket")],
)
def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(
    credential: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = job_file(tmp_path, "http://pi.invalid/piwebapi", credential)
    assert main(["check", str(path)]) == 2
    shown = capsys.readouterr()
    assert f"plain http would carry the {told} over the network" in shown.out + shown.err
    assert "allow_plain_http" in shown.out + shown.err


@pytest.mark.parametrize(
    ("kind", "package", "module"),
    [
        ("kerberos", "pyspnego and gssapi", "gssapi"),
        ("kerberos", "pyspnego and gssapi", "spnego"),
        ("ntlm", "pyspnego", "spnego"),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    kind: str,
    package: str,
    module: str,
    plant: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    account = ACCOUNT if kind == "ntlm" else {}
    path = job_file(tmp_path, plant.url, {"kind": kind, **account})
    for command in ("check", "backfill", "series"):
        assert main([command, str(path)]) == 2, command
        shown = capsys.readouterr()
        text = " ".join((shown.out + shown.err).split())
        assert f"{package}: pip install 'omnia-beam[kerberos]'" in text
        assert "Traceback" not in shown.err
        assert RIGHT not in text
