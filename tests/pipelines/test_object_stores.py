"""Whole jobs with everything on S3: sink, state, source, list of ids; the endpoint comes from `storage:` alone."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.store import Place, StorageEntry, store_of, within
from tests.io.emulated import ids_of, steady_series
from tests.store.conftest import KEYS
from tests.store.servers import Front, make_bucket, s3_service


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_service() as url:
        make_bucket(url, "lake")
        yield url


@pytest.fixture
def front(s3_url: str) -> Iterator[Front]:
    front = Front(s3_url)
    yield front
    front.close()


@pytest.fixture(scope="module")
def plant() -> Iterator[EmulatorThread]:
    with EmulatorThread(series=steady_series()) as emulator:
        yield emulator


@pytest.fixture
def root(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place on S3, with its settings, for the test's own looks."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return Place(f"s3://lake/{uuid.uuid4().hex}", StorageEntry("s3://", endpoint=s3_url, region="eu-north-1"))


@pytest.fixture
def job(tmp_path: Path, root: str, front: Front, plant: EmulatorThread) -> dict[str, Any]:
    store_of(root).put(within(root, "ids.txt"), "\n".join([ids_of(plant)["hourly"], ids_of(plant)["daily"]]).encode())
    return {
        "name": "on-s3",
        "source": {
            "kind": "omnia",
            "base_url": plant.url,
            "credential": {"kind": "anonymous"},
            "series": {"ids_file": f"{root}/ids.txt"},
        },
        "window": {"start": "2024-01-01", "end": "2024-01-11"},
        "sink": {"kind": "parquet", "path": f"{root}/points"},
        "state": f"{root}/state",
        "storage": {"for": "s3://lake/", "endpoint": front.url, "region": "eu-north-1"},
    }


Run = Any


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a job: the exit code and the summary."""

    def run(command: str, job: dict[str, Any], *options: str) -> tuple[int, dict[str, Any]]:
        path = tmp_path / f"{job['name']}.yaml"
        path.write_text(yaml.safe_dump(job))
        capsys.readouterr()
        code = main([command, str(path), "--json", "--no-progress", *options])
        printed = capsys.readouterr()
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in printed.out + printed.err
        return code, json.loads(printed.out.splitlines()[-1])

    return run


def points_at(place: str) -> int:
    """Points in all Parquet files below a place."""
    store = store_of(place)
    names = [name for name in store.walk(place) if name.endswith(".parquet")]
    return sum(pq.read_metadata(io.BytesIO(store.open(within(place, name)).read())).num_rows for name in names)


def test_backfill_again_verify_status_and_repair(job: dict[str, Any], root: str, run: Run) -> None:
    code, first = run("backfill", job)
    assert (code, first["status"], first["points_written"]) == (0, "complete", 250)
    assert points_at(within(root, "points")) == 250
    code, again = run("backfill", job)
    assert (code, again["windows_done"], again["windows_skipped"]) == (0, 0, first["windows_planned"])
    assert run("check", job)[0] == 0
    assert run("plan", job)[1]["windows_skipped"] == first["windows_planned"]
    assert run("status", job)[1]["status"] == "complete"
    assert run("verify", job, "--report", f"{root}/report")[1]["status"] == "complete"
    assert store_of(root).is_there(within(root, "report/report.html"))

    store = store_of(root)
    lost = next(name for name in store.walk(within(root, "points")) if name.endswith(".parquet"))
    store.delete(within(root, f"points/{lost}"))
    code, status = run("status", job)
    assert (code, status["status"]) == (1, "incomplete")
    assert run("verify", job)[0] == 1
    assert run("backfill", job)[0] == 0
    assert points_at(within(root, "points")) == 250


def test_files_that_no_receipt_names_are_read_there(job: dict[str, Any], root: str, run: Run) -> None:
    """With the settings of the place: they may be the only ones with which the store can be reached."""
    assert run("backfill", job)[0] == 0
    store = store_of(root)
    name = next(name for name in store.walk(within(root, "points")) if name.endswith(".parquet"))
    copied = store.open(within(root, f"points/{name}")).read()
    store.put(within(root, "points/year=2024/month=01/copy.parquet"), copied)
    points = pq.read_metadata(io.BytesIO(copied)).num_rows
    code, found = run("verify", job)
    assert code == 1
    assert found["by_kind"] == {"stray_file": 1}
    report = store.open(within(root, found["report"].removeprefix(f"{root}/"))).read()
    assert f"{points:,} points" in report.decode()
    code, profiled = run("profile", job)
    assert (code, profiled["points_read"]) == (0, 250 + points)


@pytest.mark.long
def test_a_copy_of_files_to_files(job: dict[str, Any], root: str, run: Run) -> None:
    assert run("backfill", job)[0] == 0
    copy = {
        "name": "copy",
        "source": {"kind": "parquet", "path": f"{root}/points/**/*.parquet"},
        "sink": {"kind": "csv", "path": f"{root}/csv", "compression": "gzip"},
        "state": f"{root}/state",
        "storage": job["storage"],
    }
    assert run("migrate", copy)[1]["points_written"] == 250
    assert run("migrate", copy)[1]["windows_done"] == 0
    assert run("verify", copy)[0] == 0
    assert run("status", copy)[0] == 0


def test_tail_into_an_object_store(job: dict[str, Any], root: str, run: Run) -> None:
    code, summary = run("tail", job)
    assert (code, summary["points_written"]) == (0, 250)
    assert points_at(within(root, "points")) == 250


def test_replay_of_dead_letters_on_an_object_store(
    job: dict[str, Any], root: str, run: Run, plant: EmulatorThread
) -> None:
    store_of(root).put(within(root, "in/a.csv"), b"time,a\n2024-01-01T00:00:00Z,NaN\n2024-01-01T00:00:01Z,2\n")
    service = {"kind": "omnia", "base_url": plant.url, "credential": {"kind": "anonymous"}}
    upload = {
        "name": "upload",
        "source": {"kind": "csv", "path": f"{root}/in/*.csv"},
        "sink": {**service, "create_missing": {"facility": "1"}},
        "state": f"{root}/state",
        "accept": ["nan_values"],
        "storage": job["storage"],
    }
    code, summary = run("migrate", upload)
    assert (code, summary["dead_letters"]) == (1, 1)
    upload["sink"] |= {"nan": "as_bad_status"}
    code, summary = run("replay", upload, "--dead-letters", f"{root}/state/upload/dead_letters")
    assert (code, summary["points_written"]) == (0, 1)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["reset after", "503"])
def test_a_backfill_over_a_bad_line(job: dict[str, Any], root: str, run: Run, front: Front, fault: Any) -> None:
    """Every seventh request has a fault, so that each kind of request meets one."""
    front.choose = lambda method, path: fault if len(front.seen) % 7 == 0 else None
    assert run("backfill", job)[1]["status"] == "complete"
    front.choose = lambda method, path: None
    assert points_at(within(root, "points")) == 250
    assert run("verify", job)[0] == 0


def test_a_second_run_is_refused(job: dict[str, Any], root: str, run: Run) -> None:
    from omnia_beam.ledger.lease import Lease
    from omnia_beam.ledger.lease_file import LeaseOwner
    from omnia_beam.ledger.state_dir import StateDir

    state = StateDir.open(within(root, "state"), "on-s3")
    with Lease.acquire(state, LeaseOwner.here("other"), heartbeat=False):
        assert run("backfill", job)[0] == 3
    assert run("backfill", job)[0] == 0
