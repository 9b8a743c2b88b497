"""Options of clusters: what would lose data or break the budget is refused with the reason, before anything is read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.pipeline import PipelineVisitor

from omnia_beam.beam.cluster import check_cluster, check_share, worker_processes
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import cancelling
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UnsafeRunnerError, UsageError
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.base import Share
from omnia_beam.io.fetch import FetchShards
from omnia_beam.io.files.options import CsvSource
from omnia_beam.io.omnia.write import WriteOmniaFn
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.pipelines.copy import CopyTask, copy_windows
from omnia_beam.pipelines.guard import cluster_share
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.replay.replay import run_replay
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify

SERVICE = ServiceSettings("http://127.0.0.1:1/v1.7", requests_per_second=20.0, max_in_flight=8)
SHARED = {"sink.path": "gs://bucket/out", "state": "gs://bucket/state"}
WORKER = '--environment_config={"command": "/srv/omnia-beam/.venv/bin/omnia-beam-worker"}'
DATAFLOW = ["--max_num_workers=4", "--experiments=no_use_multiple_sdk_containers", "--setup_file=./setup.py"]


def check(runner: str, *args: str, places: dict[str, str] = SHARED) -> None:
    check_cluster(pipeline_options(runner, args), places, [SERVICE])


@pytest.mark.parametrize(
    ("runner", "args"),
    [
        ("FlinkRunner", ["--flink_master=[local]"]),
        ("FlinkRunner", ["--flink_master=host:8081", "--environment_type=PROCESS", WORKER, "--parallelism=2"]),
        ("FlinkRunner", ["--environment_type=DOCKER", "--environment_config=image:1"]),
        ("PortableRunner", ["--environment_type=loopback"]),
        ("DataflowRunner", DATAFLOW),
    ],
)
def test_what_works_is_let_through(runner: str, args: list[str]) -> None:
    check(runner, *args)


def test_a_workers_own_disk_is_no_destination() -> None:
    local = {"sink.path": "out/", "state": "gs://bucket/state"}
    with pytest.raises(
        UnsafeRunnerError, match=r"sink\.path: out/ would be on each worker's own disk \(--environment_type=DOCKER"
    ):
        check("FlinkRunner", "--environment_type=DOCKER", places=local)
    with pytest.raises(UnsafeRunnerError, match="Dataflow"):
        check("DataflowRunner", *DATAFLOW, places=local)
    check("FlinkRunner", "--flink_master=[local]", places=local)


@pytest.mark.parametrize(
    ("runner", "args", "reason"),
    [
        ("FlinkRunner", ["--streaming"], "--streaming is refused"),
        ("PortableRunner", [], "--environment_type is not given"),
        ("PortableRunner", ["--environment_type=MAGIC"], "MAGIC is not known here"),
        ("FlinkRunner", ["--environment_type=PROCESS"], "names no command that starts a worker.*omnia-beam-worker"),
        ("FlinkRunner", ["--environment_type=PROCESS", "--environment_config=worker"], "names no command that starts"),
        ("FlinkRunner", ["--environment_type=DOCKER"], "workers need omnia_beam"),
        ("DataflowRunner", [], "workers need omnia_beam"),
    ],
)
def test_what_cannot_work_is_refused(runner: str, args: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check(runner, *args)


def test_nobody_signs_in_on_a_cluster() -> None:
    asking = replace(SERVICE, credential=CredentialSpec("device_code"), resource_id="an-api")
    options = pipeline_options("FlinkRunner", ["--environment_type=PROCESS", WORKER])
    with pytest.raises(UsageError, match="each worker would ask a person"):
        check_cluster(options, SHARED, [asking])


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_together_the_workers_keep_to_the_budget(processes: int) -> None:
    options = pipeline_options("FlinkRunner", ["--environment_type=PROCESS", f"--parallelism={processes}"])
    share = Share(worker_processes(options)).part(SERVICE)
    assert share.requests_per_second is not None
    assert share.requests_per_second * processes <= 20.0 + 1e-9
    assert 1 <= share.max_in_flight <= 8 // processes


def test_how_many_share_it_must_be_known() -> None:
    assert worker_processes(pipeline_options(None, [])) == 1
    assert worker_processes(pipeline_options("PortableRunner", ["--environment_type=LOOPBACK"])) == 1
    assert worker_processes(pipeline_options("DataflowRunner", DATAFLOW)) == 4
    for runner, args, reason in [
        ("FlinkRunner", ["--environment_type=PROCESS"], "--parallelism is not given"),
        ("DataflowRunner", DATAFLOW[1:], "--max_num_workers is not given"),
        ("DataflowRunner", [DATAFLOW[0], DATAFLOW[2]], "a process for each core"),
    ]:
        with pytest.raises(UsageError, match=reason):
            worker_processes(pipeline_options(runner, args))
    with pytest.raises(UsageError, match="cannot be shared by 9 workers"):
        check_share(SERVICE, pipeline_options("FlinkRunner", ["--environment_type=PROCESS", "--parallelism=9"]))


def test_a_backfill_is_checked_before_anything_is_read(load: Callable[..., JobConfig], context: RunContext) -> None:
    config = load("http://127.0.0.1:1/plant/timeseries/v1.7")
    options = pipeline_options("DataflowRunner", DATAFLOW)
    with pytest.raises(UnsafeRunnerError, match=r"sink\.path"):
        run_backfill(config, replace(context, options=options))


class _Job:
    """A job elsewhere: ends when it is cancelled, as Beam's results do, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self._cancelled = threading.Event()
        self._fails = fails

    def cancel(self) -> None:
        self._cancelled.set()

    def wait(self) -> None:
        if self._fails or self._cancelled.wait(20):
            raise RuntimeError("failed in state CANCELLED")


