"""Turn the configuration of a service into the settings that the layers below take."""

from __future__ import annotations

from urllib.parse import urlsplit

from omnia_beam.config import OmniaConnection, OmniaSink, OmniaSource
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.raw_data import ReadOptions
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.environments import environment
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings


def service_settings(connection: OmniaConnection) -> ServiceSettings:
    """Return the settings of an Omnia source or sink of the configuration, with the whole budget of the job."""
    rate = connection.rate
    endpoint = environment(connection.environment).timeseries if connection.environment else None
    return ServiceSettings(
        base_url=endpoint.base_url if endpoint else connection.base_url or "",
        resource_id=endpoint.resource_id if endpoint else connection.resource_id,
        credential=CredentialSpec(**connection.credential.spec_fields()),
        federation_source=getattr(connection, "federation_source", None),
        requests_per_second=rate.requests_per_second,
        max_in_flight=rate.max_in_flight,
        connect_timeout_s=connection.timeouts.connect / NS_PER_SECOND,
        read_timeout_s=connection.timeouts.read / NS_PER_SECOND,
        attempt_timeout_s=connection.timeouts.attempt / NS_PER_SECOND,
        retry=RetryPolicy(
            attempts=connection.retry.attempts,
            deadline_s=connection.retry.deadline / NS_PER_SECOND,
            first_wait_s=connection.retry.first_wait / NS_PER_SECOND,
            max_wait_s=connection.retry.max_wait / NS_PER_SECOND,
        ),
        subscription_key_env=connection.subscription_key_env,
        ca_bundle=connection.ca_bundle,
        compression=not _is_here(endpoint.base_url if endpoint else connection.base_url or ""),
    )


def _is_here(base_url: str) -> bool:
    """Return whether the service is on this machine, where gzip costs more than it saves."""
    return (urlsplit(base_url).hostname or "") in ("localhost", "127.0.0.1", "::1")


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
