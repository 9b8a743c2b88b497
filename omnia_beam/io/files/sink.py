"""Parquet and CSV files as the sink of a job, named by job and window."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from omnia_beam.config.job import JobConfig
from omnia_beam.config.kind import options_as
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import DestinationError, StateError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import WHOLE, Accepts, Attempt, Share, Writing
from omnia_beam.io.destination import DestinationCheck, Leftovers, Removal, RunReach, not_asked, not_checked
from omnia_beam.io.files.csv.readback import as_csv_holds
from omnia_beam.io.files.csv.write import CSV_SUFFIXES, CsvOptions, check_wide_names
from omnia_beam.io.files.destination_check import check_files
from omnia_beam.io.files.folder import PARQUET_SUFFIXES, check_writable, clear_leftover_files, file_prefix
from omnia_beam.io.files.options import CsvSink, ParquetSink
from omnia_beam.io.files.parquet.write import ParquetOptions
from omnia_beam.io.files.series_metadata import write_metadata
from omnia_beam.io.files.stored_points import StoredFiles
from omnia_beam.io.observer import Destination, ReadingPlace
from omnia_beam.io.targets import AnySeries
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.store import is_remote

if TYPE_CHECKING:
    from omnia_beam.io.files.contents import FileContents
    from omnia_beam.net.http.session import ServiceSession


def _as_held(csv: CsvOptions | None, text: bool) -> Callable[[Chunk], Chunk] | None:
    """Return what gives a chunk as files hold it; None where they hold all of it."""
    if csv is not None:
        return partial(as_csv_holds, options=CsvOptions(csv.layout, text=text))
    return None if text else Chunk.without_texts


class FilesSink:
    """The files of one job below one path.

    Args:
        options: of the sink.
        job: whose files they are.
    """

    budgets: tuple[ServiceSettings, ...] = ()
    sessions: tuple[ServiceSession, ...] = ()
    commits_every_s: float | None = None

    def __init__(self, options: ParquetSink | CsvSink, job: JobConfig) -> None:
        self._options = options
        self._job = job
        self._prefix = file_prefix(job.name)
        self._csv = None
        self._suffixes: tuple[str, ...] = PARQUET_SUFFIXES
        if isinstance(options, CsvSink):
            self._csv = options_as(CsvOptions, options)
            self._suffixes = tuple(CSV_SUFFIXES.values())
        self.targets = AnySeries()
        self.accepts = Accepts(
            keeps_series=True,
            texts=options.text,
            statuses="wide CSV has no column for statuses: they are left out" if self._is_wide else "",
            as_held=_as_held(self._csv, options.text),
        )

    @property
    def _is_wide(self) -> bool:
        return self._csv is not None and self._csv.layout == "wide"

    @property
    def places(self) -> Mapping[str, str]:
        return {"sink.path": self._options.path}

    def check(self) -> Iterator[Attempt]:
        yield "destination", self._try_writing

    def reach(self) -> None:
        check_writable(self._options.path, self._prefix)

    def check_names(self, names: Iterable[str]) -> None:
        if self._is_wide:
            check_wide_names(names)

    def clear_leftovers(self, run: JobRun, reach: TimeRange) -> Leftovers:
        return clear_leftover_files(self._options.path, self._prefix, run, wanted=reach, suffixes=self._suffixes)

    def destination_check(
        self, view: JobView, run_reach: RunReach, targets: Mapping[str, str], *, offline: bool = False
    ) -> Callable[[Ledger], DestinationCheck]:
        path = self._options.path
        if self._job.destination_check == "off":
            return lambda ledger: not_checked(path)

        def destination_check(ledger: Ledger) -> DestinationCheck:
            try:
                return check_files(ledger, path, run_reach, self.stored(), prefix=self._prefix, suffixes=self._suffixes)
            except StateError:
                raise
            except DestinationError as error:
                if not (offline and is_remote(path)):
                    raise
                return not_asked(path, str(error))

        return destination_check

    def erase(self, run: JobRun, removals: Iterable[Removal]) -> list[str]:
        return []  # a window that is written again replaces its files

    def stored(self, share: Share = WHOLE) -> StoredFiles:
        return StoredFiles(self._options.path, self._csv)

    def writing(self, share: Share, run: RunState, again: Collection[ChunkKey] = ()) -> Writing:
        from omnia_beam.io.files.write import WriteChunks, WriteToCsv, WriteToParquet

        path, prefix = self._options.path, self._prefix
        if isinstance(self._options, ParquetSink):
            parquet = options_as(ParquetOptions, self._options, level=self._options.compression_level or 1)
            return WriteChunks(WriteToParquet(path, prefix=prefix, options=parquet, sink=run.sink, fence=run.fence))
        csv = self._csv or CsvOptions()
        return WriteChunks(WriteToCsv(path, prefix=prefix, options=csv, sink=run.sink, fence=run.fence))

    def keep_series(self, run: JobRun, series: Iterable[Timeseries]) -> None:
        write_metadata(self._options.path, self._job.name, series, run.fence)

    def commit(self, run: JobRun, *, leftovers: bool = False) -> Sequence[Receipt]:
        return ()

    def resending(self, run: JobRun) -> None:
        return None  # a file is written whole

    def observer(self, place: ReadingPlace, *, with_source: bool) -> Destination | None:
        from omnia_beam.io.files.observer import FileForm, FilesDestination

        form = FileForm.of(self._options)
        return FilesDestination(self._options.path, self._prefix, form, statuses_from_receipts=not with_source)

    def contents(self, within: TimeRange | None) -> FileContents:
        from omnia_beam.io.files.contents import FileContents, PointFiles

        files = PointFiles.of(self._options)
        return FileContents.of(self._options.path, files, self._prefix, within)

    def _try_writing(self) -> str:
        check_writable(self._options.path)
        return f"{self._options.path} can be written"
