"""Lines of CSV read one by one: what a cell means, and what to say where it means nothing.

This is the slow half of `csv_rows.py` and the definition of both.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.io.csv_header import CsvColumns
from omnia_beam.io.csv_times import TimeForm, parse_time_cell
from omnia_beam.io.file_facts import ReadingNotes

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class CsvReading:
    """How cells are understood.

    Args:
        path: of the file, for messages.
        selects: whether a series is wanted.
        times: how times are written.
        missing: texts that mean that there is no point.
        decimal: `.` or `,`.
        encoding: of the bytes.
        default_status: of points that come without one.
        notes: where what is read beside points is noted.
    """

    path: str
    selects: Callable[[str], bool]
    times: TimeForm = field(default_factory=TimeForm)
    missing: frozenset[str] = field(default_factory=frozenset)
    decimal: str = "."
    encoding: str = "utf-8"
    default_status: int = 192
    notes: ReadingNotes = field(default_factory=ReadingNotes, repr=False, compare=False)

    @property
    def is_utf8(self) -> bool:
        return self.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii")


class _Collected:
    """Points by series, as lists."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[list[int], list[float], list[int]]] = {}

    def add(self, name: str, time_ns: int, value: float, status: int) -> None:
        times, values, statuses = self._rows.setdefault(name, ([], [], []))
        times.append(time_ns)
        values.append(value)
        statuses.append(status)

    def points(self) -> dict[str, Points]:
        return {
            name: Points(np.array(times, np.int64), np.array(values, np.float64), np.array(statuses, np.uint32))
            for name, (times, values, statuses) in self._rows.items()
        }


def read_lines(data: bytes, columns: CsvColumns, reading: CsvReading, first_line: int) -> dict[str, Points]:
    """As `csv_rows.read_rows`; the same points, slowly.

    Raises:
        UsageError: the first cell that cannot be read: file, line, column and value.
    """
    collected = _Collected()
    for number, cells in _lines(data, columns, reading, first_line):
        row = _Row(number, cells, columns, reading)
        if columns.layout == "wide":
            _take_wide(row, collected)
        else:
            _take_long(row, collected)
    return collected.points()


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: Sequence[str]
    columns: CsvColumns
    reading: CsvReading

    def time(self) -> int:
        text = self.cells[self.columns.time]
        try:
            return parse_time_cell(text, self.reading.times)
        except ValueError as error:
            form = self.reading.times.pattern
            hint = f"as {form}" if form else "in RFC 3339; set source.time_format if it is written otherwise"
            raise self.complaint(self.columns.time, f"is not a time {hint} ({error})") from None

    def value(self, position: int) -> float | None:
        """None where there is no point."""
        text = self.cells[position]
        if not text or text in self.reading.missing:
            return None
        plain = text
        if self.reading.decimal == ",":
            plain = text.replace(",", ".") if "." not in text else "two marks"
        try:
            if "_" in text:
                raise ValueError  # Python's own way to group digits, which no file means
            return float(plain)
        except ValueError:
            hint = "add it to source.missing if it means that there is no point"
            if self.reading.decimal == "." and "," in text:
                hint = 'set source.decimal: "," if that is the decimal mark'
            raise self.complaint(position, f"is not a number; {hint}") from None

    def status(self) -> int:
        position = self.columns.status
        text = "" if position is None else self.cells[position]
        if not text or text in self.reading.missing or position is None:
            return self.reading.default_status
        try:
            number = int(text, 16) if text[:2].lower() == "0x" else int(text)
            if not 0 <= number <= MAX_STATUS or "_" in text:
                raise ValueError
            return number
        except ValueError:
            raise self.complaint(position, f"is not a status, a whole number from 0 to {MAX_STATUS}") from None

    def complaint(self, position: int, text: str) -> UsageError:
        cell = self.cells[position]
        shown = repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…")
        name = self.columns.names[position]
        return UsageError(f"{self.reading.path}:{self.number}: column {position + 1} ({name}): {shown} {text}")


def _take_wide(row: _Row, collected: _Collected) -> None:
    time_ns = row.time()
    for position, name in enumerate(row.columns.names):
        if position == row.columns.time or not row.reading.selects(name):
            continue
        value = row.value(position)
        if value is not None:
            collected.add(name, time_ns, value, row.reading.default_status)


def _take_long(row: _Row, collected: _Collected) -> None:
    columns = row.columns
    if columns.series is None or columns.value is None:
        raise ValueError("a long file has a series and a value column")
    name = row.cells[columns.series]
    if not name:
        raise row.complaint(columns.series, "names no series")
    time_ns, value, status = row.time(), row.value(columns.value), row.status()
    if value is not None and row.reading.selects(name):
        collected.add(name, time_ns, value, status)


def _lines(
    data: bytes, columns: CsvColumns, reading: CsvReading, first_line: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line numbers and cells, blanks around them removed; lines with nothing in them are left out."""
    for number, line in enumerate(data.split(b"\n"), start=first_line):
        if not line.strip():
            continue
        try:
            text = line.decode(reading.encoding)
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{reading.path}:{number}: is not {reading.encoding} text (byte {error.start} of the line): set source.encoding"
            ) from None
        try:
            rows = list(csv.reader([text.rstrip("\r")], delimiter=columns.delimiter, strict=True))
        except csv.Error as error:
            raise UsageError(
                f"{reading.path}:{number}: {error}: a quoted cell must end on its line, and a quote in it stands twice"
            ) from None
        cells = tuple(cell.strip() for cell in rows[0])
        if len(cells) != len(columns.names):
            raise UsageError(
                f"{reading.path}:{number}: {len(cells)} cells where the header has {len(columns.names)}; was the line cut "
                f"short, or is the delimiter another than {columns.delimiter!r}?"
            )
        yield number, cells
