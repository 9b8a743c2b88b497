"""Replay for every pair of kinds: a repaired mapping, file or sink moves the points that were rejected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import time_ns
from typing import Any

import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.io.kinds import sink_of
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.replay.replay import run_replay
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.pairs import PAIRS, QUESTIONABLE, STATUSES, Pair, expected, pair

STRICT: Any = {"mapping": {"status_map": {192: 192}, "unlisted_status": "reject"}, "accept": ["unlisted_status"]}
REPAIRED: Any = {**STRICT, "mapping": {"status_map": {192: 192, 64: 64}, "unlisted_status": "reject"}}
GOOD = STATUSES == 192


@pytest.fixture(params=PAIRS)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path, *request.param) as found:
        yield found


def letters(job: Pair) -> DeadLetterFiles:
    config = job.load()
    return DeadLetterFiles.of(StateDir.open(config.state, config.name))


@pytest.mark.long
def test_a_repaired_mapping_moves_what_it_rejected(job: Pair, context: RunContext) -> None:
    first = run_migrate(job.load(**STRICT), context)
    assert (first.status, first.dead_letters) == ("incomplete", QUESTIONABLE)
    assert job.held() == expected(where=GOOD)

    still = run_replay(job.load(**STRICT), context)
    assert (still.status, still.exit_code) == ("incomplete", 1)
    assert (still.points_read, still.points_written, still.dead_letters) == (QUESTIONABLE, 0, QUESTIONABLE)
    assert sum(still.details["reasons"].values()) == QUESTIONABLE
    assert job.held() == expected(where=GOOD)

    done = run_replay(job.load(**REPAIRED), context)
    assert (done.status, done.exit_code) == ("complete", 0)
    assert (done.points_read, done.points_written, done.dead_letters) == (QUESTIONABLE, QUESTIONABLE, 0)
    assert done.windows_done == done.windows_planned == still.windows_planned > 0
    assert letters(job).names() == []
    assert job.held() == expected()

    again = run_replay(job.load(**REPAIRED), context)
    assert (again.status, again.points_read, again.points_written) == ("complete", 0, 0)
    after = run_migrate(job.load(**REPAIRED), context)
    assert (after.status, after.points_written) == ("complete", 0)  # every window of this job held some
    assert run_verify(job.load(**REPAIRED), context, source=True).status == "complete"


def test_letters_elsewhere(job: Pair, context: RunContext) -> None:
    run_migrate(job.load(**STRICT), context)
    files = letters(job)
    copy = job.folder / "copy"
    shutil.copytree(files.folder, copy)
    first, *others = sorted(each.name for each in copy.iterdir())
    points = files.read(first).count
    one = run_replay(job.load(**REPAIRED), context, str(copy / first))
    assert (one.status, one.windows_planned) == ("complete", 1)
    assert (one.points_read, one.points_written, one.dead_letters) == (points, points, 0)
    assert sorted(each.name for each in copy.iterdir()) == others == sorted(files.names())
    rest = run_replay(job.load(**REPAIRED), context, str(copy))
    assert (rest.status, rest.points_written) == ("complete", QUESTIONABLE - points)
    assert (list(copy.iterdir()), files.names(), job.held()) == ([], [], expected())


@pytest.mark.parametrize("job", [("csv", "csv"), ("parquet", "omnia")], indirect=True, ids=lambda pair: "-".join(pair))
def test_a_part_of_the_points_moves(job: Pair, context: RunContext) -> None:
    """Of the file's questionable points some are good now, and some are gone."""
    run_migrate(job.load(**STRICT), context)
    statuses = STATUSES.copy()
    statuses[:90] = 192
    job.show(statuses)
    moved = int((STATUSES[:90] == 64).sum()) * 2
    some = run_replay(job.load(**STRICT), context)
    assert (some.status, some.points_written, some.dead_letters) == ("incomplete", moved, QUESTIONABLE - moved)
    assert job.held() == expected(statuses, statuses == 192)


@pytest.mark.parametrize("job", [("csv", "parquet")], indirect=True, ids=lambda pair: "-".join(pair))
def test_what_the_source_does_not_give_stays(job: Pair, context: RunContext) -> None:
    run_migrate(job.load(**STRICT), context)
    before = {name: letters(job).read(name).count for name in letters(job).names()}
    (job.folder / "in" / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError):
        run_replay(job.load(**STRICT), context)
    assert {name: letters(job).read(name).count for name in letters(job).names()} == before
    job.show(STATUSES)
    assert run_replay(job.load(**REPAIRED), context).status == "complete"
    assert job.held() == expected()


