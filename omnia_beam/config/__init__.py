"""What every job's configuration is made of, whatever kinds it copies between: frozen models, and small files that it names.

`pipelines.config` joins the models of all kinds to the one of a job, and loads files.

Secrets never appear here: only the names of environment variables and files that hold them.
"""

from omnia_beam.config.ids_file import IdsFile, read_ids_file
from omnia_beam.config.job import JobConfig, TailConfig, WindowConfig
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.mapping import MappingConfig
from omnia_beam.config.mapping_file import MappingRow, read_mapping_file
from omnia_beam.config.scope import scope_parts
from omnia_beam.config.status_maps import STATUS_MAPS
from omnia_beam.config.template import render_template
from omnia_beam.config.times import format_duration, parse_duration, parse_moment

__all__ = [
    "STATUS_MAPS",
    "IdsFile",
    "JobConfig",
    "MappingConfig",
    "MappingRow",
    "SinkOptions",
    "SourceOptions",
    "TailConfig",
    "WindowConfig",
    "format_duration",
    "parse_duration",
    "parse_moment",
    "read_ids_file",
    "read_mapping_file",
    "render_template",
    "scope_parts",
]