def test_a_job_elsewhere_is_cancelled_when_this_process_is_to_stop() -> None:
    job, stop = _Job(), threading.Event()
    stop.set()
    with cancelling(job, stop):
        job.wait()
    assert job._cancelled.is_set()
    with pytest.raises(RuntimeError), cancelling(_Job(fails=True), threading.Event()):
        _Job(fails=True).wait()


def test_flink_runs_a_job_stage_by_stage_unless_told_otherwise() -> None:
    """Otherwise a worker that dies takes the whole job back to its beginning."""

    def mode(runner: str | None, *args: str) -> object:
        options = pipeline_options(runner, args).get_all_options(retain_unknown_options=True)
        return options.get("execution_mode_for_batch")

    assert mode("FlinkRunner") == "BATCH_FORCED"
    assert mode("FlinkRunner", "--execution_mode_for_batch=PIPELINED") == "PIPELINED"
    assert mode(None) is None


@pytest.mark.parametrize("runner", ["FlinkRunner", "PortableRunner"])
def test_options_of_the_job_server_are_let_through_to_it_alone(runner: str) -> None:
    ours = ["--flink_conf_dir=deploy/flink", "--number_of_execution_retries=3"]
    pipeline_options(runner, ours)
    with pytest.raises(UsageError, match="--number_of_execution_retries"):
        pipeline_options(None, ours)
    with pytest.raises(UsageError, match="--number_of_execution_retry"):
        pipeline_options(runner, ["--number_of_execution_retry=3"])


