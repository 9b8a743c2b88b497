"""A job, as every command takes it: its configuration, both of its ends, and the rows of its mapping file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig, MappingRow, read_mapping_file
from omnia_beam.core.errors import UsageError
from omnia_beam.io.base import WHOLE, OpenSource, Share, Sink, Source
from omnia_beam.io.kinds import sink_of, source_of
from omnia_beam.ledger.job import JobView


@dataclass(frozen=True)
class Job:
    """A job whose ends were made, without any request.

    Args:
        config: what was asked for.
        source, sink: the ends.
        rows: of its mapping file.
    """

    config: JobConfig
    source: Source
    sink: Sink
    rows: tuple[MappingRow, ...] = ()

    @classmethod
    def of(cls, config: JobConfig) -> Job:
        """Read the mapping file, and nothing else, and return the job.

        Raises:
            UsageError: every mistake in the mapping file, one line each, with line and column.
        """
        rows: Sequence[MappingRow] = ()
        if config.mapping is not None and config.mapping.file is not None:
            rows = read_mapping_file(config.mapping.file, tuple(config.mapping.tables()))
            for row in rows:
                reason = config.source.refused_status_maps.get(row.status_map or "")
                if reason is not None:
                    raise UsageError(
                        f"{config.mapping.file}: row of {row.source}: status_map {row.status_map} does not fit: {reason}"
                    )
        return cls(config, source_of(config), sink_of(config), tuple(rows))

    @property
    def needs_metadata(self) -> bool:
        """Whether names, units and the like of the source's series are needed, and not ids alone."""
        return self.config.mapping is not None or self.sink.accepts.metadata

    def open_source(
        self, view: JobView, context: RunContext, *, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenSource:
        """Request from the source what it holds; see `Source.open`, also for what is raised."""
        return self.source.open(
            view, context.notify, metadata=self.needs_metadata, short_retries=short_retries, share=share
        )