@pytest.mark.parametrize("job", [("csv", "csv")], indirect=True, ids=lambda pair: "-".join(pair))
def test_a_mapping_that_is_taken_away_leaves_no_letters(job: Pair, context: RunContext) -> None:
    run_migrate(job.load(**STRICT), context)
    done = run_replay(job.load(), context)
    assert (done.status, done.points_written, letters(job).names()) == ("complete", QUESTIONABLE, [])
    assert job.held() == expected()


@pytest.mark.parametrize("job", [("omnia", "csv")], indirect=True, ids=lambda pair: "-".join(pair))
def test_windows_that_fail_keep_their_letters(job: Pair, context: RunContext) -> None:
    assert job.plant is not None
    run_migrate(job.load(**STRICT), context)
    job.plant.set_faults(["path=/data status=400"])
    failed = run_replay(job.load(**STRICT), context)
    assert (failed.status, failed.windows_failed) == ("incomplete", failed.windows_planned)
    assert (failed.points_written, failed.dead_letters) == (0, QUESTIONABLE)
    assert sum(letters(job).read(name).count for name in letters(job).names()) == QUESTIONABLE
    job.plant.set_faults([])
    assert run_replay(job.load(**REPAIRED), context).status == "complete"
    assert job.held() == expected()


def test_a_replay_that_dies_is_finished_by_the_next(
    job: Pair, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnia_beam.pipelines import carry  # the part that dies

    def dying(*args: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    run_migrate(job.load(**STRICT), context)
    monkeypatch.setattr(carry, "run_pipeline", dying)
    with pytest.raises(KeyboardInterrupt):
        run_replay(job.load(**REPAIRED), context)
    monkeypatch.undo()
    assert sum(letters(job).read(name).count for name in letters(job).names()) == QUESTIONABLE
    assert job.held() == expected(where=GOOD)
    done = run_replay(job.load(**REPAIRED), context)
    assert (done.status, done.points_written, done.dead_letters) == ("complete", QUESTIONABLE, 0)
    assert job.held() == expected()


@pytest.mark.parametrize("job", [("csv", "csv"), ("csv", "omnia")], indirect=True, ids=lambda pair: "-".join(pair))
def test_a_sink_that_replaces_nothing_refuses_before_anything_starts(
    job: Pair, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job.load(**STRICT)
    run_migrate(config, context)

    def appending(job: Any) -> Any:
        sink = sink_of(job)
        sink.accepts = replace(sink.accepts, upserts=False)
        return sink

    monkeypatch.setattr("omnia_beam.pipelines.job.sink_of", appending)
    state = {each: each.read_bytes() for each in (job.folder / "state").rglob("*") if each.is_file()}
    held = job.held()
    for what, command in {
        "replay": lambda: run_replay(config, context),
        "verify --repair": lambda: run_verify(config, context, repair=True),
        "refresh": lambda: run_migrate(job.load(**STRICT, refresh="1d"), context),
    }.items():
        with pytest.raises(UsageError, match=f"^{what} writes points again .* kind {job.sink} adds points"):
            command()
    assert {each: each.read_bytes() for each in (job.folder / "state").rglob("*") if each.is_file()} == state
    assert job.held() == held
    assert run_verify(config, context).status == "complete"  # looking is always possible


@pytest.mark.parametrize("sink", ["csv", "parquet"])
def test_what_the_reading_rejected_moves_when_it_is_read_otherwise(
    tmp_path: Path, context: RunContext, sink: str
) -> None:
    """Of the local times that come twice in October, three rows: the order of the rows tells which is which."""
    (tmp_path / "in").mkdir()
    times = ["2024-10-27 01:30:00", "2024-10-27 02:30:00", "2024-10-27 02:30:00", "2024-10-27 03:30:00"]
    lines = [f"a,{time},{i}.5,192" for i, time in enumerate(times)]
    (tmp_path / "in" / "a.csv").write_text("\n".join(["series_id,time,value,status", *lines]) + "\n")

    def load(dst_fold: str) -> JobConfig:
        job = {
            "name": "job",
            "source": {
                "kind": "csv",
                "path": str(tmp_path / "in" / "*.csv"),
                "timezone": "Europe/Oslo",
                "time_format": "%Y-%m-%d %H:%M:%S",
                "dst_fold": dst_fold,
            },
            "sink": {"kind": sink, "path": str(tmp_path / "out")},
            "state": str(tmp_path / "state"),
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        return load_config(str(tmp_path / "job.yaml"), now_ns=time_ns())

    first = run_migrate(load("dead_letter"), context)
    assert (first.status, first.points_written, first.dead_letters) == ("incomplete", 2, 2)
    assert run_replay(load("dead_letter"), context).dead_letters == 2
    done = run_replay(load("order"), context)
    assert (done.status, done.points_read, done.points_written, done.dead_letters) == ("complete", 2, 2, 0)
    assert run_verify(load("order"), context, source=True).status == "complete"
