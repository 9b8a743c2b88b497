"""Turn an Omnia sink's configuration into the options of writing."""

from __future__ import annotations

from omnia_beam.config import OmniaSink
from omnia_beam.io.omnia.policy import WriteOptions


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
