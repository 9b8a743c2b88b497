"""Fixtures that several test folders use. A test module takes them in by assignment:

from tests.support import fixtures

private_ca, application_certificate, stage = fixtures.private_ca, fixtures.application_certificate, fixtures.stage
"""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnia_beam.emulator.thread import EmulatorThread
from tests.io.emulated import steady_series
from tests.store.memory_objects import MemoryObjects
from tests.support.authority import HOST, Authority
from tests.support.clock import MovableClock
from tests.support.directory import RESOURCE_ID
from tests.support.identity_endpoint import IdentityEndpoint
from tests.support.pki import ClientCertificate, PrivateCa, make_ca, make_client_certificate
from tests.support.sign_ins import IDENTITY_HEADER, PASSWORD, USER_ASSIGNED, SignIn, Stage


@pytest.fixture
def object_store() -> Iterator[MemoryObjects]:
    """Empty buckets under `s3://`."""
    store = MemoryObjects()
    store.install()
    yield store
    store.uninstall()


@pytest.fixture(scope="module")
def steady_emulator() -> Iterator[EmulatorThread]:
    """One emulator for a module, with the series of `emulated.steady_series`; nobody writes to it."""
    with EmulatorThread(series=steady_series()) as emulator:
        yield emulator


@pytest.fixture
def emulator(steady_emulator: EmulatorThread) -> EmulatorThread:
    """The same, without the faults of the test before."""
    steady_emulator.set_faults([])
    return steady_emulator


@pytest.fixture(scope="session")
def private_ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    """A CA that this machine does not trust."""
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def application_certificate(tmp_path_factory: pytest.TempPathFactory) -> ClientCertificate:
    """An application's certificate, its key encrypted."""
    return make_client_certificate(tmp_path_factory.mktemp("application"), PASSWORD)


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    private_ca: PrivateCa,
    application_certificate: ClientCertificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """Authority, identity endpoint and browser, running; this process's browser is the scripted one, its home empty.

    An indirect parameter is the authority's host, which only a proxy then knows.
    """
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with (
        Authority(private_ca, host=getattr(request, "param", HOST)) as authority,
        IdentityEndpoint(authority.mint, RESOURCE_ID, IDENTITY_HEADER, (USER_ASSIGNED,)) as identity,
    ):
        stage = Stage(private_ca, authority, identity, application_certificate, home)
        monkeypatch.setattr(webbrowser, "open", stage.browser.open)
        yield stage
        stage.browser.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovableClock:
    """The clock of everything in this process."""
    return MovableClock().install(monkeypatch)


def put_into_environment(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the kinds that read the process's environment whatever they are handed."""
    for name, value in sign_in.environ.items():
        monkeypatch.setenv(name, value)
