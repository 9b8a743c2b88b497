"""Turn the configuration of a service into the settings that the layers below take."""

from __future__ import annotations

from omnia_beam.config import OmniaSink, OmniaSource
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.read import ReadOptions
from omnia_beam.net.http.options import ServiceOptions
from omnia_beam.net.http.settings import ServiceSettings


def service_settings(connection: ServiceOptions) -> ServiceSettings:
    """Return the settings of an Omnia source or sink of the configuration, with the whole budget of the job."""
    return ServiceSettings.of(connection, getattr(connection, "federation_source", None))


def read_options(source: OmniaSource, max_chunk_points: int) -> ReadOptions:
    """Return the options for reading an Omnia source of the configuration."""
    return ReadOptions(
        statuses=tuple(source.status),
        format=source.format,
        page_limit=source.page_limit,
        max_chunk_points=max_chunk_points,
    )


def write_options(sink: OmniaSink) -> WriteOptions:
    """Return the options for writing points to an Omnia sink of the configuration."""
    return WriteOptions(
        batch_points=sink.batch_points,
        batch_bytes=sink.batch_bytes,
        nan=sink.nan,
        bad_status=sink.bad_status,
        bad_value=sink.bad_value,
        time_resolution=sink.time_resolution,
    )
