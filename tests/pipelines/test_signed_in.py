"""A backfill through each kind of credential, against a service that checks every token; and no secret left anywhere."""

from __future__ import annotations

import contextlib
import http.server
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import pickler

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.summary import Summary
from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.omnia.read import ReadFromOmnia
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.plan.plan import Plan
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.support import fixtures
from tests.support.leaks import all_logs, find_leaks
from tests.support.sign_ins import SIGN_INS, SignIn, Stage

private_ca, application_certificate, stage = fixtures.private_ca, fixtures.application_certificate, fixtures.stage

PLANT = ["--synthetic", "sparse:series=2,days=2,step=60s"]
WINDOW = {"start": "2024-01-01", "end": "2024-01-03"}


def sign_in_job(
    stage: Stage, name: str, load: Callable[..., JobConfig], url: str, monkeypatch: pytest.MonkeyPatch, **source: Any
) -> tuple[SignIn, JobConfig]:
    sign_in = stage.sign_in(name)
    for variable, value in sign_in.environ.items():
        monkeypatch.setenv(variable, value)
    source = {"credential": sign_in.keys, "resource_id": stage.resource_id, **source}
    return sign_in, load(url, source=source, window=WINDOW)


def everything_kept(
    config: JobConfig, summary: Summary, context: RunContext, folder: Path
) -> Iterator[tuple[str, Any]]:
    """Whatever of a run is written, sent to a worker, or printed."""
    job = Job.of(config)
    (service,) = job.source.budgets
    session = shared_session(service)
    read = ReadFromOmnia(service, Plan.of_windows([]), on_error="output")
    pipeline = beam.Pipeline(options=context.options)
    planned = ReadFromOmnia(service, series_ids=["a"], time_range=TimeRange(0, 1), on_error="output")
    _ = pipeline | planned
    yield "repr of the configuration", repr(config)
    yield "repr of the job", repr(job)
    yield "repr of the session", f"{session!r} {session!s} {vars(session).keys()}"
    yield "pickled settings", pickle.dumps(service)
    yield "pickled source", pickler.dumps(read)
    yield "the pipeline as sent to a runner", pipeline.to_runner_api().SerializeToString()
    yield "pipeline options", repr(context.options.get_all_options())
    yield "summary", repr(summary.to_json())
    yield "what was printed", context.out.file.getvalue() + context.err.file.getvalue()  # type: ignore[attr-defined]  # StringIO
    for path in folder.rglob("*"):
        if path.is_file():
            yield f"file {path.name}", path.read_bytes()


@pytest.mark.parametrize("name", SIGN_INS)
def test_each_kind_reads_what_it_may_and_leaves_no_secret(
    stage: Stage,
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
) -> None:
    with EmulatorThread([*PLANT, *stage.emulator_arguments(tmp_path)]) as emulator, all_logs() as logged:
        sign_in, config = sign_in_job(stage, name, load, emulator.url, monkeypatch)
        summary = run_backfill(config, context)
        expected = emulated_points(emulator, config.window.start, config.window.end)  # type: ignore[union-attr]  # it has one
        places = list(everything_kept(config, summary, context, tmp_path / "out"))
        places += [
            (f"file {path.name}", path.read_bytes()) for path in (tmp_path / "state").rglob("*") if path.is_file()
        ]
    assert summary.status == "complete"
    assert stage.issued(sign_in.flow) >= 1
    assert expected
    assert differences(stored_points(tmp_path / "out"), expected) == {}
    printed = capfd.readouterr()
    places += [(f"log line {n}", line) for n, line in enumerate(logged)]
    places += [("stdout", printed.out), ("stderr", printed.err)]
    assert find_leaks(places, stage.secrets(sign_in)) == []


def test_a_service_that_wants_a_token_and_gets_none(
    stage: Stage, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with (
        EmulatorThread([*PLANT, *stage.emulator_arguments(tmp_path)]) as emulator,
        pytest.raises(OmniaBeamError, match="401"),
    ):
        run_backfill(load(emulator.url, window=WINDOW), context)


def test_a_wrong_secret_is_told_without_being_shown(
    stage: Stage,
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = "wr0ng~secret/that+nobody=may&see"
    with EmulatorThread([*PLANT, *stage.emulator_arguments(tmp_path)]) as emulator, all_logs() as logged:
        _, config = sign_in_job(stage, "client_secret", load, emulator.url, monkeypatch)
        monkeypatch.setenv("AZURE_CLIENT_SECRET", wrong)
        with pytest.raises(OmniaBeamError) as caught:
            run_backfill(config, context)
    told = "".join(traceback.format_exception(caught.value))
    places = [("exception", told), ("pickled exception", pickle.dumps(caught.value)), ("logs", "\n".join(logged))]
    assert find_leaks(places, [wrong]) == []


@pytest.mark.long
def test_a_token_that_expires_half_way_fails_no_window(
    stage: Stage,
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.authority.mint.lifetime_s = 2
    arguments = [*PLANT, *stage.emulator_arguments(tmp_path), "--latency-ms", "250"]
    with EmulatorThread(arguments) as emulator:
        rate = {"requests_per_second": None, "max_in_flight": 1}
        _, config = sign_in_job(stage, "client_secret", load, emulator.url, monkeypatch, page_limit=300, rate=rate)
        summary = run_backfill(config, context)
        expected = emulated_points(emulator, config.window.start, config.window.end)  # type: ignore[union-attr]  # it has one
    assert (summary.status, summary.windows_failed) == ("complete", 0)
    assert summary.elapsed_s > 3 * stage.authority.mint.lifetime_s / 2  # or nothing could have expired
    assert stage.issued("client_secret") >= 2
    assert differences(stored_points(tmp_path / "out"), expected) == {}


def test_a_token_that_the_service_drops_is_renewed_once(
    stage: Stage,
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [*PLANT, *stage.emulator_arguments(tmp_path), "--fault", "path=/data status=401 after=1 count=1"]
    with EmulatorThread(arguments) as emulator:
        _, config = sign_in_job(stage, "client_secret", load, emulator.url, monkeypatch)
        summary = run_backfill(config, context)
        assert emulator.stats()["faults_total"] == 1
    assert (summary.status, summary.windows_failed) == ("complete", 0)
    assert stage.issued("client_secret") == 2


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Another host, by its port: keeps the headers of whatever comes."""
    came: list[dict[str, str]] = []

    class Keep(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(dict(self.headers))
            self.send_response(404)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *args: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_no_token_follows_a_redirect_to_another_host(
    stage: Stage,
    load: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "subscription-key-5511")
    with listening() as (elsewhere, came):
        fault = f"path=/data redirect={elsewhere} after=1 count=1"
        with EmulatorThread([*PLANT, *stage.emulator_arguments(tmp_path), "--fault", fault]) as emulator:
            _, config = sign_in_job(
                stage, "client_secret", load, emulator.url, monkeypatch, subscription_key_env="GATEWAY_KEY"
            )
            summary = run_backfill(config, context)
            assert emulator.stats()["faults_total"] == 1
            assert summary.status == "incomplete"
            assert elsewhere in str(summary.details["first failure"])
            assert run_backfill(config, context).status == "complete"
    assert all("Authorization" not in headers for headers in came)
    assert all("Ocp-Apim-Subscription-Key" not in headers for headers in came)
