"""Turn YAML into validated, frozen models, and read the small files that a configuration names.

    config = load_config("job.yaml", overrides=["source.rate.max_in_flight=4"], now_ns=time.time_ns())
    config.window.start                      # ns since the Unix epoch
    config.source.kind                       # "omnia" | "csv" | "parquet"

Secrets never appear here: only the names of environment variables and files that hold them.
"""

from typing import TYPE_CHECKING, Any

from omnia_beam.config.status_maps import STATUS_MAPS
from omnia_beam.config.template import render_template
from omnia_beam.config.times import format_duration, parse_duration, parse_moment

if TYPE_CHECKING:
    from omnia_beam.config.ids_file import IdsFile, read_ids_file
    from omnia_beam.config.job import JobConfig, TailConfig, WindowConfig
    from omnia_beam.config.load import load_config
    from omnia_beam.config.mapping import MappingConfig
    from omnia_beam.config.mapping_file import MappingRow, read_mapping_file
    from omnia_beam.config.schema import json_schema
    from omnia_beam.config.scope import scope_parts
    from omnia_beam.config.sink import CsvSink, OmniaSink, ParquetSink
    from omnia_beam.config.source import CsvSource, OmniaSource, ParquetSource

__all__ = [
    "STATUS_MAPS",
    "CsvSink",
    "CsvSource",
    "IdsFile",
    "JobConfig",
    "MappingConfig",
    "MappingRow",
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


def __getattr__(name: str) -> Any:
    # The models of kinds are made of the net layer's options, which are made of this package's sections: loaded when used.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from omnia_beam.config import ids_file, job, load, mapping, mapping_file, schema, scope, sink, source

    modules = (ids_file, job, load, mapping, mapping_file, schema, scope, sink, source)
    return next(getattr(each, name) for each in modules if hasattr(each, name))
