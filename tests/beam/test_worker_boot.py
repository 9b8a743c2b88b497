"""The program that becomes a worker: what it asks of a runner, and what it says when nobody answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
from google.protobuf import text_format

from omnia_beam.beam import worker_boot
from omnia_beam.beam.worker_boot import worker_environment

INFO = beam_provision_api_pb2.ProvisionInfo(
    control_endpoint=endpoints_pb2.ApiServiceDescriptor(url="localhost:1"),
    logging_endpoint=endpoints_pb2.ApiServiceDescriptor(url="localhost:2"),
    runner_capabilities=["beam:protocol:one:v1", "beam:protocol:two:v1"],
)
INFO.pipeline_options.update({"beam:option:job_name:v1": "a job"})


class Runner(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    """Answers like a runner, and keeps who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def GetProvisionInfo(self, request: Any, context: Any) -> Any:
        self.asked += [value for key, value in context.invocation_metadata() if key == "worker_id"]
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=INFO)


@pytest.fixture
def runner() -> Iterator[tuple[Runner, str]]:
    server, service = grpc.server(ThreadPoolExecutor(1)), Runner()
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(None).wait()


def url_in(descriptor: str) -> str:
    found = endpoints_pb2.ApiServiceDescriptor()
    text_format.Parse(descriptor, found)
    return found.url


def test_what_the_runner_tells_reaches_beams_worker() -> None:
    told = worker_environment("7-1", INFO, {"status_endpoint": "localhost:3", "control_endpoint": "localhost:4"})
    assert told["WORKER_ID"] == "7-1"
    assert json.loads(told["PIPELINE_OPTIONS"]) == {"beam:option:job_name:v1": "a job"}
    assert told["RUNNER_CAPABILITIES"].split() == list(INFO.runner_capabilities)
    assert url_in(told["CONTROL_API_SERVICE_DESCRIPTOR"]) == "localhost:1"  # the runner's word goes before the option's
    assert url_in(told["LOGGING_API_SERVICE_DESCRIPTOR"]) == "localhost:2"
    assert url_in(told["STATUS_API_SERVICE_DESCRIPTOR"]) == "localhost:3"


def test_without_work_there_is_no_worker() -> None:
    with pytest.raises(SystemExit, match="7-1: neither the runner nor --control_endpoint"):
        worker_environment("7-1", beam_provision_api_pb2.ProvisionInfo(), {})


def test_it_asks_by_its_name_and_becomes_the_worker(
    runner: tuple[Runner, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, address = runner
    ran: list[Any] = []
    environment: dict[str, str] = {}
    monkeypatch.setattr(worker_boot.os, "environ", environment)
    monkeypatch.setattr(worker_boot.sdk_worker_main, "main", ran.append)
    others = ["--artifact_endpoint=localhost:5", "--logging_endpoint=localhost:6"]
    assert worker_boot.main(["--id=7-1", f"--provision_endpoint={address}", *others]) == 0
    assert service.asked == ["7-1"]
    assert ran == [[]]
    assert environment["WORKER_ID"] == "7-1"


def test_a_runner_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker_boot, "RESPOND_WITHIN_S", 0.2)
    assert worker_boot.main(["--id=7-1", "--provision_endpoint=127.0.0.1:1"]) == 3
    assert "omnia-beam-worker 7-1: the runner at 127.0.0.1:1 does not answer" in capsys.readouterr().err
