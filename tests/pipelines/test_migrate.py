"""Migrations from end to end: what stops them, what they lose, how they go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.ledger.dead_letters import read_dead_letters
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.plan import run_plan
from omnia_beam.pipelines.run import run_migrate
from tests.pipelines.conftest import Rows, differences, rows, stored_points

T0 = parse_time("2024-03-01")
SECOND = 10**9


class Job:
    """A migration of `in/*.csv` in a folder; keyword arguments go over the defaults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "in"
        self.input.mkdir()

    def file(self, **keys: Any) -> Path:
        job = {
            "name": "job",
            "source": {"kind": "csv", "path": str(self.input / "*.csv"), **keys.pop("source", {})},
            "sink": {"kind": "parquet", "path": str(self.folder / "out")},
            "state": str(self.folder / "state"),
            **keys,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        return path

    def load(self, **keys: Any) -> JobConfig:
        return load_config(str(self.file(**keys)), now_ns=time.time_ns())

    def csv(self, name: str, series: dict[str, list[tuple[int, str, int]]]) -> None:
        """A long file of (seconds, value, status)."""
        lines = [
            f"{format_time(T0 + at * SECOND)},{tag},{value},{status}"
            for tag, points in series.items()
            for at, value, status in points
        ]
        (self.input / name).write_text("\n".join(["time,name,value,status", *lines]) + "\n")

    def stored(self) -> dict[str, Rows]:
        return stored_points(self.folder / "out")

    def letters(self) -> list[tuple[str, str, list[float]]]:
        state = StateDir.open(str(self.folder / "state"), "job", create=False)
        found = read_dead_letters(state)
        return sorted((each.source_id, each.reason, each.points.values.tolist()) for each in found)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def expect(series: dict[str, list[tuple[int, float, int]]]) -> dict[str, Rows]:
    return {
        name: rows([T0 + at * SECOND for at, _, _ in points], [v for _, v, _ in points], [s for *_, s in points])
        for name, points in series.items()
    }


def omnia(url: str, **keys: Any) -> dict[str, Any]:
    rate = {"requests_per_second": None, "max_in_flight": 2}
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, "rate": rate, **keys}


CREATE = {"facility": "F", "name": "{name}"}

MISTAKES = """source,target_name,scale,offset,status_map,target_colour
a,A,1,,pi,
b,B,1;5,,,
,C,,,,
a,D,,,,
e,E,,,nope,
f,F
g,G,0,,,
h,A,,,,
"""


