"""The ledger's benchmark still runs: each of its steps, on a small ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import ledger as bench
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir


@pytest.mark.parametrize("per_receipt", [1, 10])
def test_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_receipt: int) -> None:
    monkeypatch.setattr(bench, "SERIES", 50)
    state = StateDir.open(str(tmp_path), "bench")
    bench.fill(state, 200, per_receipt)
    assert len(Ledger.load(state)) == 200
    for step in bench.STEPS.values():
        step(state)
    ledger = Ledger.load(state)
    assert len(ledger.series_ids(bench.SCOPE.digest)) == 50
    assert ledger.notices == ()
    assert [each.snapshot is not None for each in ledger.sources] == [True]
