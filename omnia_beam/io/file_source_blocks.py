"""One file of a source as a row of blocks, each of which can be read alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.io.csv_blocks import BLOCK_BYTES, cut_blocks, read_first_line
from omnia_beam.io.csv_header import CsvColumns, read_header
from omnia_beam.io.csv_lines import CsvReading
from omnia_beam.io.csv_rows import read_rows
from omnia_beam.io.csv_times import TimeForm
from omnia_beam.io.durable_file import reason
from omnia_beam.io.file_facts import ReadingNotes
from omnia_beam.io.file_source import CsvForm, FileSource, ParquetForm
from omnia_beam.io.file_source_files import open_source
from omnia_beam.io.file_source_parquet import Block, ParquetPoints


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where a block stands in its file.

    Args:
        start: CSV: offset of its first byte, uncompressed. Parquet: the row group.
        length: CSV: bytes. Parquet: rows.
        first: CSV: number of its first line, from 1. Parquet: the first row in the row group.
    """

    start: int
    length: int
    first: int


class BlockFile:
    """An open file of a source. A context manager; not for several threads.

    Args:
        source: how it is read.
        path: whole.
        block_bytes: of a CSV block.

    Attributes:
        notes: what reading shows beside points; what it says of the form and the columns is there once the file is open.

    Raises:
        UsageError: it cannot be opened, or has not the columns that it should have.
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
        """All blocks in order, each with its points by series, in the order of its rows.

        Raises:
            UsageError: something that cannot be read: file, line, column, value.
        """
        if self._empty:
            return
        if self._csv is None:
            for part in self._parquet.blocks():
                yield BlockPlace(part.group, part.rows, part.first), self._parquet.read(part)
            return
        with self._naming():
            self._file.seek(self._header_bytes)
            for block in cut_blocks(self._file, self._header_bytes, self._path, self._block_bytes):
                points = read_rows(block.data, self._csv, self._reading, block.first_line)
                yield BlockPlace(block.start, len(block.data), block.first_line), points

    def read(self, place: BlockPlace) -> dict[str, Points]:
        """One block's points by series.

        Raises:
            UsageError: as `blocks`.
        """
        if self._csv is None:
            return self._parquet.read(Block(place.start, place.first, place.length))
        with self._naming():
            self._file.seek(place.start)
            data = self._file.read(place.length)
        return read_rows(data, self._csv, self._reading, place.first)

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
        with self._naming():
            header, self._header_bytes = read_first_line(self._file, form.encoding, self._path)
        self._csv = read_header(header, form, self._path)
        self._reading = replace(_reading(self._source, form, self._path), notes=self.notes)

    def _naming(self) -> Any:
        return _Naming(self._path)


class _Naming:
    """Gives what a filesystem raises in the block the file's name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | EOFError):  # EOFError: a compressed file that was cut short
            raise UsageError(f"{self._path}: cannot be read: {reason(error)}") from error


def _reading(source: FileSource, form: CsvForm, path: str) -> CsvReading:
    return CsvReading(
        path,
        source.selects,
        TimeForm(form.time_format, source.timezone),
        frozenset(form.missing),
        form.decimal,
        form.encoding,
        source.default_status,
    )
