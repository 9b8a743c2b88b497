"""Turn YAML into validated, frozen models, and read the small files that a configuration names.

    config = load_config("job.yaml", overrides=["source.rate.max_in_flight=4"], now_ns=time.time_ns())
    config.window.start                      # ns since the Unix epoch
    config.source.kind                       # "omnia" | "csv" | "parquet"

Secrets never appear here: only the names of environment variables and files that hold them.
"""

from omnia_beam.config.connection import OmniaConnection
from omnia_beam.config.credential import CredentialConfig
from omnia_beam.config.ids_file import IdsFile, read_ids_file
from omnia_beam.config.job import JobConfig, TailConfig, WindowConfig
from omnia_beam.config.load import load_config
from omnia_beam.config.mapping import MappingConfig
from omnia_beam.config.mapping_file import MappingRow, read_mapping_file
from omnia_beam.config.schema import json_schema
from omnia_beam.config.scope import scope_parts
from omnia_beam.config.sink import CsvSink, OmniaSink, ParquetSink
from omnia_beam.config.source import CsvSource, OmniaSource, ParquetSource
from omnia_beam.config.status_maps import STATUS_MAPS
from omnia_beam.config.template import render_template
from omnia_beam.config.times import format_duration, parse_duration, parse_moment

__all__ = [
    "STATUS_MAPS",
    "CredentialConfig",
    "CsvSink",
    "CsvSource",
    "IdsFile",
    "JobConfig",
    "MappingConfig",
    "MappingRow",
    "OmniaConnection",
    "OmniaSink",
    "OmniaSource",
    "ParquetSink",
    "ParquetSource",
    "TailConfig",
    "WindowConfig",
    "format_duration",
    "json_schema",
    "load_config",
    "parse_duration",
    "parse_moment",
    "read_ids_file",
    "read_mapping_file",
    "render_template",
    "scope_parts",
]
