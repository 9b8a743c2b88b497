"""What the tests of Beam's edges share: no session of the test before, and an object store in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions
from tests.io.emulated import steady_series
from tests.support.fixtures import object_store  # noqa: F401  # a fixture


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    """Sessions belong to the process: each test finds none, as a fresh process would."""
    yield
    reset_shared_sessions()


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
