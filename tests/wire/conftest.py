"""Settings under which small pages reach every reading that large ones do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omnia_beam.wire import gather, protobuf, rows
from tests.wire.readings import READINGS, reading_with


@pytest.fixture(scope="module", params=READINGS)
def each_reading(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a module's tests once for each way in which this machine can read pages."""
    with reading_with(request.param):
        yield


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks, chunks and large items a few rows long, so that seams fall inside pages of a hundred."""
    monkeypatch.setattr(rows, "ROWS_PER_BLOCK", 3)
    monkeypatch.setattr(gather, "CHUNK_ROWS", 7)
    monkeypatch.setattr(gather, "FOLD_BYTES", 64)
    monkeypatch.setattr(protobuf, "LARGE_ITEM_ROWS", 5)
    monkeypatch.setattr(protobuf, "FEW_ITEMS", 0)