SIGNED_IN = {
    "base_url": "https://127.0.0.1:1/plant/timeseries/v1.7",
    "resource_id": "an-api",
    "credential": {"kind": "device_code", "tenant_id": "t", "client_id": "c"},
}
SERVICE_SINK = {
    "kind": "omnia",
    "base_url": "http://127.0.0.1:1/plant/timeseries/v1.7",
    "credential": {"kind": "anonymous"},
    "rate": {"max_in_flight": 4},
}
PROCESS = ["--environment_type=PROCESS", WORKER]
REFUSED: dict[str, tuple[str, list[str], dict[str, object], str]] = {
    "a worker's own disk": ("DataflowRunner", DATAFLOW, {}, r"would be on each worker's own disk \(Dataflow\)"),
    "streaming": ("FlinkRunner", ["--streaming", *PROCESS], {}, "--streaming is refused: this command ends"),
    "nobody knows how many": ("FlinkRunner", PROCESS, {}, "--parallelism is not given"),
    "more workers than requests": ("FlinkRunner", [*PROCESS, "--parallelism=5"], {}, "cannot be shared by 5 workers"),
    "a person": (
        "FlinkRunner",
        [*PROCESS, "--parallelism=2"],
        {"source": SIGNED_IN},
        "each worker would ask a person to sign in",
    ),
}
COMMANDS: dict[str, Callable[[JobConfig, RunContext], object]] = {
    "migrate": run_migrate,
    "verify": run_verify,
    "verify --repair": partial(run_verify, repair=True),
    "replay": run_replay,
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_what_a_backfill_refuses(
    load: Callable[..., JobConfig], context: RunContext, command: str, why: str
) -> None:
    runner, args, keys, reason = REFUSED[why]
    config = load("http://127.0.0.1:1/plant/timeseries/v1.7", sink=SERVICE_SINK, **keys)
    with pytest.raises(UsageError, match=reason):
        COMMANDS[command](config, replace(context, options=pipeline_options(runner, args)))


def test_files_on_this_machine_are_no_source_of_workers_elsewhere(
    load: Callable[..., JobConfig], context: RunContext
) -> None:
    config = load("http://127.0.0.1:1/v1.7", sink=SERVICE_SINK, state="gs://bucket/state")
    local = config.model_copy(update={"source": CsvSource(kind="csv", path=("in.csv",))})
    with pytest.raises(UsageError, match=r"source\.path: in\.csv is on this machine's disk"):
        run_migrate(local, replace(context, options=pipeline_options("DataflowRunner", DATAFLOW)))


class _Budgets(PipelineVisitor):
    """The budgets that the transforms of a pipeline carry."""

    def __init__(self) -> None:
        self.found: list[tuple[float | None, int]] = []

    def visit_transform(self, transform_node: Any) -> None:
        self.enter_composite_transform(transform_node)

    def enter_composite_transform(self, transform_node: Any) -> None:
        fn = getattr(transform_node.transform, "fn", None)
        if isinstance(fn, FetchShards | WriteOmniaFn):
            self.found.append((fn.service.requests_per_second, fn.service.max_in_flight))


def test_a_migrations_workers_share_both_budgets(load: Callable[..., JobConfig], context: RunContext) -> None:
    with EmulatorThread(["--synthetic", "sparse:series=2,days=1,step=60s"]) as emulator:
        rate = {"requests_per_second": 20, "max_in_flight": 8}
        sink = {**SERVICE_SINK, "base_url": emulator.url, "rate": {"requests_per_second": 10, "max_in_flight": 4}}
        config = load(emulator.url, source={"rate": rate}, sink=sink)
        job = Job.of(config)
        state_dir = StateDir.open(config.state, "job")
        state = JobRun(state_dir, scope_of(config), Ledger.load(state_dir), "r", LeaseToken(1, ""))
        source = job.open_source(state, context)
        options = pipeline_options("FlinkRunner", [*PROCESS, "--parallelism=4"])
        pipeline = beam.Pipeline(options=options)
        share = cluster_share(replace(context, options=options))
        run = state.for_workers()
        task = CopyTask(source.reading(share), job.sink.writing(share, run), None, run)
        copy_windows(pipeline | beam.Create([], reshuffle=False).with_output_types(source.shard_type), task)
    budgets = _Budgets()
    pipeline.visit(budgets)
    assert set(budgets.found) == {(5.0, 2), (2.5, 1)}
