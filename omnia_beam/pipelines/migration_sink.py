"""The three kinds of sink of a migration, seen alike: a service, Parquet files, CSV files."""

from __future__ import annotations

from typing import Any, Protocol

from omnia_beam.config import CsvSink, JobConfig, OmniaSink, ParquetSink
from omnia_beam.io.csv_file import CSV_SUFFIXES, CsvOptions
from omnia_beam.io.dead_letters import DeadLetterFiles
from omnia_beam.io.parquet_file import ParquetOptions
from omnia_beam.io.write_csv import WriteToCsv
from omnia_beam.io.write_omnia import WriteToOmnia
from omnia_beam.io.write_parquet import WriteToParquet
from omnia_beam.net.reachability import check_reachable
from omnia_beam.net.session import ServiceSession
from omnia_beam.net.shared import shared_session
from omnia_beam.pipelines.cluster import worker_share
from omnia_beam.pipelines.destination import PARQUET_SUFFIXES, check_writable, file_prefix, tidy_files
from omnia_beam.pipelines.job_state import JobState
from omnia_beam.pipelines.mapping_targets import FileTargets, ServiceTargets, Targets
from omnia_beam.pipelines.service import service_settings
from omnia_beam.pipelines.write_settings import write_options


class MigrationSink(Protocol):
    """Where the points of a migration go."""

    sessions: tuple[ServiceSession, ...]
    targets: Targets

    def check(self) -> None:
        """Raises DestinationError or ServiceError where nothing can be written."""

    def tidy(self, state: JobState) -> int:
        """Remove what dead runs left without a receipt; returns how much that was. For the holder of the lease."""

    @property
    def place(self) -> str | None:
        """Where its files are; None where it has none."""

    def write(self, chunks: Any, state: JobState) -> tuple[Any, Any | None]:
        """Puts the writing on a pipeline; returns the collections of Receipt and, if there can be any, of WindowFailure."""


class ServiceSink:
    """Series of an Omnia service."""

    sessions: tuple[ServiceSession, ...]

    def __init__(self, sink: OmniaSink) -> None:
        self._service = service_settings(sink)
        self._options = write_options(sink)
        self.sessions = (shared_session(self._service),)
        self.targets: Targets = ServiceTargets(self.sessions[0])

    def check(self) -> None:
        check_reachable(self._service)

    def tidy(self, state: JobState) -> int:
        return 0  # an upsert leaves nothing half done: what was written without a receipt is written again, the same

    @property
    def place(self) -> str | None:
        return None

    def write(self, chunks: Any, state: JobState) -> tuple[Any, Any | None]:
        written = chunks | "Write" >> WriteToOmnia(
            worker_share(self._service, chunks.pipeline.options),
            self._options,
            on_error="output",
            dead_letter_files=DeadLetterFiles.of(state.state_dir, state.fence),
            sink=state.sink,
            fence=state.fence,
        )
        return written.receipts, written.failures


class FilesSink:
    """Parquet or CSV files, named by job and window."""

    sessions: tuple[ServiceSession, ...]

    def __init__(self, config: JobConfig, sink: ParquetSink | CsvSink) -> None:
        self._sink = sink
        self._prefix = file_prefix(config.name)
        self._suffixes = PARQUET_SUFFIXES if isinstance(sink, ParquetSink) else tuple(CSV_SUFFIXES.values())
        self.sessions = ()
        self.targets: Targets = FileTargets()

    def check(self) -> None:
        check_writable(self._sink.path, self._prefix)

    def tidy(self, state: JobState) -> int:
        return len(tidy_files(self._sink.path, self._prefix, state, suffixes=self._suffixes).removed)

    @property
    def place(self) -> str | None:
        return self._sink.path

    def write(self, chunks: Any, state: JobState) -> tuple[Any, Any | None]:
        sink = self._sink
        write: Any
        if isinstance(sink, ParquetSink):
            parquet = ParquetOptions(sink.compression, sink.compression_level or 1)
            write = WriteToParquet(sink.path, prefix=self._prefix, options=parquet, sink=state.sink, fence=state.fence)
        else:
            options = CsvOptions(sink.layout, sink.delimiter, sink.compression)
            write = WriteToCsv(sink.path, prefix=self._prefix, options=options, sink=state.sink, fence=state.fence)
        receipts = (chunks | "Write" >> write).receipts
        return receipts, None  # a file sink stores a chunk or ends the run: no window fails by itself


def open_sink(config: JobConfig) -> MigrationSink:
    """The sink of a job; nothing is asked or written yet."""
    if isinstance(config.sink, OmniaSink):
        return ServiceSink(config.sink)
    return FilesSink(config, config.sink)
