"""Files that are not what their receipts say are copied again; a tree that was merely copied or touched is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import Copying, run_backfill, run_migrate
from tests.io.emulated import MONTH
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.support import fixtures

steady_emulator, emulator = fixtures.steady_emulator, fixtures.emulator


def older(path: Path) -> None:
    """The same file with other values, of the same size: what a woken run would put in its place."""
    table = pq.ParquetFile(path).read()
    values = pa.array(pc.add(table["value"].combine_chunks(), 1.0))
    size = path.stat().st_size
    pq.write_table(table.set_column(2, table.schema.field(2), values), path, compression="zstd", store_schema=False)
    with path.open("r+b") as file:
        file.truncate(max(size, path.stat().st_size))


def exact(emulator: EmulatorThread, out: Path) -> bool:
    return not differences(stored_points(out), emulated_points(emulator, MONTH.start_ns, MONTH.end_ns))


@pytest.fixture
def copied(emulator: EmulatorThread, load: Callable[..., Any], context: RunContext, tmp_path: Path) -> tuple[Any, Path]:
    config = load(emulator.url, max_chunk_points=10_000)
    assert run_backfill(config, context).status == "complete"
    return config, tmp_path / "out"


def test_a_file_with_other_points_is_copied_again(
    copied: tuple[Any, Path], emulator: EmulatorThread, context: RunContext
) -> None:
    config, out = copied
    older(min(out.rglob("*.parquet")))
    assert not exact(emulator, out)
    summary = run_backfill(config, context)
    assert summary.status == "complete"
    assert summary.windows_done == 1
    assert exact(emulator, out)


@pytest.mark.long
def test_a_file_that_is_changed_while_a_run_goes_on_leaves_it_incomplete(
    copied: tuple[Any, Path], emulator: EmulatorThread, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = copied
    carry_out = Copying.carry

    def woken(*args: Any) -> Any:
        outcome = carry_out(*args)
        older(min(out.rglob("*.parquet")))
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(Copying, "carry", woken)
        summary = run_backfill(config, context)
    assert summary.status == "incomplete"
    assert "not as recorded" in str(summary.details["incomplete"])
    assert run_backfill(config, context).status == "complete"
    assert exact(emulator, out)


@pytest.mark.parametrize("how", ["touched", "copied"])
def test_other_times_alone_cost_no_point(copied: tuple[Any, Path], context: RunContext, how: str) -> None:
    config, out = copied
    if how == "copied":
        shutil.copytree(out, out.with_name("restored"), copy_function=shutil.copyfile)
        shutil.rmtree(out)
        out.with_name("restored").rename(out)
    else:
        for path in out.rglob("*.parquet"):
            os.utime(path, ns=(1, 1))
    summary = run_backfill(config, context)
    assert (summary.status, summary.windows_done, summary.points_read) == ("complete", 0, 0)


def test_a_csv_file_that_changed_is_copied_again(
    emulator: EmulatorThread, load: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    config = load(emulator.url, sink={"kind": "csv", "path": str(tmp_path / "out")})
    assert run_migrate(config, context).status == "complete"
    path = min((tmp_path / "out").rglob("month=*/*.csv"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b",192", b",100"))
    summary = run_migrate(config, context)
    assert (summary.status, summary.windows_done) == ("complete", 1)
    assert path.read_bytes() == content
