"""Refuse the jobs that workers elsewhere could not carry out, whatever kinds they read and write."""

from __future__ import annotations

from typing import Any

from omnia_beam.beam.cluster import check_cluster, worker_share
from omnia_beam.beam.runner import is_local
from omnia_beam.config import JobConfig
from omnia_beam.io.omnia.settings import service_settings
from omnia_beam.net.http.options import ServiceOptions


def check_job(config: JobConfig, options: Any) -> None:
    """Check that a job of any pair of kinds can be run with these options; the rules are the same for every command.

    Raises:
        UnsafeRunnerError, UsageError: as `check_cluster` and `worker_share`.
    """
    if is_local(options):
        return
    source, sink = config.source, config.sink
    services = [service_settings(end) for end in (source, sink) if isinstance(end, ServiceOptions)]
    written = {"state": config.state}
    if not isinstance(sink, ServiceOptions):
        written = {"sink.path": sink.path, **written}
    read = () if isinstance(source, ServiceOptions) else source.path
    check_cluster(options, written, services, read=read)
    for service in services:
        worker_share(service, options)
