"""`omnia-beam-worker`: starts one worker process of a pipeline that another process runs.

Beam's container has a program `boot` for this, which its Python package lacks. This one does the part of it that workers on a
machine with omnia-beam need: it asks the runner where its endpoints and the pipeline's options are, and becomes the worker. It
installs nothing: it ignores what `--setup_file` and similar options stage.

    --environment_type=PROCESS --environment_config='{"command": "/srv/omnia-beam/.venv/bin/omnia-beam-worker"}'
    python -m apache_beam.runners.worker.worker_pool_main --service_port=50000 --container_executable=.../omnia-beam-worker
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

RESPOND_WITHIN_S: Final = 60.0
_ENDPOINTS: Final = ("control", "logging", "status")


def main(argv: Sequence[str] | None = None) -> int:
    """Work until the runner has no more work.

    Args:
        argv: as in Beam's container contract: `--id`, `--provision_endpoint`, and others that are older.

    Returns:
        0 once the runner is done with the worker, 3 where the runner does not respond.
    """
    args = _arguments(argv)
    try:
        info = _provision_info(args.provision_endpoint, args.id)
    except grpc.RpcError as error:
        print(
            f"omnia-beam-worker {args.id}: the runner at {args.provision_endpoint} does not answer: {error}",
            file=sys.stderr,
        )
        return 3
    os.environ.update(worker_environment(args.id, info, vars(args)))
    sdk_worker_main.main([])
    return 0


def worker_environment(worker_id: str, info: Any, given: dict[str, str | None]) -> dict[str, str]:
    """Return what Beam's worker reads from its environment.

    Args:
        worker_id: the runner's name for this worker.
        info: Beam's ProvisionInfo.
        given: endpoints by `<name>_endpoint` for those that `info` leaves out.

    Raises:
        SystemExit: the endpoint from which the runner gives out work is not known.
    """
    environment = {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    for name in _ENDPOINTS:
        url = getattr(info, f"{name}_endpoint").url or given.get(f"{name}_endpoint")
        if url:
            descriptor = endpoints_pb2.ApiServiceDescriptor(url=url)
            environment[f"{name.upper()}_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(descriptor)
    if "CONTROL_API_SERVICE_DESCRIPTOR" not in environment:
        raise SystemExit(
            f"omnia-beam-worker {worker_id}: neither the runner nor --control_endpoint names the service that gives out work"
        )
    return environment


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="omnia-beam-worker", description="Started by a Beam runner, not by people")
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    for name in _ENDPOINTS:
        parser.add_argument(f"--{name}_endpoint")
    return parser.parse_known_args(argv)[0]


def _provision_info(endpoint: str, worker_id: str) -> Any:
    """Ask the runner for its endpoints and options.

    Raises:
        grpc.RpcError: the runner does not respond within 60 s.
    """
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        response = service.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=[("worker_id", worker_id)],
            timeout=RESPOND_WITHIN_S,
            wait_for_ready=True,
        )
    return response.info


if __name__ == "__main__":
    sys.exit(main())
