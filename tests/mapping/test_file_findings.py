"""Findings about files: reported or blocking, counted by series, accepted by name and amount; on files and from end to end."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.beam.progress import Limit, RunBoard
from omnia_beam.cli import main
from omnia_beam.config.accept import Acceptance
from omnia_beam.core.errors import UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.timestamps import parse_time
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.loss_report import LossReport
from omnia_beam.mapping.series_memory import remember_series, series_changes

T0 = parse_time("2024-03-01T00:00:00Z")


class TestAcceptance:
    """What stops a run."""

    FINDINGS = (
        Finding("nan_values", "PT-1", "x", True, 60, "id-1"),
        Finding("nan_values", "PT-2", "x", True, 50, "id-2"),
        Finding("nan_values", "TT-1", "x", True, 5, "id-3"),
        Finding("duplicates", "PT-1", "y", False, 7),
        Finding("odd_times", "PT-1", "z", False),
    )

    def stopping(self, *accepted: Acceptance) -> list[tuple[str, str]]:
        return [(each.name, each.series) for each in LossReport(self.FINDINGS).blocking(accepted)]

    def test_by_name_series_and_amount(self) -> None:
        nan = [("nan_values", "PT-1"), ("nan_values", "PT-2"), ("nan_values", "TT-1")]
        assert self.stopping() == nan
        assert self.stopping(Acceptance("nan_values")) == []
        assert self.stopping(Acceptance("nan_values", ("PT*",))) == nan[2:]
        assert self.stopping(Acceptance("nan_values", ("id-1",)), Acceptance("nan_values", ("TT-1",))) == nan[1:2]
        assert self.stopping(Acceptance("nan_values", (), 115)) == []
        assert self.stopping(Acceptance("nan_values", (), 114)) == nan
        assert self.stopping(Acceptance("nan_values", ("PT*",), 110), Acceptance("nan_values", ("TT*",), 4)) == nan[2:]

    def test_an_amount_stops_what_is_otherwise_reported_only(self) -> None:
        rest = Acceptance("nan_values")
        assert self.stopping(rest, Acceptance("duplicates", (), 7)) == []
        assert self.stopping(rest, Acceptance("duplicates", (), 6)) == [("duplicates", "PT-1")]
        with pytest.raises(UsageError, match="accept: duplicates: at most 6 points, and there are 7"):
            LossReport(self.FINDINGS).check([rest, Acceptance("duplicates", (), 6)])


def test_a_limit_stops_the_source() -> None:
    board = RunBoard()
    board.begin(
        [Limit(lambda finding, name: finding == "duplicates" and name.startswith("PT"), 5, "duplicates of PT*")]
    )
    board.note_found("duplicates", "PT-1", 3)
    board.note_found("duplicates", "TT-1", 90)
    board.note_found("nan_values", "PT-1", 90)
    board.note_found("duplicates", "PT-2", 2)
    assert (board.exceeded, board.stop.is_set()) == (None, False)
    board.note_found("duplicates", "PT-2", 1)
    assert board.exceeded == "duplicates of PT*: at most 5 points accepted, 6 found"
    assert board.stop.is_set()
    assert board.found()["duplicates"] == {"PT-1": 3, "PT-2": 3, "TT-1": 90}
    board.begin()
    assert (board.found(), board.exceeded) == ({}, None)


def test_series_that_changed_are_reported_once(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    before = [Timeseries("1", "PT-1", "F", unit="bar", step=False), Timeseries("2", "PT-2", "F")]
    now = [
        Timeseries("1", "PT-100", "F", unit="kPa", step=True),
        Timeseries("2", "PT-2", "F"),
        Timeseries("3", "new", "F"),
    ]
    assert list(series_changes(state, before)) == []
    remember_series(state, before)
    assert list(series_changes(state, before)) == []
    found = [(each.name, each.series, each.blocking) for each in series_changes(state, now)]
    changed = ("series_changed", "PT-100", False)
    assert found == [("renamed_series", "PT-100", False), changed, changed]
    remember_series(state, now[:1])
    assert list(series_changes(state, now)) == []
    state.write("plan/series-metadata", b"damaged")
    assert list(series_changes(state, now)) == []


class Shell:
    """The command line in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, command: str) -> int:
        return main([*shlex.split(command), "--no-progress"])

    def json(self, command: str) -> tuple[int, dict[str, Any]]:
        """Exit code and summary."""
        self._capsys.readouterr()
        code = self.run(f"{command} --json")
        return code, json.loads(self._capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


class TestFromEndToEnd:
    """The command line on files."""

    def job(self, tmp_path: Path, source: dict[str, Any], **keys: Any) -> None:
        job = {"name": "copy", "source": source, "sink": {"kind": "parquet", "path": "out/"}, "state": "state/", **keys}
        (tmp_path / "job.yaml").write_text(json.dumps(job))

    def parquet(self, path: Path, **columns: Any) -> None:
        table = {"series_id": ["PT-1"] * 3, "time": pa.array([T0, T0 + 1, T0 + 2]), "value": [1.0, 2.0, 3.0], **columns}
        pq.write_table(pa.table(table), path)

    def test_whole_numbers_beyond_2_53(self, shell: Shell, tmp_path: Path) -> None:
        self.parquet(tmp_path / "in.parquet", value=pa.array([1, 2**53 + 1, 2**60], pa.int64()))
        self.job(tmp_path, {"kind": "parquet", "path": "in.parquet"})
        ended, summary = shell.json("plan job.yaml")
        found = summary["findings"]
        assert (ended, found[0]["finding"], found[0]["points"]) == (1, "integer_precision", 2)
        assert "row 2: 9007199254740993" in found[0]["message"]
        assert shell.run("migrate job.yaml") == 2
        assert shell.run("migrate job.yaml --set accept=integer_precision") == 0
        assert pq.read_table(tmp_path / "out")["value"].to_pylist() == [1.0, float(2**53), float(2**60)]

    def test_repeats_between_files_are_counted_by_series(self, shell: Shell, tmp_path: Path) -> None:
        self.parquet(tmp_path / "a.parquet")
        self.parquet(tmp_path / "b.parquet", time=pa.array([T0 + 1, T0 + 2, T0 + 2]))
        self.job(tmp_path, {"kind": "parquet", "path": "*.parquet"})
        ended, summary = shell.json("migrate job.yaml")
        assert (ended, summary["duplicates"], summary["points_written"]) == (0, 3, 3)
        assert summary["found"] == {"duplicates": {"PT-1": 3}}

    def test_more_repeats_than_accepted_stop_the_run(self, shell: Shell, tmp_path: Path) -> None:
        for name in "ab":
            self.parquet(tmp_path / f"{name}.parquet")
        accept = [{"duplicates": {"series": ["PT*"], "at_most": 2}}]
        self.job(tmp_path, {"kind": "parquet", "path": "*.parquet"}, accept=accept)
        ended, summary = shell.json("migrate job.yaml")
        assert (ended, summary["status"]) == (1, "incomplete")
        assert "duplicates of PT*: at most 2 points accepted, 3 found" in summary["stopped"]

    def test_columns_times_and_empty_files_are_reported(self, shell: Shell, tmp_path: Path) -> None:
        self.parquet(tmp_path / "a.parquet", time=pa.array([1, 2, 3]), quality=pa.array([0, 0, 192]))
        (tmp_path / "b.parquet").write_bytes(b"")
        self.job(tmp_path, {"kind": "parquet", "path": "*.parquet"})
        ended, summary = shell.json("migrate job.yaml")
        assert (ended, summary["findings"]) == (0, {"odd_times": 1, "unread_column": 1})
        assert summary["warnings"] == ["b.parquet: is empty: it has no header and no points"]
        ended, summary = shell.json("plan job.yaml")
        texts = {each["finding"]: each["message"] for each in summary["findings"]}
        assert "within a month of 1970" in texts["odd_times"]
        assert "source.columns.status: quality" in texts["unread_column"]
        assert ended == 0
