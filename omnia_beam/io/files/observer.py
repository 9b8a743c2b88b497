"""A destination of Parquet or CSV files, read back file by file: memory is that of a few row groups."""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from omnia_beam.config.kind import options_as
from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import counted
from omnia_beam.io.difference import Difference
from omnia_beam.io.files.csv import readback as csv_reader
from omnia_beam.io.files.csv.write import CsvOptions
from omnia_beam.io.files.options import CsvSink, ParquetSink
from omnia_beam.io.files.parquet import readback as parquet_reader
from omnia_beam.io.files.strays import MovedFiles, find_surplus
from omnia_beam.io.observer import Observation, ReadableFiles, Surplus
from omnia_beam.store import is_remote, within

_THREADS: Final = 4
_AHEAD: Final = 8


@dataclass(frozen=True)
class FileForm:
    """How files of one kind are read back.

    Args:
        read: yields the points of a file by stored id; raises as `parquet_reader.read_points`.
        suffixes: of the names of such files.
        has_checksums: returns whether a file's pages carry checksums; None where its kind has none.
        holds_statuses: whether points come with their statuses; otherwise all of them have status 0.
        is_parquet: whether others read the files as they are.
        texts: whether they have a column of texts.
    """

    read: Callable[[str], Iterator[tuple[str, Points]]]
    suffixes: tuple[str, ...]
    has_checksums: Callable[[str], bool] | None = None
    holds_statuses: bool = True
    is_parquet: bool = False
    texts: bool = False

    @classmethod
    def of(cls, sink: ParquetSink | CsvSink) -> FileForm:
        """Return the form of the files that a sink writes."""
        if isinstance(sink, ParquetSink):
            return cls(
                parquet_reader.read_points,
                parquet_reader.SUFFIXES,
                parquet_reader.file_has_checksums,
                is_parquet=True,
                texts=sink.text,
            )
        read = partial(csv_reader.read_csv_points, options=options_as(CsvOptions, sink))
        return cls(read, csv_reader.SUFFIXES, holds_statuses=sink.layout == "long")


@dataclass(frozen=True)
class FilesDestination:
    """The files of one job.

    Args:
        path: the sink's.
        prefix: of this job's files (`destination.file_prefix`).
        form: of the files.
        statuses_from_receipts: whether points without statuses are given the one status of their series' receipt, for the
            comparison with it. Otherwise, and where there are several, they have status 0.
    """

    path: str
    prefix: str
    form: FileForm
    statuses_from_receipts: bool = True

    @property
    def files(self) -> MovedFiles:
        if not self.form.is_parquet:
            return MovedFiles(self.path)
        pattern = f"{glob.escape(self.path.rstrip('/'))}/**/{self.prefix}-*.parquet"
        return MovedFiles(self.path, ReadableFiles(pattern, self.form.texts))

    @property
    def is_quiet(self) -> bool:
        return True

    @property
    def holds_statuses(self) -> bool:
        return self.form.holds_statuses

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """Yield for each receipt, in order, what its files hold.

        Raises:
            DestinationError: a store cannot be read at all.
        """
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="omnia-verify") as pool:
            for at in range(0, len(receipts), _AHEAD):
                yield from pool.map(self._observe, receipts[at : at + _AHEAD])

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """Return what can be read of some series; missing and unreadable files add nothing."""
        parts: dict[str, list[Points]] = {}
        for name in receipt.files:
            try:
                for series_id, points in self.form.read(self._path_of(name)):
                    if series_id in stored_ids:
                        parts.setdefault(series_id, []).append(points)
            except (FileNotFoundError, ValueError, DestinationError):
                continue
        return {series_id: Points.concat(each) for series_id, each in parts.items()}

    def surplus(self, live: Collection[str]) -> Surplus:
        """Return the files that no receipt names and that a reader would include; other jobs' files are only counted."""
        return find_surplus(self.path, self.prefix, self.form.suffixes, self.form.read, live)

    def _observe(self, receipt: Receipt) -> Observation:
        prints: dict[str, Fingerprint] = {}
        problems: list[Difference] = []
        unchecked = 0
        statuses = self._statuses(receipt)
        for name in receipt.files:
            found: dict[str, Fingerprint] = {}
            try:
                for series_id, points in self.form.read(self._path_of(name)):
                    if series_id in statuses:
                        points = points._replace(statuses=points.statuses + statuses[series_id])
                    found[series_id] = found.get(series_id, Fingerprint()).plus(Fingerprint.of(points))
                unchecked += self.form.has_checksums is not None and not self.form.has_checksums(self._path_of(name))
            except FileNotFoundError:
                problems.append(self._problem("missing_file", name, receipt, "is not there"))
            except ValueError as error:
                problems.append(self._problem("unreadable_file", name, receipt, f"cannot be read: {error}"))
            except DestinationError as error:
                if is_remote(self.path):  # an unreachable store proves nothing about its files
                    raise
                problems.append(self._problem("unreadable_file", name, receipt, str(error.__cause__ or error)))
            else:  # nothing counts of a file that breaks off half way
                for series_id, each in found.items():
                    prints[series_id] = prints.get(series_id, Fingerprint()).plus(each)
        return Observation(prints, tuple(problems), unchecked_files=unchecked)

    def _statuses(self, receipt: Receipt) -> dict[str, np.uint32]:
        if self.form.holds_statuses or not self.statuses_from_receipts:
            return {}
        return {each.target_id: np.uint32(each.statuses[0][0]) for each in receipt.series if len(each.statuses) == 1}

    def _problem(self, kind: str, name: str, receipt: Receipt, what: str) -> Difference:
        held = f"one of {len(receipt.files)} files of a window of" if len(receipt.files) > 1 else "the file of"
        text = f"{what}: {held} {counted(receipt.count, 'point')} of {len(receipt.series):,} series"
        points = receipt.count if len(receipt.files) == 1 else 0
        return Difference(kind, text, receipt.series[0].series_id, receipt.key.range, name, points)

    def _path_of(self, name: str) -> str:
        return within(self.path, name)
