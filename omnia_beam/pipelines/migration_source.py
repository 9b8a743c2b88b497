"""The two kinds of source of a migration behind one interface: a service, and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Protocol

from omnia_beam.beam.cluster import worker_share
from omnia_beam.beam.context import RunContext
from omnia_beam.config import CsvSource, JobConfig, OmniaSink, OmniaSource, ParquetSource
from omnia_beam.core.errors import UsageError
from omnia_beam.core.printable import counted
from omnia_beam.core.series import Timeseries
from omnia_beam.core.series_id import canonical_id
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.catalog import CatalogStore, FileCatalog, FileChange, check_holds_something
from omnia_beam.io.files.facts import FileFacts, SeriesFacts
from omnia_beam.io.files.forms import CsvForm, FileSource, ParquetForm
from omnia_beam.io.files.plan import file_limits, plan_files
from omnia_beam.io.omnia.id_spelling import as_recorded
from omnia_beam.io.omnia.planner import plan_windows
from omnia_beam.io.omnia.raw_data import named_counts
from omnia_beam.io.omnia.selection import describe_series, select_series
from omnia_beam.io.omnia.settings import read_options, service_settings
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.mapping.letters import READING, MappingLetters
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.backfill import wanted_range
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import Plan, Wanted

_LOCAL_SHARD: Final = 1024
_CLUSTER_SHARD: Final = 16
"""Windows in one element of the source: large where one process runs them one after another, small where many share them."""


class MigrationSource(Protocol):
    """The place where the points of a migration come from."""

    sessions: tuple[ServiceSession, ...]
    series: tuple[Timeseries, ...]
    facts: Mapping[str, SeriesFacts]
    wanted: TimeRange
    limits: PackLimits
    warnings: tuple[str, ...]
    about: Mapping[str, FileFacts]
    spans: Mapping[str, tuple[int, int]]
    vanished: Mapping[str, tuple[TimeRange, ...]]
    """By series, the times of points in files that are gone, as long as they were not copied again."""

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        """Return windows that cover what is wanted."""

    def count(self, series_ids: tuple[str, ...], asked: TimeRange) -> Mapping[str, int]:
        """Return the number of points that the source counts, by series; a source that cannot count returns nothing."""

    def stale(self, state: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        """Return recorded windows that this source knows to be out of date, with the points they held."""

    def read(self, pipeline: Any, plan: Plan, *, local: bool) -> tuple[Any, Any]:
        """Put the reading on a pipeline; return the collections of Chunk and of WindowFailure."""

    def settled(self, state: JobRun) -> None:
        """Note that everything wanted has been copied."""


class ServiceSource:
    """Series of an Omnia service.

    Raises (when it is made):
        UsageError: no window, or a selection of nothing.
        CredentialError, ServiceError: it cannot be asked.
    """

    sessions: tuple[ServiceSession, ...]
    facts: Mapping[str, SeriesFacts]
    warnings: tuple[str, ...] = ()
    about: Mapping[str, FileFacts]
    spans: Mapping[str, tuple[int, int]]
    vanished: Mapping[str, tuple[TimeRange, ...]]

    def __init__(self, config: JobConfig, source: OmniaSource, ledger: Ledger) -> None:
        self.wanted = wanted_range(config)
        self._options = read_options(source, config.max_chunk_points)
        self._service = service_settings(source)
        self.limits = self._options.pack_limits
        session = shared_session(self._service)
        self.sessions = (session,)
        check_reachable(self._service)
        if config.mapping is None and not isinstance(config.sink, OmniaSink):
            # Their metadata is not used then, and reading it would take a request for each series.
            found = [Timeseries(id, "", "") for id in select_series(session, source.series)]
        else:
            found = list(describe_series(session, source.series))
        spelled = {canonical_id(id): id for id in as_recorded(ledger, [each.id for each in found])}
        self.series = tuple(replace(each, id=spelled[each.id]) for each in found)
        self.facts, self.about, self.spans = {}, {}, {}
        self.vanished = {}

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        return plan_windows(self.sessions[0], wanted, statuses=self._options.statuses, limits=self.limits)

    def count(self, series_ids: tuple[str, ...], asked: TimeRange) -> Mapping[str, int]:
        session, statuses = self.sessions[0], self._options.statuses
        return named_counts(session, series_ids, asked.start_ns, asked.end_ns, statuses=statuses)

    def stale(self, state: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        return []

    def read(self, pipeline: Any, plan: Plan, *, local: bool) -> tuple[Any, Any]:
        import apache_beam as beam  # here, so that `plan` needs no Beam

        from omnia_beam.io.omnia.read import ReadFromOmnia
        from omnia_beam.transforms.decode import DecodeChunks

        raw = pipeline | "Read" >> ReadFromOmnia(
            worker_share(self._service, pipeline.options),
            plan,
            options=self._options,
            on_error="output",
            windows_per_shard=_LOCAL_SHARD if local else _CLUSTER_SHARD,
            reshuffle=not local,
        )
        decoded = raw.raw_chunks | "Decode" >> DecodeChunks(on_error="output")
        return decoded.chunks, (raw.failures, decoded.failures) | "Unread" >> beam.Flatten()

    def settled(self, state: JobRun) -> None:
        return None


class FilesSource:
    """Series of CSV or Parquet files, each known by its name.

    Args:
        config: the job.
        source: its files.
        catalog: what they hold.
        changes: what changed in them since it was copied.
        keep: where points without a certain time go.
        vanished: by series, the times of points that files held which are gone.
    """

    sessions: tuple[ServiceSession, ...]
    about: Mapping[str, FileFacts]

    def __init__(
        self,
        config: JobConfig,
        source: CsvSource | ParquetSource,
        catalog: FileCatalog,
        changes: Sequence[FileChange] = (),
        keep: MappingLetters | None = None,
        vanished: Mapping[str, tuple[TimeRange, ...]] = MappingProxyType({}),
    ) -> None:
        self._keep = keep
        self._source = file_source(source)
        check_holds_something(catalog, self._source)
        self.catalog = catalog
        self._changes = changes
        self.vanished = vanished
        self._max_points = config.max_chunk_points
        self.limits = file_limits(config.max_chunk_points)
        self.sessions = ()
        self.series = files_series(source, catalog)
        self.facts = catalog.facts
        self.warnings = catalog.warnings
        self.about = {index.file.path: index.about for index in catalog.indexes}
        self.spans = catalog.spans
        self.wanted = _files_range(config, catalog, changes)

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        return plan_files(self.catalog, wanted, max_chunk_points=self._max_points)

    def count(self, series_ids: tuple[str, ...], asked: TimeRange) -> Mapping[str, int]:
        return {}  # the plan of files is made from their blocks: there is no count to request again

    def stale(self, state: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        if not self._changes:
            return []
        asked = {*series_ids, *self.vanished}
        return [
            (each.receipt.key, each.receipt.count)
            for each in state.ledger.receipts(state.scope.digest)
            if asked.intersection(each.receipt.key.series_ids)
            and any(each.run < change.run and each.receipt.key.range.overlaps(change.range) for change in self._changes)
        ]

    def read(self, pipeline: Any, plan: Plan, *, local: bool) -> tuple[Any, Any]:
        from omnia_beam.io.files.read import ReadFromFiles  # here, so that `plan` needs no Beam

        read = pipeline | "Read" >> ReadFromFiles(
            self._source,
            plan,
            catalog=self.catalog,
            max_chunk_points=self._max_points,
            on_error="output",
            windows_per_shard=_LOCAL_SHARD if local else _CLUSTER_SHARD,
            reshuffle=not local,
            keep=self._keep,
        )
        return read.chunks, read.failures

    def settled(self, state: JobRun) -> None:
        CatalogStore(state.state_dir, self._source).forget_changes()


def open_source(config: JobConfig, state: JobView, context: RunContext) -> MigrationSource:
    """Return the source of a job. Files that are new or changed are read once, to index what they hold.

    Args:
        config: the job.
        state: where the indexes of files are. A run, which holds the lease, stores new indexes there; a view does not.
        context: prints how many files are read.

    Raises:
        UsageError, CredentialError, ServiceError: what is selected does not exist, or cannot be read.
    """
    source = config.source
    if isinstance(source, OmniaSource):
        return ServiceSource(config, source, state.ledger)
    store = CatalogStore(state.state_dir, file_source(source))
    read: list[str] = []
    if isinstance(state, JobRun):
        catalog = store.refresh(state.token.run, bool(len(state.ledger)), lambda file: read.append(file.path))
    else:
        catalog = store.load(lambda file: read.append(file.path))
    if read:
        context.notify(f"looked through {counted(len(read), 'new or changed file')}")
    letters = None
    if isinstance(source, CsvSource) and source.dst_fold == "dead_letter":
        letters = MappingLetters(DeadLetterFiles.of(state.state_dir), READING)
    return FilesSource(config, source, catalog, store.changes(), letters, store.vanished())


def files_series(source: CsvSource | ParquetSource, catalog: FileCatalog) -> tuple[Timeseries, ...]:
    """Return the series of files, each under its name, with the metadata that files have."""
    return tuple(Timeseries(name, name, source.facility or "") for name in catalog.series)


def file_source(source: CsvSource | ParquetSource) -> FileSource:
    """Return a file source of the configuration in the form that the reading takes."""
    form: CsvForm | ParquetForm
    if isinstance(source, CsvSource):
        form = CsvForm(
            source.layout,
            source.delimiter,
            source.decimal,
            source.encoding,
            tuple(source.missing),
            source.time_column,
            source.series_column,
            source.value_column,
            source.status_column,
            source.time_format,
            source.skip_rows,
            source.skip_after_header,
            source.skip_footer,
            source.comment,
            source.thousands,
            source.dst_fold,
            tuple(
                (word.strip(), status if isinstance(status, int) else None) for word, status in source.values.items()
            ),
            tuple((word.strip(), int(status)) for word, status in source.status_words.items()),
            source.status_suffix,
            tuple(source.quality_columns.items()),
        )
    else:
        columns = source.columns
        names = (columns.series_id, columns.time, columns.value, columns.status)
        form = ParquetForm(*names, source.time_unit, source.time_format)
    return FileSource(
        tuple(source.path),
        form,
        tuple(source.include),
        tuple(source.exclude),
        tuple(source.status),
        source.default_status,
        source.timezone,
        source.series_from,
    )


def _files_range(config: JobConfig, catalog: FileCatalog, changes: Sequence[FileChange]) -> TimeRange:
    """Return the window of the configuration; without one, everything that the files hold, or held when it was copied."""
    if config.window is not None:
        return wanted_range(config)
    ranges = [each.range for each in changes]
    if catalog.range is not None:
        ranges.append(catalog.range)
    if not ranges:
        raise UsageError("source.path: the files hold no points")
    return TimeRange(min(each.start_ns for each in ranges), max(each.end_ns for each in ranges))
