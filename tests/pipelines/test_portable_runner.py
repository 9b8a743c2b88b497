"""The same backfill through a job service: workers behind the real Fn API, elements split while they are read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.process import EmulatorProcess
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.pipelines.job_service import JobService, WorkerPool

pytestmark = pytest.mark.long  # job services and pools of workers, each a process that imports Beam

SPLITS = {"Read/Fetch/ParDo(FetchFn)": {"timings": [0, 0.3, 0.6, 0.9, 1.2, 1.5], "fractions": [None, *[0.5] * 5]}}


# The workers of LOOPBACK are threads of this process: each split starts a tracker of its own.
COUNTING = """
import sys
from omnia_beam import cli
from omnia_beam.io.fetch import WindowProvider
trackers, create = [], WindowProvider.create_tracker
def counting(self, restriction):
    trackers.append(restriction)
    return create(self, restriction)
WindowProvider.create_tracker = counting
code = cli.main(sys.argv[1:])
print("trackers:", len({(each.start, each.stop) for each in trackers}), file=sys.stderr)
sys.exit(code)
"""


# A worker of EXTERNAL is a process: it leaves behind what it was given to read.
COUNTING_WORKER = """#!{python}
import sys
from omnia_beam.io.fetch import WindowProvider
from omnia_beam.beam.worker_boot import main
create = WindowProvider.create_tracker
def counting(self, restriction):
    with open("{found}", "a") as file:
        print(restriction.start, restriction.stop, file=file)
    return create(self, restriction)
WindowProvider.create_tracker = counting
sys.exit(main())
"""


# Workers of this one fail, as a machine does, at their third page.
FAILING = """
import sys
from omnia_beam import cli
from omnia_beam.io.omnia import read
fetch, pages = read.fetch_page, []
def failing(*args):
    pages.append(fetch(*args))
    if len(pages) == 3:
        raise RuntimeError("this machine is gone")
    return pages[-1]
