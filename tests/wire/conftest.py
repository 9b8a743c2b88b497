"""Settings under which small pages reach every reading that large ones do."""

from __future__ import annotations

import pytest

from omnia_beam.wire import gather, protobuf, rows


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks, chunks and large items a few rows long, so that seams fall inside pages of a hundred."""
    monkeypatch.setattr(rows, "_ROWS_PER_BLOCK", 3)
    monkeypatch.setattr(gather, "_CHUNK_ROWS", 7)
    monkeypatch.setattr(gather, "_FOLD_BYTES", 64)
    monkeypatch.setattr(protobuf, "_LARGE_ITEM_ROWS", 5)
    monkeypatch.setattr(protobuf, "_FEW_ITEMS", 0)
