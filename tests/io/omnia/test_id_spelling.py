"""One series in several spellings: copied once, under one id, also where an earlier release recorded another spelling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.series import Timeseries
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.omnia import opened as open_service
from omnia_beam.io.omnia.id_spelling import as_recorded, named_in_two_spellings
from omnia_beam.io.omnia.options import SeriesSelection
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.status.command import run_status
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.emulated import ids_of
from tests.ledger.fakes import SCOPE, SINK, receipt, recorded
from tests.pipelines.conftest import stored_points

LOW = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def test_a_list_that_spells_an_id_in_two_ways_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text(f"x\n{{{LOW}}}\n", encoding="utf-8")
    selection = SeriesSelection(ids=(LOW.upper(), "x", LOW), ids_file=str(tmp_path / "ids.txt"))
    [text] = named_in_two_spellings(selection)
    assert text == f"source.series: {LOW.upper()} and {LOW} are one series, which is read once"


def test_the_spelling_of_then_goes_on(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    assert as_recorded(Ledger.load(state), [LOW.upper(), "b"]) == (LOW, "b")
    recorded(state, 1, receipt([LOW.upper()], 0, 10))
    assert as_recorded(Ledger.load(state), [LOW, "b"]) == (LOW.upper(), "b")
    recorded(state, 2, receipt([LOW], 0, 10))
    assert as_recorded(Ledger.load(state), [LOW, "b"]) == (LOW, "b")
    assert SCOPE.sink == SINK


def select_as_listed(session: Any, selection: Any) -> tuple[Timeseries, ...]:
    return tuple(Timeseries(each, "", "") for each in selection.ids)


def test_a_job_of_an_earlier_release_goes_on_without_a_row_twice(
    emulator: EmulatorThread,
    load: Callable[..., Any],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series_id = ids_of(emulator)["hourly"]
    days = [{"start": "2024-01-01", "end": f"2024-01-{day}"} for day in ("05", "09")]
    with monkeypatch.context() as patch:  # as it was: ids were taken as they stood in the list
        patch.setattr(open_service, "select_series", select_as_listed)
        patch.setattr(open_service, "as_recorded", lambda ledger, ids: tuple(ids))
        config = load(emulator.url, source={"series": {"ids": [series_id.upper()]}}, window=days[0])
        assert run_backfill(config, context).status == "complete"
    for spelled in (series_id, series_id.upper(), f"{{{series_id}}}"):
        config = load(emulator.url, source={"series": {"ids": [spelled]}}, window=days[1], refresh="3d")
        assert run_backfill(config, context).status == "complete"
        assert run_status(config, context).summary.status == "complete"
        assert run_verify(config, context).status == "complete"
        found = stored_points(tmp_path / "out")
        assert {name: len(points) for name, points in found.items()} == {series_id.upper(): 8 * 24}


def test_a_mapping_names_a_series_in_any_spelling(
    emulator: EmulatorThread, load: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    series_id = ids_of(emulator)["hourly"]
    for run, spelled in enumerate((series_id.upper(), f"urn:uuid:{series_id}")):
        (tmp_path / "map.csv").write_text(f"source,target_id\n{spelled},target\n", encoding="utf-8")
        config = load(
            emulator.url,
            name=f"job{run}",
            source={"series": {"ids": [f"{{{series_id}}}"]}},
            sink={"kind": "parquet", "path": str(tmp_path / f"out{run}")},
            mapping={"file": str(tmp_path / "map.csv")},
        )
        assert run_migrate(config, context).status == "complete"
        assert set(stored_points(tmp_path / f"out{run}")) == {"target"}