def test_every_mistake_of_a_mapping_file_is_named_and_nothing_is_touched(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.csv("a.csv", {"a": [(0, "1", 192)]})
    tags = job.folder / "tags.csv"
    tags.write_text(MISTAKES)
    before = sorted(job.folder.rglob("*"))
    with EmulatorThread() as emulator:
        config = job.file(mapping={"file": str(tags)}, sink=omnia(emulator.url, create_missing=CREATE))
        assert main(["migrate", str(config), "--json"]) == 2
        assert main(["plan", str(config), "--quiet"]) == 2
        assert emulator.stats()["requests"] == {}
    told = capsys.readouterr().err
    for problem in (
        '1: column 6: "target_colour" is not a column',
        '3: column 3 (scale): "1;5" is not a finite number',
        "4: column 1 (source): is empty",
        '5: source "a" is in line 2 already',
        '6: column 5 (status_map): "nope" is not a status map',
        "7: 2 cells where the header has 6",
        "8: column 3 (scale): 0 would make every value the same",
        '9: target "A" is in line 2 already',
    ):
        assert f"{tags}:{problem}" in told
    assert sorted(job.folder.rglob("*")) == sorted([*before, config])


class TestFindings:
    """What would be lost stops a run, unless it is accepted."""

    def test_a_run_that_would_lose_points_does_not_begin(self, job: Job, context: RunContext) -> None:
        job.csv("a.csv", {"a": [(0, "1", 192), (1, "nan", 192)]})
        with EmulatorThread() as emulator:
            config = job.load(sink=omnia(emulator.url, create_missing=CREATE))
            with pytest.raises(UsageError, match="nan_values: a: 1 values are NaN"):
                run_migrate(config, context)
            plan = run_plan(config, context).summary
            assert list(emulator.store.listed()) == []
            assert not any("POST" in request for request in emulator.stats()["requests"])
        assert (plan.status, plan.details["blocking"]) == ("incomplete", 1)
        assert plan.details["findings"][0]["finding"] == "nan_values"
        assert plan.details["mapping"][0]["state"] == "to be created"
        json.dumps(plan.to_json())

    def test_accepted_points_become_dead_letters(self, job: Job, context: RunContext) -> None:
        job.csv("a.csv", {"a": [(0, "1", 192), (1, "nan", 192)]})
        with EmulatorThread() as emulator:
            config = job.load(sink=omnia(emulator.url, create_missing=CREATE), accept="nan_values")
            summary = run_migrate(config, context)
            (series,) = emulator.store.listed()
            assert series.points(T0, T0 + 10 * SECOND).values.tolist() == [1.0]
            again = run_migrate(config, context)
        assert (summary.status, summary.dead_letters, summary.points_written) == ("incomplete", 1, 1)
        assert summary.details["dead letters in"] == str(job.folder / "state" / "job" / "dead_letters")
        ((source_id, reason, values),) = job.letters()
        assert source_id == "a"
        assert "NaN" in reason
        assert np.isnan(values).all()
        assert (again.windows_done, again.status, again.dead_letters) == (0, "incomplete", 1)

    def test_series_that_are_skipped_are_listed(self, job: Job, context: RunContext) -> None:
        job.csv("a.csv", {"a": [(0, "1", 192)], "b": [(0, "2", 192)]})
        (job.folder / "tags.csv").write_text("source,target_name\nb,B\n")
        mapping = {"file": str(job.folder / "tags.csv")}
        with pytest.raises(UsageError, match="unmapped_series: a: no row of the mapping file names it"):
            run_migrate(job.load(mapping=mapping), context)
        assert not (job.folder / "out").exists() or job.stored() == {}
        summary = run_migrate(job.load(mapping={**mapping, "on_unmapped": "skip"}), context)
        assert (summary.status, summary.series) == ("complete", 1)
        assert summary.details["findings"] == {"unmapped_series": 1}
        assert differences(job.stored(), expect({"B": [(0, 2.0, 192)]})) == {}


class TestStatuses:
    """Points whose status has no image."""

    SERIES: dict[str, list[tuple[int, str, int]]] = {"a": [(0, "1", 0), (1, "2", 3), (2, "3", 1)], "b": [(0, "4", 2)]}  # noqa: RUF012 - read only

    def test_rejected_points_are_dead_letters_until_the_map_lists_them(self, job: Job, context: RunContext) -> None:
        job.csv("a.csv", self.SERIES)
        rejecting = {"by": "name_and_facility", "status_map": "ip21", "unlisted_status": "reject"}
        config = job.load(mapping=rejecting, accept=["unlisted_status"])
        summary = run_migrate(config, context)
        assert (summary.status, summary.dead_letters) == ("incomplete", 1)
        assert job.letters() == [("a", "status 3 has no image in the status map", [2.0])]
        assert differences(job.stored(), expect({"a": [(0, 1.0, 192), (2, 3.0, 64)], "b": [(0, 4.0, 0)]})) == {}

        listed = {**rejecting, "status_map": {0: 192, 1: 64, 2: 0, 3: 24}}
        summary = run_migrate(job.load(mapping=listed), context)
        assert (summary.status, summary.dead_letters, job.letters()) == ("complete", 0, [])
        everything = {"a": [(0, 1.0, 192), (1, 2.0, 24), (2, 3.0, 64)], "b": [(0, 4.0, 0)]}
        assert differences(job.stored(), expect(everything)) == {}

    def test_letters_of_windows_that_were_cut_anew_are_let_go(self, job: Job, context: RunContext) -> None:
        job.csv("a.csv", self.SERIES)
        rejecting = {"by": "name_and_facility", "status_map": "ip21", "unlisted_status": "reject"}
        keys = {"mapping": rejecting, "accept": ["unlisted_status"]}
        assert run_migrate(job.load(**keys), context).dead_letters == 1
        # The same points and one more: the window holds too much for a chunk now, and is read as several.
        job.csv("b.csv", {"a": [(3, "9", 0)]})
        summary = run_migrate(job.load(max_chunk_points=1, **keys), context)
        assert (summary.status, summary.dead_letters) == ("incomplete", 1)
        assert len(job.letters()) == 1


class TestGoingOn:
    """Runs after the first."""

    def test_a_run_that_was_stopped_is_gone_on_with(self, job: Job, context: RunContext) -> None:
        points = [(i, repr(i / 7), 192) for i in range(400)]
        job.csv("a.csv", {"a": points, "b": points})
        first = run_migrate(job.load(deadline="1ms", max_chunk_points=50), context)
        rest = run_migrate(job.load(max_chunk_points=50), context)
        assert rest.status == "complete"
        assert first.windows_done + rest.windows_done == rest.windows_planned
        assert rest.windows_skipped == first.windows_done
        again = run_migrate(job.load(max_chunk_points=50), context)
        assert (again.windows_done, again.windows_skipped) == (0, rest.windows_planned)
        values = [(i, i / 7, 192) for i in range(400)]
        assert differences(job.stored(), expect({"a": values, "b": values})) == {}

    def test_what_changed_in_the_files_is_copied_again_and_nothing_else(self, job: Job, context: RunContext) -> None:
        month = 31 * 86_400
        job.csv("a.csv", {"a": [(i, "1", 192) for i in range(100)]})
        job.csv("b.csv", {"a": [(month + i, "2", 192) for i in range(100)]})
        limit = {"max_chunk_points": 100}
        assert run_migrate(job.load(**limit), context).status == "complete"

        job.csv("c.csv", {"a": [(month + 5, "7", 192)], "n": [(month, "8", 192)]})
        summary = run_migrate(job.load(**limit), context)
        assert summary.status == "complete"
        assert summary.windows_skipped > 0
        second = [(month + i, 7.0 if i == 5 else 2.0, 192) for i in range(100)]
        expected = {"a": [*((i, 1.0, 192) for i in range(100)), *second], "n": [(month, 8.0, 192)]}
        assert differences(job.stored(), expect(expected)) == {}

        (job.input / "b.csv").unlink()
        assert run_migrate(job.load(**limit, vanished="follow"), context).status == "complete"
        expected["a"] = [*((i, 1.0, 192) for i in range(100)), (month + 5, 7.0, 192)]
        assert differences(job.stored(), expect(expected)) == {}
        again = run_migrate(job.load(**limit), context)
        assert (again.windows_done, again.status) == (0, "complete")

    def test_another_mapping_replaces_what_was_written(self, job: Job, context: RunContext) -> None:
        job.csv("a.csv", {"a": [(0, "1", 192)]})
        for scale in (2, 3):
            (job.folder / "tags.csv").write_text(f"source,target_name,scale\na,A,{scale}\n")
            assert run_migrate(job.load(mapping={"file": str(job.folder / "tags.csv")}), context).status == "complete"
            assert differences(job.stored(), expect({"A": [(0, float(scale), 192)]})) == {}


def test_files_without_points_are_refused(job: Job, context: RunContext) -> None:
    job.csv("a.csv", {})
    with pytest.raises(UsageError, match="the files hold no points"):
        run_migrate(job.load(), context)


def test_a_bad_cell_is_named_before_anything_moves(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.csv("a.csv", {"a": [(0, "1", 192), (1, "bad", 192)]})
    assert main(["migrate", str(job.file()), "--no-progress"]) == 2
    assert f"{job.input / 'a.csv'}:3: column 3 (value): 'bad' is not a number" in capsys.readouterr().err
    assert job.stored() == {}


def test_check_looks_at_files_and_mapping(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.csv("a.csv", {"a": [(0, "1", 192)], "b": [(0, "1", 192)]})
    (job.folder / "tags.csv").write_text("source,target_name\na,A\n")
    config = str(job.file(mapping={"file": str(job.folder / "tags.csv")}))
    assert main(["check", config]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "source files 1 file, 0.0 MB layout long, delimiter ,, encoding utf-8" in told
    assert "2 series: a, b" in told
    assert "mapping file 1 row" in told
    (job.input / "a.csv").write_text("time\n")
    assert main(["check", config]) == 2


def test_series_lists_the_names_of_files(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.csv("a.csv", {"a": [(0, "1", 192)], "b c": [(0, "1", 192)]})
    config = str(job.file(source={"facility": "F"}))
    assert main(["series", config, "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["id"], line["name"], line["facility"]) for line in lines] == [("a", "a", "F"), ("b c", "b c", "F")]


def test_a_window_cuts_files(job: Job, context: RunContext, load_window: Callable[[int, int], dict[str, str]]) -> None:
    job.csv("a.csv", {"a": [(i, str(i), 192) for i in range(10)]})
    summary = run_migrate(job.load(window=load_window(3, 6)), context)
    assert summary.status == "complete"
    assert differences(job.stored(), expect({"a": [(i, float(i), 192) for i in range(3, 6)]})) == {}


@pytest.fixture
def load_window() -> Callable[[int, int], dict[str, str]]:
    return lambda start, end: {"start": format_time(T0 + start * SECOND), "end": format_time(T0 + end * SECOND)}
