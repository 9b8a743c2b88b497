"""CSV and Parquet files as the source of a job; a series is known by its name in the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from omnia_beam.config.job import JobConfig, wanted_range
from omnia_beam.config.series_file import check_no_problems
from omnia_beam.core.errors import UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.base import WHOLE, Attempt, Described, Notify, Reading, Selection, Share
from omnia_beam.io.files.catalog import CatalogStore, FileCatalog, FileChange, catalog_files, check_holds_something
from omnia_beam.io.files.description import describe_catalog, describe_files
from omnia_beam.io.files.findings import file_findings, series_findings, time_findings
from omnia_beam.io.files.forms import file_source
from omnia_beam.io.files.options import CsvSource, ParquetSource
from omnia_beam.io.files.plan import FileShard, file_limits, file_shards, plan_files
from omnia_beam.io.files.series_metadata import FoundMetadata, find_metadata
from omnia_beam.io.letters import READING, MappingLetters
from omnia_beam.ledger.dead_letters import DeadLetterFiles, is_of_origin
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.ledger.unseen_changes import UnseenChanges, note_for_others
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.plan.plan import Plan, Wanted

if TYPE_CHECKING:
    from omnia_beam.net.http.session import ServiceSession

FileOptions = CsvSource | ParquetSource


class FilesSource:
    """The files of one source.

    Args:
        options: of the source.
        job: whose window and chunks it reads.
    """

    budgets: tuple[ServiceSettings, ...] = ()

    def __init__(self, options: FileOptions, job: JobConfig) -> None:
        self._options = options
        self._job = job

    @property
    def places(self) -> Mapping[str, str]:
        return {f"source.path[{at}]": path for at, path in enumerate(self._options.path)}

    def check(self) -> Iterator[Attempt]:
        yield "source files", lambda: "\n    ".join(describe_files(self._options).lines())

    def remembered(self, view: JobView, last: Sequence[str] | None) -> Selection:
        whose = "the ledger" if last is None else "the last run"
        note = f"The series are those of {whose}; the source's files were not read."
        return Selection(tuple(sorted({*view.ledger.series_ids(view.scope.digest), *(last or ())})), note)

    def describe(self) -> Iterable[Timeseries]:
        found = find_metadata(self._options.path)
        check_no_problems(found.problems)
        return _series(self._options, catalog_files(file_source(self._options)), found)

    def open(
        self, view: JobView, notify: Notify, *, metadata: bool, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenFiles:
        """Read files that are new or changed once, to index what they hold; see `Source.open`."""
        placing = view.fence.placing if isinstance(view, JobRun) else nullcontext
        store = CatalogStore(view.state_dir, file_source(self._options), placing)
        read: list[str] = []
        if isinstance(view, JobRun):
            catalog = store.refresh(view.token.run, bool(len(view.ledger)), lambda file: read.append(file.path))
        else:
            catalog = store.load(lambda file: read.append(file.path))
        if read:
            notify(f"inspected {counted(len(read), 'new or changed file')}")
        found = find_metadata(self._options.path)
        if metadata:
            check_no_problems(found.problems)
        return OpenFiles(self._options, self._job, catalog, store, view, found)


class OpenFiles:
    """Files that have been indexed.

    Raises (when it is made):
        UsageError: the files hold nothing that could be read.
    """

    sessions: tuple[ServiceSession, ...] = ()
    page_points: int | None = None
    plan_lasts = False
    shard_type = FileShard

    def __init__(
        self,
        options: FileOptions,
        job: JobConfig,
        catalog: FileCatalog,
        store: CatalogStore,
        view: JobView,
        found: FoundMetadata,
    ) -> None:
        self._options = options
        self._source = file_source(options)
        check_holds_something(catalog, self._source)
        self._catalog = catalog
        self._store = store
        unseen = UnseenChanges.load(view.state_dir, view.scope.digest)
        self._changes = (*store.changes(), *(FileChange(*each) for each in unseen.changes))
        self._max_points = job.max_chunk_points
        self._letters = None
        letters = DeadLetterFiles.of(view.state_dir)
        folds = isinstance(options, CsvSource) and options.dst_fold == "dead_letter"
        # Those that are there already may be of a reading by other rules.
        if folds or any(is_of_origin(name, READING) for name in letters.names()):
            self._letters = MappingLetters(letters, origin=READING)
        self.vanished = unseen.joined((), store.vanished()).vanished
        self.limits = file_limits(job.max_chunk_points)
        self.series = _series(options, catalog, found)
        self.facts = catalog.facts
        self.warnings = (*catalog.warnings, *found.problems)
        self.wanted = _range_of(job, catalog, self._changes)

    def spell(self, series_id: str) -> str:
        return series_id  # a file's series has a name and no id

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        return plan_files(self._catalog, wanted, max_chunk_points=self._max_points)

    def counts(self, series_ids: tuple[str, ...], requested: TimeRange) -> Mapping[str, int]:
        return {}  # the plan of files is made from their blocks: there is no count to request again

    def stale(self, view: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        if not self._changes:
            return []
        requested = {*series_ids, *self.vanished}
        return [
            (each.receipt.key, each.receipt.count)
            for each in view.ledger.receipts(view.scope.digest)
            if requested.intersection(each.receipt.key.series_ids)
            and any(each.run < change.run and each.receipt.key.range.overlaps(change.range) for change in self._changes)
        ]

    def shards(self, windows: Iterable[Window], size: int) -> Iterator[Any]:
        return file_shards(self._catalog, windows, size)

    def reading(self, share: Share, *, endless: bool = False) -> Reading:
        from omnia_beam.io.files.read import ReadFileShards

        return ReadFileShards(self._source, self._max_points, self._letters)

    def findings(self, now_ns: int) -> Iterator[Finding]:
        yield from file_findings(self._options, {index.file.path: index.about for index in self._catalog.indexes})
        for name, facts in self._catalog.facts.items():
            yield from series_findings(name, name, facts)
        for name, span in self._catalog.spans.items():
            yield from time_findings(name, name, span, self._options, now_ns)

    def metadata(self, series_ids: Sequence[str]) -> Iterable[Timeseries]:
        return ()  # all that the files come with is known since they were opened

    def settled(self, run: JobRun) -> None:
        note_for_others(run, [(each.range, each.run) for each in self._changes], self.vanished)
        self._store.forget_changes(self._changes, self.vanished)

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        here = {each.id for each in self.series}
        return tuple(sorted(each for each in set(recorded) - here if self._source.selects(each)))

    def left_out(self, recorded: Iterable[str]) -> frozenset[str]:
        return frozenset(each for each in recorded if not self._source.selects(each))

    def described(self) -> Described:
        seen = describe_catalog(self._options.kind, self._catalog)
        return Described(tuple(seen.lines()), {"source_files": seen.to_json()})


def _series(options: FileOptions, catalog: FileCatalog, found: FoundMetadata) -> tuple[Timeseries, ...]:
    """Return the series of files, each under its name in the files, with the metadata that stand beside them."""
    return tuple(found.of(name, options.facility or "") for name in catalog.series)


def _range_of(job: JobConfig, catalog: FileCatalog, changes: Sequence[FileChange]) -> TimeRange:
    """Return the window of the job; without one, everything that the files hold, or held when it was copied."""
    if job.window is not None:
        return wanted_range(job)
    ranges = [each.range for each in changes]
    if catalog.range is not None:
        ranges.append(catalog.range)
    if not ranges:
        raise UsageError("source.path: the files hold no points")
    return TimeRange(min(each.start_ns for each in ranges), max(each.end_ns for each in ranges))