read.fetch_page = failing
sys.exit(cli.main(sys.argv[1:]))
"""


def trackers_of(errors: str) -> int:
    return int(errors.rpartition("trackers: ")[2].split()[0])


def backfill(job: Path, *runner: str, program: str = COUNTING) -> tuple[int, dict[str, object], str]:
    command = [sys.executable, "-c", program, "backfill", str(job), "--json", "--no-progress", *runner]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "splits", [pytest.param({}, marks=pytest.mark.long, id="as it comes"), pytest.param(SPLITS, id="split")]
)
def test_through_a_job_service_the_points_are_the_same(
    job_file: Callable[..., Path], tmp_path: Path, splits: dict[str, object]
) -> None:
    slow = {"rate": {"requests_per_second": None, "max_in_flight": 1}} if splits else {}
    keys = {"source": slow, "window": {"start": "2024-01-01", "end": "2024-01-06"}, "max_chunk_points": 20_000}
    with (
        EmulatorProcess(["--synthetic", "mixed:series=12,days=5,step=10s"]) as emulator,
        JobService(tmp_path) as service,
    ):
        if splits:
            emulator.set_faults(["path=/data stall=0.3"])
        job = job_file(
            emulator.url, name="portable", sink={"kind": "parquet", "path": str(tmp_path / "portable")}, **keys
        )
        code, summary, errors = backfill(
            job,
            "--runner=PortableRunner",
            "--",
            f"--job_endpoint=localhost:{service.port}",
            "--environment_type=LOOPBACK",
            f"--direct_test_splits={json.dumps(splits)}",
        )
        assert code == 0, errors
        emulator.set_faults([])
        plain = job_file(emulator.url, name="plain", sink={"kind": "parquet", "path": str(tmp_path / "plain")}, **keys)
        assert backfill(plain)[0] == 0
    found, expected = stored_points(tmp_path / "portable"), stored_points(tmp_path / "plain")
    assert found.keys() == expected.keys()
    assert all(len(found[each]) == len(expected[each]) and (found[each] == expected[each]).all() for each in found)
    assert (trackers_of(errors) > 1) == bool(splits)
    assert summary["points_written"] == sum(map(len, expected.values()))
    assert summary["points_read"] == summary["points_written"]  # by the runner's metrics


@pytest.mark.slow
def test_workers_of_a_pool_of_processes_copy_the_same(job_file: Callable[..., Path], tmp_path: Path) -> None:
    found, program = tmp_path / "trackers", tmp_path / "worker"
    program.write_text(COUNTING_WORKER.format(python=sys.executable, found=found))
    program.chmod(0o755)
    rate = {"rate": {"requests_per_second": None, "max_in_flight": 1}}
    with (
        EmulatorProcess(["--synthetic", "mixed:series=12,days=3,step=10s"]) as emulator,
        JobService(tmp_path) as service,
        WorkerPool(tmp_path, program) as pool,
    ):
        emulator.set_faults(["path=/data stall=0.3"])  # so that there is something left to split
        window = {"start": "2024-01-01", "end": "2024-01-04"}
        code, summary, errors = backfill(
            job_file(emulator.url, source=rate, window=window, max_chunk_points=20_000),
            "--runner=PortableRunner",
            "--",
            f"--job_endpoint=localhost:{service.port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool.port}",
            "--parallelism=1",
            f"--direct_test_splits={json.dumps(SPLITS)}",
        )
        emulator_requests = emulator.stats()["requests_total"]
    assert code == 0, errors
    held = SimpleNamespace(store=load_store(synthetic=["mixed:series=12,days=3,step=10s"]))
    days = TimeRange.parse(**window)
    expected = emulated_points(held, days.start_ns, days.end_ns)
    assert differences(stored_points(tmp_path / "out"), expected) == {}
    assert summary["points_read"] == summary["points_written"] == sum(map(len, expected.values()))
    assert len(set(found.read_text().splitlines())) > 1
    assert summary["requests"] == emulator_requests  # the driver's own and the workers', each once


def test_a_job_that_fails_on_its_workers_is_told(job_file: Callable[..., Path], tmp_path: Path) -> None:
    with (
        EmulatorProcess(["--synthetic", "dense:series=1,days=1,step=10s"]) as emulator,
        JobService(tmp_path) as service,
    ):
        emulator.set_faults(["path=/data method=GET status=401 after=1"])
        job = job_file(emulator.url, window={"start": "2024-01-01", "end": "2024-01-02"})
        code, summary, errors = backfill(
            job,
            "--runner=PortableRunner",
            "--",
            f"--job_endpoint=localhost:{service.port}",
            "--environment_type=LOOPBACK",
        )
    assert code == 3
    assert summary["status"] == "failed"
    assert "401" in errors or "credential" in errors.lower()


@pytest.mark.slow
def test_a_job_that_the_runner_gives_up_ends_with_what_is_missing(
    job_file: Callable[..., Path], tmp_path: Path
) -> None:
    rate = {"rate": {"requests_per_second": None, "max_in_flight": 1}}
    with (
        EmulatorProcess(["--synthetic", "dense:series=1,days=3,step=10s"]) as emulator,
        JobService(tmp_path) as service,
    ):
        window = {"start": "2024-01-01", "end": "2024-01-04"}
        job = job_file(emulator.url, source=rate, window=window, max_chunk_points=2_000)
        runner = ["--runner=PortableRunner", "--", f"--job_endpoint=localhost:{service.port}"]
        code, summary, errors = backfill(job, *runner, "--environment_type=LOOPBACK", program=FAILING)
        assert code == 1, errors
        assert (summary["status"], summary["windows_failed"]) == ("incomplete", 0)
        assert summary["windows_done"] < summary["windows_planned"]  # type: ignore[operator]  # both are numbers
        assert str(summary["runner"]).endswith("this machine is gone")
        code, summary, errors = backfill(job)
    assert (code, summary["status"]) == (0, "complete"), errors


def test_a_runner_that_cannot_be_reached(job_file: Callable[..., Path], tmp_path: Path) -> None:
    with EmulatorProcess(["--synthetic", "dense:series=1,days=1,step=10s"]) as emulator:
        job = job_file(emulator.url, window={"start": "2024-01-01", "end": "2024-01-02"})
        runner = ["--runner=PortableRunner", "--", "--job_endpoint=localhost:9", "--environment_type=LOOPBACK"]
        code, summary, errors = backfill(job, *runner, "--job_server_timeout=3")
    assert (code, summary["status"]) == (3, "failed"), errors
