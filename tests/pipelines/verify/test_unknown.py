"""What could not be compared is never "no difference"; and a repair that cannot read takes nothing from the ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.status.facts import job_status
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.pipelines.verify.planting import point_of, put

START, END = parse_time("2024-01-01"), parse_time("2024-03-01")
WINDOW = {"start": "2024-01-01", "end": "2024-03-01"}
TIMES = np.arange(START, END, 3_600 * 10**9)
NO_WAIT = {"attempts": 2, "first_wait": "0s", "max_wait": "0s"}


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(series={"a": (TIMES, np.sqrt(TIMES - START)), "b": (TIMES[::3], TIMES[::3] / 7)}) as emulator:
        yield emulator


@pytest.fixture
def job(emulator: EmulatorThread, load: Callable[..., JobConfig], context: RunContext) -> JobConfig:
    ids = [series.id for series in emulator.store.listed()]
    job = load(emulator.url, source={"series": {"ids": ids}, "retry": NO_WAIT}, window=WINDOW, max_chunk_points=1_100)
    run_backfill(job, context)
    return job


def faults(emulator: EmulatorThread, *rules: str) -> None:
    requests.post(f"{emulator.url}/_emulator/faults", json=list(rules), timeout=10).raise_for_status()


def check(job: JobConfig, context: RunContext, tmp_path: Path, **options: Any) -> dict[str, Any]:
    before = len(said(context))
    summary = run_verify(job, context, report=str(tmp_path / "report"), **options)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    return {"exit": summary.exit_code, "summary": summary.to_json(), "said": said(context)[before:], **report}


def said(context: RunContext) -> str:
    text: str = context.err.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    return text


def flip(tmp_path: Path, series_id: str) -> None:
    point = point_of(sorted((tmp_path / "out").rglob("*.parquet"))[1], series_id, 5)
    put(point, bits=point.bits ^ 1)


@pytest.mark.parametrize("repair", [False, True])
def test_a_source_that_answers_errors_is_no_source_without_differences(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path, repair: bool
) -> None:
    faults(emulator, "path=/data status=500")
    found = check(job, context, tmp_path, source=True, repair=repair)
    windows = found["before"]["windows"]
    assert (found["exit"], found["equal"], found["before"]["by_kind"]) == (1, False, {"not_compared": windows})
    assert found["said"].startswith(f"NOT COMPARED: {windows} of {windows} windows could not be compared")
    assert found["not_compared"].startswith(f"{windows} of {windows} windows could not be compared")
    assert found["summary"]["warnings"] == [found["not_compared"]]
    assert (found["summary"]["status"], found["summary"]["windows_done"]) == ("incomplete", 0)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.index("Not compared: ") < page.index('class="cards"')
    assert "Not everything was compared" in page
    assert not job_status(job).incomplete
    faults(emulator)
    assert check(job, context, tmp_path, source=True)["exit"] == 0


def test_damage_is_known_though_the_source_is_not(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path
) -> None:
    for file in (tmp_path / "out").rglob("*.parquet"):
        file.unlink()
    faults(emulator, "path=/data status=500")
    found = check(job, context, tmp_path, source=True, repair=True)
    kinds = found["before"]["by_kind"]
    assert (found["exit"], set(kinds)) == (1, {"missing_file", "not_compared"})
    assert (found["repair"]["windows"], found["after"]["by_kind"]) == (0, kinds)
    for options in ({}, {"repair": True}):  # nothing was announced, so nothing is forgotten
        found = check(job, context, tmp_path, **options)
        assert (found["exit"], found["before"]["by_kind"]) == (1, {"missing_file": kinds["missing_file"]})
        assert not job_status(job).incomplete
    assert any("does not give" in text for text in found["said"].splitlines())
    faults(emulator)
    assert check(job, context, tmp_path, repair=True)["exit"] == 0
    assert differences(stored_points(tmp_path / "out"), emulated_points(emulator, START, END)) == {}


def test_a_repair_that_fails_half_way_keeps_what_is_sound(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path
) -> None:
    one, other = sorted(series.id for series in emulator.store.listed())
    flip(tmp_path, one)
    # The look at the differing points, and the question whether the source answers, are answered; the copying is not.
    faults(emulator, "path=/data status=503 after=2")
    found = check(job, context, tmp_path, repair=True)
    assert (found["exit"], found["before"]["by_kind"], found["repair"]["windows"]) == (1, {"changed_value": 1}, 1)
    assert [each.series_id for each in job_status(job).incomplete] == [one]
    assert check(job, context, tmp_path)["before"]["by_kind"] == {"not_covered": 1}
    flip(tmp_path, other)  # what counts still is looked at still
    faults(emulator)
    found = check(job, context, tmp_path)
    assert found["before"]["by_kind"] == {"not_covered": 1, "changed_value": 1}
    assert run_backfill(job, context).status == "complete"
    assert check(job, context, tmp_path, source=True)["exit"] == 0
    assert differences(stored_points(tmp_path / "out"), emulated_points(emulator, START, END)) == {}


def test_a_series_that_the_source_has_lost_hides_no_other(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path
) -> None:
    one, other = sorted(series.id for series in emulator.store.listed())
    flip(tmp_path, other)
    found = run_with_lost_series(job, emulator, context, tmp_path, one)
    assert (found["exit"], found["before"]["by_kind"]["changed_value"]) == (1, 1)
    named = [each for each in found["before"]["named"] if each["kind"] == "not_compared"]
    assert named
    assert {each["series_id"] for each in named} == {one}


def run_with_lost_series(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path, lost: str
) -> dict[str, Any]:
    requests.delete(f"{emulator.url}/{lost}", timeout=10).raise_for_status()
    return check(job, context, tmp_path, source=True)


@pytest.fixture
def migration(tmp_path: Path, context: RunContext) -> Iterator[Callable[..., tuple[JobConfig, EmulatorThread]]]:
    lines = [f"2024-03-01T00:{n // 60:02d}:{n % 60:02d}Z,{n / 7!r},{n / 3!r}" for n in range(300)]
    (tmp_path / "plant.csv").write_text("\n".join(["time,PT-1,PT-2", *lines]) + "\n")
    path = tmp_path / "job.yaml"
    with EmulatorThread() as target:

        def load(**sink: Any) -> tuple[JobConfig, EmulatorThread]:
            service = {"kind": "omnia", "base_url": target.url, "credential": {"kind": "anonymous"}, "retry": NO_WAIT}
            job = {
                "name": "copy",
                "source": {"kind": "csv", "path": str(tmp_path / "plant.csv"), "facility": "1190"},
                "sink": {**service, **sink},
                "state": str(tmp_path / "state"),
                "mapping": {"by": "name_and_facility"},
            }
            path.write_text(yaml.safe_dump(job))
            return load_config(str(path), now_ns=time.time_ns()), target

        yield load


CREATE = {"create_missing": {"facility": "1190", "name": "{name}"}}


def delete(target: EmulatorThread, name: str) -> None:
    (series,) = [each for each in target.store.listed() if each.metadata.name == name]
    requests.delete(f"{target.url}/{series.id}", timeout=10).raise_for_status()


@pytest.mark.long
def test_a_deleted_target_series_is_named_and_made_again(
    migration: Callable[..., tuple[JobConfig, EmulatorThread]], context: RunContext, tmp_path: Path
) -> None:
    job, target = migration(**CREATE)
    run_migrate(job, context)
    delete(target, "PT-1")
    for source in (False, True):
        found = check(job, context, tmp_path, source=source)
        assert (found["exit"], found["before"]["by_kind"]) == (1, {"missing_series": 1})
        (named,) = found["before"]["named"]
        assert (named["series_id"], named["points"]) == ("PT-1", 300)
        assert "does not exist in the destination any more" in named["text"]
    mended = check(job, context, tmp_path, repair=True)
    assert (mended["exit"], mended["after"]["by_kind"]) == (0, {})
    assert check(job, context, tmp_path, source=True)["exit"] == 0
    assert sum(len(each.points(START, 2 * END).times) for each in target.store.listed()) == 600


def test_a_deleted_target_series_that_nobody_may_create_is_named(
    migration: Callable[..., tuple[JobConfig, EmulatorThread]], context: RunContext, tmp_path: Path
) -> None:
    job, target = migration(**CREATE)
    run_migrate(job, context)
    job, _ = migration()
    assert run_migrate(job, context).status == "complete"
    delete(target, "PT-2")
    left = check(job, context, tmp_path, repair=True)
    assert (left["exit"], left["after"]["by_kind"]) == (1, {"missing_series": 1})
    assert any("PT-2" in note for note in left["before"]["notes"])
    assert not job_status(job).incomplete


def test_a_destination_that_answers_errors_is_not_compared(
    migration: Callable[..., tuple[JobConfig, EmulatorThread]], context: RunContext, tmp_path: Path
) -> None:
    job, target = migration(**CREATE)
    run_migrate(job, context)
    faults(target, "path=/data status=500")
    found = check(job, context, tmp_path)
    assert (found["exit"], set(found["before"]["by_kind"])) == (1, {"not_compared"})
    faults(target, "path=/data status=404")  # also of what is there: not a word on which series exist
    found = check(job, context, tmp_path)
    assert (found["exit"], set(found["before"]["by_kind"])) == (1, {"not_compared"})
    faults(target)
    assert check(job, context, tmp_path)["exit"] == 0


def test_series_and_files_that_the_source_does_not_hold_any_more(
    migration: Callable[..., tuple[JobConfig, EmulatorThread]], context: RunContext, tmp_path: Path
) -> None:
    job, _ = migration(**CREATE)
    run_migrate(job, context)
    lines = (tmp_path / "plant.csv").read_text().splitlines()
    (tmp_path / "plant.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    found = check(job, context, tmp_path, source=True)
    assert any("not in the source now, such as 'PT-2'" in note for note in found["before"]["notes"])
    assert (found["exit"], found["before"]["by_kind"], found["before"]["points"]) == (0, {}, 600)


def test_a_window_of_which_the_source_has_lost_a_series_is_not_announced(
    migration: Callable[..., tuple[JobConfig, EmulatorThread]], context: RunContext, tmp_path: Path
) -> None:
    job, target = migration(**CREATE)
    run_migrate(job, context)
    (series,) = [each for each in target.store.listed() if each.metadata.name == "PT-1"]
    series.delete(int(parse_time("2024-03-01")), int(parse_time("2024-03-01T00:01:00Z")))
    lines = (tmp_path / "plant.csv").read_text().splitlines()
    (tmp_path / "plant.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    found = check(job, context, tmp_path, repair=True)
    assert (found["exit"], found["before"]["by_kind"], found["repair"]["windows"]) == (1, {"missing_point": 60}, 0)
    assert found["repair"]["windows_unreadable"] == 1
    assert not job_status(job).incomplete
