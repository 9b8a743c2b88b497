"""A migration before it moves anything: check its configuration, resolve its mapping, report its losses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig, MappingRow, read_mapping_file
from omnia_beam.core.errors import SelectionError
from omnia_beam.io.files.csv.write import check_wide_names
from omnia_beam.io.files.options import CsvSink, ParquetSink
from omnia_beam.io.omnia.options import OmniaSource
from omnia_beam.io.omnia.sink import MigrationSink, open_sink
from omnia_beam.io.omnia.source import MigrationSource
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.findings import Known, loss_report
from omnia_beam.mapping.loss_report import LossReport, findings_table, series_table
from omnia_beam.mapping.resolution import Resolution, resolve_mapping
from omnia_beam.mapping.series_memory import series_changes


@dataclass(frozen=True)
class MigrationJob:
    """A configuration that is a migration: any source, any sink, a mapping or none.

    Args:
        config: the job.
        rows: of its mapping file.
        sink: where points go.
    """

    config: JobConfig
    rows: tuple[MappingRow, ...]
    sink: MigrationSink

    @classmethod
    def of(cls, config: JobConfig) -> MigrationJob:
        """Read the mapping file, and nothing else, and return the job.

        Raises:
            UsageError: every mistake in the mapping file, one line each, with line and column.
        """
        rows: tuple[MappingRow, ...] = ()
        if config.mapping is not None and config.mapping.file is not None:
            rows = read_mapping_file(config.mapping.file, tuple(config.mapping.tables()))
        return cls(config, rows, open_sink(config))


@dataclass(frozen=True)
class Prepared:
    """A migration that is ready to begin.

    Args:
        resolution: of the mapping.
        report: of what would be lost.
    """

    resolution: Resolution
    report: LossReport

    @property
    def series_ids(self) -> tuple[str, ...]:
        """The source's ids of the series that will be copied, ascending."""
        return tuple(sorted(each.source.id for each in self.resolution.mapped))


def is_migration(config: JobConfig) -> bool:
    """Return whether a job is more than a backfill: another source than a service, another sink than Parquet, or a mapping."""
    plain = isinstance(config.source, OmniaSource) and isinstance(config.sink, ParquetSink)
    return not plain or config.mapping is not None


def prepare(job: MigrationJob, source: MigrationSource, state_dir: StateDir, now_ns: int | None = None) -> Prepared:
    """Resolve the mapping and report what would be lost. Creates and writes nothing.

    Args:
        job: with its mapping.
        source: with what is known of it.
        state_dir: where earlier runs stored the metadata of their series.
        now_ns: the time that future times are measured against; None for the clock's.

    Raises:
        SelectionError: no series at all would be copied.
        UsageError: a template cannot be filled in, or a unit cannot be converted.
        ServiceError: source or target cannot be asked.
    """
    resolution = resolve_mapping(source.series, job.config, job.rows, job.sink.targets)
    if isinstance(job.config.sink, CsvSink) and job.config.sink.layout == "wide":
        check_wide_names(str(each.target) for each in resolution.mapped)
    known = Known(source.facts, source.about, source.spans, time.time_ns() if now_ns is None else now_ns)
    report = loss_report(resolution, job.config, known, series_changes(state_dir, source.series))
    if not resolution.mapped and not report.blocking(job.config.accept):
        raise SelectionError("mapping: it leaves no series to copy: none of the source's is mapped to a target")
    return Prepared(resolution, report)


def show_report(report: LossReport, accepted: Any, context: RunContext) -> None:
    """Print the mapping and the findings, for people."""
    context.out.print(series_table(report))
    if report.findings:
        context.out.print()
        context.out.print(findings_table(report, accepted))
    for row in report.unused_rows:
        context.out.print(f"the mapping file's row for {row} fits no series of the source", markup=False)
