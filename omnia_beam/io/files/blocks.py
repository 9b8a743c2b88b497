"""Read one file of a source as a sequence of blocks, each of which can be read alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import TracebackType
from typing import Any, Self

from omnia_beam.core.chunk import Points
from omnia_beam.io.facts import ReadingNotes
from omnia_beam.io.files.csv.blocks import BLOCK_BYTES, BlockForm, cut_blocks
from omnia_beam.io.files.csv.cells import CsvReading
from omnia_beam.io.files.csv.folds import Fold
from omnia_beam.io.files.csv.head import read_head
from omnia_beam.io.files.csv.header import CsvColumns, read_header
from omnia_beam.io.files.csv.rows import read_rows
from omnia_beam.io.files.csv.times import TimeForm, changes_soon
from omnia_beam.io.files.forms import CsvForm, FileSource, ParquetForm
from omnia_beam.io.files.found import open_source, reading_error
from omnia_beam.io.files.parquet.source import Block, ParquetPoints


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """The place of a block in its file.

    Args:
        start: CSV: offset of its first byte in the uncompressed file. Parquet: the row group.
        length: CSV: number of bytes. Parquet: number of rows.
        first: CSV: number of its first line, from 1. Parquet: its first row in the row group.
        folds: CSV: state of the series at the end of the block before, where the order of rows resolves repeated hours.
    """

    start: int
    length: int
    first: int
    folds: tuple[tuple[str, int, int], ...] = ()


class BlockFile:
    """An open file of a source: a context manager, not for several threads.

    Args:
        source: how it is read.
        path: the whole path.
        block_bytes: number of bytes that are read for each CSV block.

    Attributes:
        notes: what reading shows beside points; the notes on format and columns are complete once the file is open.

    Raises:
        UsageError: it cannot be opened, or lacks required columns.
    """

    def __init__(self, source: FileSource, path: str, block_bytes: int = BLOCK_BYTES) -> None:
        self._source = source
        self._path = path
        self._block_bytes = block_bytes
        self.notes = ReadingNotes()
        self._file = open_source(path)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[tuple[BlockPlace, dict[str, Points]]]:
        """Yield all blocks in order, each with its points by series, in the order of its rows.

        Raises:
            UsageError: something cannot be read; the message has file, line, column and value.
        """
        if self._empty:
            return
        if self._csv is None:
            for part in self._parquet.blocks():
                yield BlockPlace(part.group, part.rows, part.first), self._parquet.read(part)
            return
        if self._series is not None and not self._source.selects(self._series):
            return  # the path's series is not wanted
        with self._naming():
            self._file.seek(self._head.body)
        folds: dict[str, Fold] = {}
        body = (self._head.body, self._path, self._block_form, self._block_bytes, self._head.body_line)
        for block in cut_blocks(_Named(self._file, self._path), *body):
            place = BlockPlace(
                block.start,
                len(block.data),
                block.first_line,
                tuple((name, *fold) for name, fold in folds.items()),
            )
            points = read_rows(block.data, self._csv, self._reading, block.first_line, notes=self.notes, folds=folds)
            folds.update(points.folds)
            self._forget_far(folds)
            yield place, points

    def _forget_far(self, folds: dict[str, Fold]) -> None:
        """Keep only the series whose last row is near a change of the clocks."""
        for name in [each for each, (ns, _) in folds.items() if not changes_soon(ns, self._source.timezone)]:
            del folds[name]

    def read(self, place: BlockPlace) -> dict[str, Points]:
        """Return one block's points by series.

        Raises:
            UsageError: as `blocks`.
        """
        if self._csv is None:
            return self._parquet.read(Block(place.start, place.first, place.length))
        with self._naming():
            self._file.seek(place.start)
            data = self._file.read(place.length)
        folds = {name: (time, passed) for name, time, passed in place.folds}
        return read_rows(data, self._csv, self._reading, place.first, folds=folds)

    def _open(self) -> None:
        form = self._source.form
        self._csv: CsvColumns | None = None
        with self._naming():
            self._empty = not self._file.read(1)
            self._file.seek(0)
        if self._empty:
            self.notes.warn(f"{self._path}: is empty: it has no header and no points")
            return
        if isinstance(form, ParquetForm):
            self._parquet = ParquetPoints(self._file, self._source, self._path, self.notes)
            return
        self._series = self._source.series_of(self._path)
        with self._naming():
            self._head = read_head(self._file, form, self._path)
        head = self._head
        if form.delimiter == "auto" and head.delimiter is not None:
            form = replace(form, delimiter=head.delimiter)
        selects = cache(self._source.selects)  # a header may have 20,000 names, and each block looks all of them up
        self._csv = read_header(
            head.header,
            form,
            self._path,
            line=head.line,
            selects=selects,
            chosen=bool(self._source.include),
            named_by_path=self._series is not None,
        )
        self._block_form = BlockForm(head.text, self._csv.delimiter, form.comment, form.skip_footer)
        self._reading = _reading(self._source, form, self._path, head.text.encoding, selects, self._series)
        self._note_form(form)

    def _note_form(self, form: CsvForm) -> None:
        if self._csv is None:
            return
        self.notes.guessed = form.layout == "auto"
        self.notes.about_form(
            layout=self._csv.layout,
            delimiter="tab" if self._csv.delimiter == "\t" else self._csv.delimiter,
            encoding=self._head.text.encoding,
            times=form.time_format or "RFC 3339",
        )
        self.notes.about_columns(self._csv.meanings(self._reading.selects))
        for name in self._csv.unread:
            self.notes.unread_column(name)

    def _naming(self) -> Any:
        return _Naming(self._path)


class _Naming:
    """Context manager that adds the file's name to errors of a filesystem."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | EOFError):  # EOFError: a compressed file is cut short
            raise reading_error(self._path, error) from error


class _Named:
    """A file whose errors have its name."""

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path

    def read(self, size: int) -> bytes:
        with _Naming(self._path):
            data: bytes = self._file.read(size)
            return data


def _reading(
    source: FileSource,
    form: CsvForm,
    path: str,
    encoding: str,
    selects: Callable[[str], bool],
    series: str | None,
) -> CsvReading:
    return CsvReading(
        path,
        selects,
        TimeForm(form.time_format, source.timezone, form.dst_fold, form.decimal),
        frozenset(form.missing),
        form.decimal,
        encoding,
        source.default_status,
        form.comment,
        form.thousands,
        dict(form.values),
        dict(form.status_words),
        series,
    )
