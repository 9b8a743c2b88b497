"""What a run finds at its destination: lost files, series and dead letters are written again, or named with exit 1."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.replay.replay import run_replay
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.status.command import run_status

T0 = parse_time("2024-01-20")
MINUTE = 60 * 10**9
ROWS = 300
PARQUET = {"kind": "parquet", "path": "out"}


class Job:
    """A migration of `in/*.csv`, two series in a wide file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        self.rows("a.csv", 0, ROWS)

    def rows(self, name: str, first: int, end: int) -> None:
        lines = [f"{format_time(T0 + i * 60 * MINUTE)},{i}.5,{i}" for i in range(first, end)]
        (self.folder / "in" / name).write_text("\n".join(["time,a,b", *lines]) + "\n")

    def load(self, sink: dict[str, Any], **keys: Any) -> JobConfig:
        sink = {**sink, **({"path": str(self.folder / sink["path"])} if "path" in sink else {})}
        job = {
            "name": "job",
            "source": {"kind": "csv", "path": str(self.folder / "in" / "*.csv")},
            "sink": sink,
            "state": str(self.folder / "state"),
            "max_chunk_points": 100,
            **keys,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        return load_config(str(path), now_ns=time.time_ns())

    def files(self) -> list[Path]:
        found = (self.folder / "out").rglob("*")
        return sorted(each for each in found if each.is_file() and not each.name.startswith("_"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def service(url: str, **keys: Any) -> dict[str, Any]:
    rate = {"requests_per_second": None, "max_in_flight": 2}
    create = {"facility": "F", "name": "{name}"}
    return {
        "kind": "omnia",
        "base_url": url,
        "credential": {"kind": "anonymous"},
        "rate": rate,
        "create_missing": create,
        **keys,
    }


def contents(job: Job) -> dict[str, bytes]:
    return {str(each.relative_to(job.folder)): each.read_bytes() for each in job.files()}


def one_file(files: list[Path]) -> None:
    files[1].unlink()


def all_files(files: list[Path]) -> None:
    shutil.rmtree(files[0].parents[2])


def cut_short(files: list[Path]) -> None:
    files[0].write_bytes(files[0].read_bytes()[:-7])


def grown(files: list[Path]) -> None:
    files[0].write_bytes(files[0].read_bytes() + b"\n")


def emptied(files: list[Path]) -> None:
    for each in files:
        each.write_bytes(b"")


@pytest.mark.parametrize("harm", [one_file, all_files, cut_short, grown, emptied])
@pytest.mark.parametrize("sink", [PARQUET, {"kind": "csv", "path": "out", "compression": "gzip"}])
def test_lost_files_are_written_again(
    job: Job, context: RunContext, sink: dict[str, Any], harm: Callable[[list[Path]], None]
) -> None:
    assert run_migrate(job.load(sink), context).status == "complete"
    before = contents(job)
    assert len(before) > 3
    harm(job.files())
    assert run_status(job.load(sink), context).summary.status == "incomplete"
    summary = run_migrate(job.load(sink), context)
    assert (summary.status, contents(job).keys()) == ("complete", before.keys())
    if sink is PARQUET:
        assert contents(job) == before
    assert run_status(job.load(sink), context).summary.status == "complete"
    assert run_migrate(job.load(sink), context).points_written == 0


@pytest.mark.parametrize("name", ["Copy of {0}", "{1} (1){2}", "old-{0}"])
@pytest.mark.parametrize("sink", [PARQUET, {"kind": "csv", "path": "out", "compression": "gzip"}])
def test_a_copy_beside_a_file_is_a_warning_and_stays(
    job: Job, context: RunContext, sink: dict[str, Any], name: str
) -> None:
    assert run_migrate(job.load(sink), context).warnings == ()
    file = job.files()[0]
    stem, dot, suffix = file.name.partition(".csv") if ".csv" in file.name else file.name.partition(".parquet")
    copy = file.with_name(name.format(file.name, stem, dot + suffix))
    shutil.copy(file, copy)
    for keys in ({}, {"refresh": "100000d"}):
        summary = run_migrate(job.load(sink, **keys), context)
        assert summary.status == "complete"
        assert [copy.name in each and "without a receipt" in each for each in summary.warnings] == [True]
        assert copy.exists()
    assert any(copy.name in each for each in run_status(job.load(sink), context).summary.warnings)


def test_files_of_another_job_and_hidden_ones_are_no_copies(job: Job, context: RunContext) -> None:
    assert run_migrate(job.load(PARQUET), context).status == "complete"
    (job.folder / "in" / "a.csv").rename(job.folder / "in" / "b.csv")
    other = job.load({**PARQUET}, name="other", state=str(job.folder / "state2"))
    assert run_migrate(other, context).status == "complete"
    file = job.files()[0]
    shutil.copy(file, file.with_name(f"_{file.name}"))
    shutil.copy(file, file.with_name("notes.txt"))
    assert run_migrate(job.load(PARQUET), context).warnings == ()


@pytest.mark.parametrize("sink", ["service", "off"])
def test_status_tells_what_it_did_not_look_at(job: Job, context: RunContext, sink: str) -> None:
    with EmulatorThread() as emulator:
        config = job.load(service(emulator.url)) if sink == "service" else job.load(PARQUET, destination_check="off")
        assert run_migrate(config, context).status == "complete"
        found = run_status(config, context).summary
        assert (found.status, ["not checked" in each for each in found.warnings]) == ("complete", [True])


def test_what_is_lost_at_both_ends_is_named_once(job: Job, context: RunContext) -> None:
    job.rows("b.csv", 24 * 40, 24 * 40 + 50)
    assert run_migrate(job.load(PARQUET), context).status == "complete"
    (job.folder / "in" / "b.csv").unlink()
    for each in job.files():
        if "month=02" in str(each) or "month=03" in str(each):
            each.unlink()
    found = run_migrate(job.load(PARQUET), context)
    assert found.status == "incomplete"
    assert "neither at the source nor at the destination" in " ".join(found.details["incomplete"])
    assert run_migrate(job.load(PARQUET), context).status == "complete"


def test_off_looks_at_nothing_and_says_so(job: Job, context: RunContext) -> None:
    assert run_migrate(job.load(PARQUET), context).status == "complete"
    all_files(job.files())
    summary = run_migrate(job.load(PARQUET, destination_check="off"), context)
    assert (summary.status, len(summary.warnings)) == ("complete", 1)
    assert "was not checked" in summary.warnings[0]


def counts(emulator: EmulatorThread) -> list[int]:
    return sorted(len(each.points(None, None).times) for each in emulator.store.listed())


def first(emulator: EmulatorThread) -> Any:
    return next(iter(emulator.store.listed()))


def deleted(emulator: EmulatorThread) -> None:
    emulator.store.remove(first(emulator))


def thinned(emulator: EmulatorThread) -> None:
    first(emulator).delete(T0 + 60 * MINUTE, T0 + 62 * MINUTE)


@pytest.mark.parametrize("harm", [deleted, thinned])
def test_lost_target_series_and_points_are_written_again(
    job: Job, context: RunContext, harm: Callable[[EmulatorThread], None]
) -> None:
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink), context).status == "complete"
        assert counts(emulator) == [ROWS, ROWS]
        harm(emulator)
        assert counts(emulator) != [ROWS, ROWS]
        assert run_migrate(job.load(sink), context).status == "complete"
        assert counts(emulator) == [ROWS, ROWS]


def test_existence_alone_is_said_and_counts_nothing(job: Job, context: RunContext) -> None:
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink, destination_check="existence"), context).status == "complete"
        thinned(emulator)
        summary = run_migrate(job.load(sink, destination_check="existence"), context)
        assert "not counted" in summary.warnings[0]
        deleted(emulator)
        assert run_migrate(job.load(sink, destination_check="existence"), context).status == "complete"
        assert max(counts(emulator)) == ROWS


