"""What the tests of the ledger share: the state of a job, on a disk, and a clock that a test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnia_beam.ledger.state_dir import StateDir
from tests.ledger.fakes import FakeClock
from tests.support.fixtures import object_store  # noqa: F401  # a fixture


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.open(str(tmp_path), "job")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
