"""Turn the configuration of a service into the settings that the layers below take."""

from __future__ import annotations

from collections.abc import Iterator

from omnia_beam.config.kind import options_as
from omnia_beam.io.base import Attempt
from omnia_beam.io.omnia.options import OmniaSink, OmniaSource
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.read_options import ReadOptions
from omnia_beam.net.http.options import ServiceOptions
from omnia_beam.net.http.reachability import attempts_to_reach
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session


def service_settings(connection: ServiceOptions) -> ServiceSettings:
    """Return the settings of an Omnia source or sink of the configuration, with the whole budget of the job."""
    return ServiceSettings.of(connection, getattr(connection, "federation_source", None))


def read_options(source: OmniaSource, max_chunk_points: int) -> ReadOptions:
    """Return the options for reading an Omnia source of the configuration."""
    return options_as(ReadOptions, source, statuses=source.status, max_chunk_points=max_chunk_points)


def write_options(sink: OmniaSink) -> WriteOptions:
    """Return the options for writing points to an Omnia sink of the configuration."""
    return options_as(WriteOptions, sink)


def service_attempts(end: str, connection: ServiceOptions) -> Iterator[Attempt]:
    """Yield the steps with which `omnia-beam check` tries a service; `end` is `source` or `sink`."""
    settings = service_settings(connection)

    def service() -> str:
        shared_session(settings).send("GET", "", params=[("limit", "1")], idempotent=True)
        return f"{settings.base_url} answers"

    yield from attempts_to_reach(end, settings)
    yield f"{end} service", service