def test_points_of_others_are_a_warning(job: Job, context: RunContext) -> None:
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink), context).status == "complete"
        one = first(emulator).points(None, None)
        more = type(one)(one.times[:5] + MINUTE, one.values[:5], one.statuses[:5])
        first(emulator).write(more)
        summary = run_migrate(job.load(sink), context)
        assert (summary.status, summary.points_written) == ("complete", 0)
        assert "more points than this job has written" in summary.warnings[0]


def test_the_check_takes_a_request_for_a_hundred_series(job: Job, context: RunContext) -> None:
    names = ",".join(f"s{i}" for i in range(150))
    cells = ",".join("1" for _ in range(150))
    (job.folder / "in" / "a.csv").write_text(f"time,{names}\n{format_time(T0)},{cells}\n")
    with EmulatorThread() as emulator:
        sink = service(emulator.url)
        assert run_migrate(job.load(sink), context).status == "complete"
        asked = []
        for mode in ("full", "off"):
            reset_shared_sessions()  # their counts go on otherwise
            asked.append(run_migrate(job.load(sink, destination_check=mode), context).requests)
        assert asked[0] - asked[1] == 2


@pytest.mark.parametrize("path", ["rejected", "refused"])
def test_dead_letters_whose_file_is_gone_are_read_again(job: Job, context: RunContext, path: str) -> None:
    mapping: dict[str, Any] = {}
    if path == "rejected":  # the mapping gives them up before the sink sees them
        (job.folder / "tags.csv").write_text("source,target_name,scale\na,a,1e308\nb,b,1\n")
        mapping = {"mapping": {"file": str(job.folder / "tags.csv")}}
    else:
        (job.folder / "in" / "a.csv").write_text(f"time,a,b\n{format_time(T0)},nan,2\n")
    with EmulatorThread() as emulator:
        config = job.load(service(emulator.url), accept=["nan_values"], **mapping)
        before = run_migrate(config, context)
        letters = list((job.folder / "state" / "job" / "dead_letters").iterdir())
        assert (before.status, bool(letters)) == ("incomplete", True)
        for each in letters:
            each.unlink()
        assert run_status(config, context).summary.status == "incomplete"
        replayed = run_replay(config, context)
        assert (replayed.status, "run migrate" in replayed.details["lost"]) == ("incomplete", True)
        again = run_migrate(config, context)
        assert (again.status, again.dead_letters) == ("incomplete", before.dead_letters)
        assert len(list((job.folder / "state" / "job" / "dead_letters").iterdir())) == len(letters)


@pytest.mark.parametrize(
    "sink", [PARQUET, {"kind": "csv", "path": "out"}, {"kind": "csv", "path": "out", "layout": "wide"}]
)
def test_a_run_over_february_keeps_january_where_the_ledger_lost_it(
    job: Job, context: RunContext, sink: dict[str, Any]
) -> None:
    january = {"window": {"start": "2024-01-20", "end": "2024-02-01"}}
    assert run_migrate(job.load(sink, **january), context).status == "complete"
    before = contents(job)
    for each in (job.folder / "state" / "job" / "ledger").iterdir():
        each.unlink()
    february = {"window": {"start": "2024-02-01", "end": "2024-03-01"}}
    assert run_migrate(job.load(sink, **february), context).status == "complete"
    assert before.items() <= contents(job).items()
