"""The kind `sqlite`: timeseries in one table of an SQLite file, as a source and as a sink.

source: {kind: sqlite, path: plant.db}
"""

from typing import Literal

from omnia_beam.config import JobConfig
from omnia_beam.config.fields import PathText
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.section import key
from omnia_beam.io.base import Sink, Source
from omnia_beam.io.kinds import Kind


class SqliteSource(SourceOptions):
    """A table of an SQLite file."""

    kind: Literal["sqlite"] = key("The kind of source.")
    path: PathText = key("The file.")
    table: str = key("Its table of `series_id`, `time_ns`, `value`, `status`.", "points", pattern="^[A-Za-z_]+$")


class SqliteSink(SinkOptions):
    """A table of an SQLite file."""

    kind: Literal["sqlite"] = key("The kind of sink.")
    path: PathText = key("The file.")
    table: str = key("Its table; made where it does not exist.", "points", pattern="^[A-Za-z_]+$")


def _source(options: SqliteSource, job: JobConfig) -> Source:
    from omnia_beam.io.kind_source import KindSource
    from omnia_beam_sqlite.table import Table

    return KindSource(options, job, Table(options.path, options.table), {"source.path": options.path})


def _sink(options: SqliteSink, job: JobConfig) -> Sink:
    from omnia_beam.io.kind_sink import KindSink
    from omnia_beam_sqlite.table import ACCEPTS, Table

    table, places = Table(options.path, options.table), {"sink.path": options.path}
    return KindSink(options, job, table, places, accepts=ACCEPTS, one_committer=True)


KIND = Kind(SqliteSource, SqliteSink, _source, _sink)
