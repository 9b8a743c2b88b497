"""The three kinds of sink of a migration behind one interface: a service, Parquet files, CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from omnia_beam.beam.cluster import worker_share
from omnia_beam.config import CsvSink, JobConfig, OmniaSink, ParquetSink
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.files.csv.write import CSV_SUFFIXES, CsvOptions
from omnia_beam.io.files.folder import PARQUET_SUFFIXES, Tidied, check_writable, file_prefix, tidy_files
from omnia_beam.io.files.parquet.write import ParquetOptions
from omnia_beam.io.files.stored_points import StoredFiles
from omnia_beam.io.omnia.settings import service_settings, write_options
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.mapping.targets import FileTargets, ServiceTargets, Targets
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.destination_check import Asked, Look, check_mode, look_at_files, not_counted, not_looked_at
from omnia_beam.pipelines.removal_guard import Removal
from omnia_beam.pipelines.service_check import erase_points, look_at_service


class MigrationSink(Protocol):
    """The place where the points of a migration go."""

    sessions: tuple[ServiceSession, ...]
    targets: Targets

    def check(self) -> None:
        """Check that the sink can be written.

        Raises:
            DestinationError, ServiceError: it cannot.
        """

    @property
    def files(self) -> StoredFiles | None:
        """The files from which stored points can be read back; None where the sink only counts points."""

    def tidy(self, state: JobRun, reach: TimeRange) -> Tidied:
        """Remove what dead runs left without a receipt in the time that this run covers.

        Only the holder of the lease may call it.
        """

    def look(self, state: JobRun, asked: Asked, targets: Mapping[str, str]) -> Callable[[Ledger], Look]:
        """Return the function that compares the sink with the ledger at the end of a run; `targets` is keyed by source id."""

    def erase(self, state: JobRun, removals: Iterable[Removal]) -> list[str]:
        """Remove stored points before their windows are written again; return why that failed, a text each."""

    def write(self, chunks: Any, state: JobRun) -> tuple[Any, Any | None]:
        """Put the writing on a pipeline; return the collections of Receipt and, if there can be any, of WindowFailure."""


class ServiceSink:
    """A sink that writes to series of an Omnia service."""

    sessions: tuple[ServiceSession, ...]

    def __init__(self, config: JobConfig, sink: OmniaSink) -> None:
        self._check = config.destination_check
        self._service = service_settings(sink)
        self._options = write_options(sink)
        self.sessions = (shared_session(self._service),)
        self.targets: Targets = ServiceTargets(self.sessions[0])

    def check(self) -> None:
        check_reachable(self._service)

    @property
    def files(self) -> StoredFiles | None:
        return None

    def tidy(self, state: JobRun, reach: TimeRange) -> Tidied:
        # Nothing to remove: points that were written without a receipt are upserted again with the same values.
        return Tidied()

    def look(self, state: JobRun, asked: Asked, targets: Mapping[str, str]) -> Callable[[Ledger], Look]:
        def look(ledger: Ledger) -> Look:
            if self._check == "off":
                return not_looked_at(self._service.base_url)
            counted = check_mode(self._check, len(targets)) == "full"
            found = look_at_service(ledger, self.sessions[0], asked, targets, counted=counted)
            return found if counted else found.plus(not_counted(self._service.base_url))

        return look

    def erase(self, state: JobRun, removals: Iterable[Removal]) -> list[str]:
        return erase_points(self.sessions[0], state.ledger, state.sink, removals)

    def write(self, chunks: Any, state: JobRun) -> tuple[Any, Any | None]:
        from omnia_beam.io.omnia.write import WriteToOmnia  # here, so that `plan` needs no Beam

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
    """A sink that writes Parquet or CSV files, named by job and window."""

    sessions: tuple[ServiceSession, ...]

    def __init__(self, config: JobConfig, sink: ParquetSink | CsvSink) -> None:
        self._sink = sink
        self._check = config.destination_check
        self._csv = None if isinstance(sink, ParquetSink) else CsvOptions(sink.layout, sink.delimiter, sink.compression)
        self._prefix = file_prefix(config.name)
        self._suffixes = PARQUET_SUFFIXES if isinstance(sink, ParquetSink) else tuple(CSV_SUFFIXES.values())
        self.sessions = ()
        self.targets: Targets = FileTargets()

    def check(self) -> None:
        check_writable(self._sink.path, self._prefix)

    @property
    def files(self) -> StoredFiles | None:
        return StoredFiles(self._sink.path, self._csv)

    def tidy(self, state: JobRun, reach: TimeRange) -> Tidied:
        return tidy_files(self._sink.path, self._prefix, state, wanted=reach, suffixes=self._suffixes)

    def look(self, state: JobRun, asked: Asked, targets: Mapping[str, str]) -> Callable[[Ledger], Look]:
        if self._check == "off":
            return lambda ledger: not_looked_at(self._sink.path)
        return lambda ledger: look_at_files(
            ledger, self._sink.path, asked, self.files, prefix=self._prefix, suffixes=self._suffixes
        )

    def erase(self, state: JobRun, removals: Iterable[Removal]) -> list[str]:
        return []  # a window that is written again replaces its files

    def write(self, chunks: Any, state: JobRun) -> tuple[Any, Any | None]:
        from omnia_beam.io.files.write import WriteToCsv, WriteToParquet  # here, so that `plan` needs no Beam

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
    """Return the sink of a job without any request or write."""
    if isinstance(config.sink, OmniaSink):
        return ServiceSink(config, config.sink)
    return FilesSink(config, config.sink)
