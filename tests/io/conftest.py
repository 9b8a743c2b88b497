"""What the tests of Beam's edges share: a clean progress board, and an object store in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omnia_beam.io.progress import BOARD, STOP
from tests.io.memory_filesystem import MemoryFileSystem


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    """Board and stop flag belong to the process: each test finds them as a fresh process would."""
    BOARD.reset()
    STOP.clear()
    yield
    BOARD.reset()
    STOP.clear()


@pytest.fixture
def object_store() -> Iterator[type[MemoryFileSystem]]:
    """An empty object store under `omniamem://`."""
    MemoryFileSystem.reset()
    yield MemoryFileSystem
    MemoryFileSystem.reset()
