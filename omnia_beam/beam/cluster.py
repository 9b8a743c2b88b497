"""Check what a job needs to be run by workers elsewhere: places that they reach, a budget that they share, installed code.

Most of what is refused here would otherwise not fail but go wrong: files and receipts on a worker's own disk are gone with the
worker, and a budget that every worker takes whole is exceeded by as many times as there are workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Final

from omnia_beam.beam.runner import is_local, runner_name
from omnia_beam.core.errors import UnsafeRunnerError, UsageError
from omnia_beam.net.http.settings import ServiceSettings

_ENVIRONMENTS: Final = ("LOOPBACK", "PROCESS", "EXTERNAL", "DOCKER")
_ONE_PROCESS: Final = "no_use_multiple_sdk_containers"


def check_cluster(
    options: Any,
    places: Mapping[str, str],
    credentials_of: Iterable[ServiceSettings],
    *,
    read: Iterable[str] = (),
    endless: bool = False,
) -> None:
    """Check that workers can do the job; a pipeline in this process always passes.

    Args:
        options: Beam's PipelineOptions.
        places: configuration key to path, of everything that workers write.
        credentials_of: the services that workers sign in to.
        read: paths of the files that workers read.
        endless: whether the job has no end and may stream.

    Raises:
        UnsafeRunnerError: the combination is known to lose data.
        UsageError: it cannot work.
    """
    if is_local(options):
        return
    if options.view_as(_beam().StandardOptions).streaming and not endless:
        raise UnsafeRunnerError(
            "--streaming is refused: this command ends, and a streaming job does not report when all of it is stored. Leave it out"
        )
    where = worker_place(options)
    if where == "LOOPBACK":
        return
    if where == "PROCESS":
        _check_process(options)
    own_disk = where in ("DOCKER", "DATAFLOW")
    for key, path in places.items():
        if own_disk and "://" not in path:
            raise UnsafeRunnerError(
                f"{key}: {path} would be on each worker's own disk ({_named(options, where)}), and lost with it: use a place that "
                "all workers and this machine share, such as az://, s3:// or gs://"
            )
    for path in read:
        if own_disk and "://" not in path:
            raise UsageError(
                f"source.path: {path} is on this machine's disk, unseen by workers elsewhere ({_named(options, where)}): use "
                "a place that all workers and this machine share, such as az://, s3:// or gs://"
            )
    setup = options.view_as(_beam().SetupOptions)
    portable = options.view_as(_beam().PortableOptions)
    image = options.view_as(_beam().WorkerOptions).sdk_container_image or portable.environment_config
    if own_disk and not (image or setup.setup_file or setup.extra_packages):
        raise UsageError(
            "workers need omnia_beam: give --setup_file=./setup.py, or an image that has it (--sdk_container_image, or "
            "--environment_config with DOCKER)"
        )
    for service in credentials_of:
        if service.credential.is_interactive:
            raise UsageError("each worker would ask a person to sign in: use another kind of credential on a cluster")


def _check_process(options: Any) -> None:
    """Check that the worker's start command is given: without it Beam fails on the worker's machine with only `No such file`."""
    portable = options.view_as(_beam().PortableOptions)
    if portable.lookup_environment_option("process_command"):
        return
    try:
        named = json.loads(portable.environment_config or "{}").get("command")
    except (ValueError, AttributeError):
        named = None
    if not named:
        raise UsageError(
            "--environment_type=PROCESS: --environment_config names no command that starts a worker; on a machine with omnia-beam "
            """in /srv/omnia-beam: --environment_config='{"command": "/srv/omnia-beam/.venv/bin/omnia-beam-worker"}'"""
        )


def worker_place(options: Any) -> str:
    """Return where workers run: LOOPBACK (in this process), PROCESS, EXTERNAL, DOCKER or DATAFLOW.

    Raises:
        UsageError: the options do not say, or name an unknown place.
    """
    if runner_name(options) == "dataflowrunner":
        return "DATAFLOW"
    given = options.view_as(_beam().PortableOptions).environment_type
    if not given and _is_embedded(options):
        return "LOOPBACK"  # Beam's own default there
    place = (given or "").upper()
    if place not in _ENVIRONMENTS:
        found = f"{given} is not known here" if given else "is not given"
        raise UsageError(
            f"--environment_type {found}: it sets where workers run, one of {', '.join(_ENVIRONMENTS)}; LOOPBACK is this process"
        )
    return place


def runs_elsewhere(options: Any) -> bool:
    """Return whether workers run outside of this process, so that they do not see signals and flags that are set in it."""
    return not is_local(options) and worker_place(options) != "LOOPBACK"


def worker_processes(options: Any) -> int:
    """Return the number of processes, at most, among which the budget of the job is shared.

    Raises:
        UsageError: the options do not say.
    """
    if is_local(options) or worker_place(options) == "LOOPBACK":
        return 1  # all workers are threads of this process, and share its session
    if runner_name(options) == "dataflowrunner":
        return _dataflow_processes(options)
    parallelism = options.view_as(_beam().FlinkRunnerOptions).parallelism or 0
    if parallelism < 1:
        raise UsageError(
            "--parallelism is not given: the job's rate is shared by that many workers, so that they keep to it together"
        )
    return int(parallelism)


def check_share(service: ServiceSettings, options: Any) -> None:
    """Check that the workers can share a budget, so that together they never exceed it.

    Raises:
        UsageError: the options do not say how many share it, or there are more workers than requests may be in flight.
    """
    processes = worker_processes(options)
    if processes > service.max_in_flight:
        raise UsageError(
            f"rate.max_in_flight: {service.max_in_flight} requests cannot be shared by {processes} workers: raise it to at least "
            f"{processes}, or use fewer workers"
        )


def _dataflow_processes(options: Any) -> int:
    most = options.view_as(_beam().WorkerOptions).max_num_workers
    if not most:
        raise UsageError("--max_num_workers is not given: the job's rate is shared by that many workers")
    if _ONE_PROCESS not in (options.view_as(_beam().DebugOptions).experiments or ()):
        raise UsageError(
            f"give --experiments={_ONE_PROCESS}: otherwise Dataflow starts a process for each core, each with a whole worker's "
            "share of the rate"
        )
    return int(most)


def _is_embedded(options: Any) -> bool:
    if runner_name(options) == "prismrunner":
        return True
    master = options.view_as(_beam().FlinkRunnerOptions).flink_master
    return runner_name(options) == "flinkrunner" and master in ("[local]", "[auto]")


def _named(options: Any, where: str) -> str:
    return "Dataflow" if where == "DATAFLOW" else f"--environment_type={where}"


def _beam() -> ModuleType:
    """Return Beam's module of options, which is imported for workers elsewhere alone: it takes seconds."""
    from apache_beam.options import pipeline_options

    return pipeline_options  # type: ignore[no-any-return]  # Beam's modules are Any here
