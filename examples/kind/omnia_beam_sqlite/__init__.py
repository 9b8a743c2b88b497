"""The kind `sqlite`: timeseries in one table of an SQLite file, as a source and as a sink.

source: {kind: sqlite, path: plant.db}
"""

from typing import Any, Literal

from omnia_beam.config.fields import PathText
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.section import key
from omnia_beam.io.kinds import Kind


class SqliteSource(SourceOptions):
    """A table of an SQLite file."""

    kind: Literal["sqlite"] = key("The kind of source.")
    path: PathText = key("The file.")
    table: str = key("Its table of `series_id`, `time_ns`, `value`, `status`.", "points", pattern="^[A-Za-z_]+$")

    def source(self, job: Any) -> Any:
        """Return the table as the source of a job."""
        from omnia_beam.io.kind_source import KindSource
        from omnia_beam_sqlite.table import Table

        return KindSource(self, job, Table(self.path, self.table), {"source.path": self.path})


class SqliteSink(SinkOptions):
    """A table of an SQLite file."""

    kind: Literal["sqlite"] = key("The kind of sink.")
    path: PathText = key("The file.")
    table: str = key("Its table; made where it does not exist.", "points", pattern="^[A-Za-z_]+$")

    def sink(self, job: Any) -> Any:
        """Return the table as the sink of a job."""
        from omnia_beam.io.kind_sink import KindSink
        from omnia_beam_sqlite.table import ACCEPTS, Table

        table, places = Table(self.path, self.table), {"sink.path": self.path}
        return KindSink(self, job, table, places, accepts=ACCEPTS, one_committer=True)


KIND = Kind(SqliteSource, SqliteSink)
