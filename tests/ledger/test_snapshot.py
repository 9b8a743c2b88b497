"""Snapshots by themselves: rows of several groups, and rows that are damaged after the ledger was loaded."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.snapshot import check_snapshot, read_manifest, snapshot_batches, write_snapshot
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.table import RETIRED, retired_batch
from tests.ledger.fakes import SINK
from tests.store.memory_objects import MemoryObjects


@pytest.fixture(params=["local", "object store"])
def state(request: pytest.FixtureRequest, tmp_path: Path, object_store: MemoryObjects) -> StateDir:
    return StateDir.open(str(tmp_path) if request.param == "local" else "s3://bucket/state", "job")


def test_a_snapshot_of_several_row_groups_gives_back_each_row_once(state: StateDir) -> None:
    names = [[f"{number}-{'x' * 2_400_000}"] for number in range(5)]
    batches = [retired_batch(SINK, files) for files in names]
    snapshot = write_snapshot(
        state, "snapshot-00000001-0", 1, iter(batches), scopes={}, includes=["one"], created="2024-01-01T00:00:00Z"
    )
    check_snapshot(state, snapshot)
    assert read_manifest(state, snapshot.manifest_name) == snapshot
    assert (snapshot.records, snapshot.includes) == (5, ("one",))
    with state.open_file(f"ledger/{snapshot.data_name}") as file:
        assert pq.ParquetFile(file).metadata.num_row_groups == 3
    rows = [row for batch in snapshot_batches(state, snapshot) for row in batch.to_pylist()]
    assert [row["files"] for row in rows] == names
    assert {name: rows[0][name] for name in ("run", "writer", "at", "kind", "scope", "sink", "series", "record")} == {
        "run": 0,
        "writer": "",
        "at": 0,
        "kind": RETIRED,
        "scope": "",
        "sink": SINK,
        "series": [],
        "record": b"",
    }


def test_a_row_that_is_damaged_after_the_load_is_not_believed(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    names = [random.Random(number).randbytes(400).hex() for number in range(20)]
    snapshot = write_snapshot(
        state, "snapshot-00000001-0", 1, [retired_batch(SINK, names)], scopes={}, includes=[], created=""
    )
    path = Path(state.path(f"ledger/{snapshot.data_name}"))
    whole = path.read_bytes()
    for at in range(500, 7_000, 500):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StateError, match="cannot be read"):
            list(snapshot_batches(state, snapshot))
