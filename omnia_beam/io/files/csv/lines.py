"""Parse rows of CSV one by one, and report the first cell that cannot be read.

This is the slow path of `csv_rows.py`, and the definition of what both paths return.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.io.facts import ReadingNotes
from omnia_beam.io.files.csv.cells import CsvReading, note_value, parse_status, parse_value
from omnia_beam.io.files.csv.folds import BlockPoints, Fold, FoldRows
from omnia_beam.io.files.csv.header import CsvColumns
from omnia_beam.io.files.csv.quotes import count_lines, scan_quotes
from omnia_beam.io.files.csv.times import EXCEL, BothTimes, parse_time_cell

__all__ = ["CsvReading", "read_lines"]

_SHOWN = 60
CLOCK = ""
"""Name in `folds` of the one sequence of times that the rows of a wide file form."""


class _Collected:
    """Points by series, collected in lists."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[list[int], list[int], list[float], list[int]]] = {}

    def add(self, name: str, time: tuple[int, int], value: float, status: int) -> None:
        earlier, later, values, statuses = self.rows.setdefault(name, ([], [], [], []))
        earlier.append(time[0])
        later.append(time[1])
        values.append(value)
        statuses.append(status)


def read_lines(
    data: bytes,
    columns: CsvColumns,
    reading: CsvReading,
    first_line: int,
    *,
    notes: ReadingNotes | None = None,
    folds: Mapping[str, Fold] | None = None,
) -> BlockPoints:
    """Return the same points as `csv_rows.read_rows`, slowly.

    Raises:
        UsageError: a cell cannot be read; the message has file, line, column and value of the first such cell.
    """
    collected = _Collected()
    rule = FoldRows(reading.times.fold, folds or {})
    clock = _Clock(rule) if columns.layout == "wide" and rule.rule == "order" else None
    rows, seen = 0, set()
    for number, cells in _lines(data, columns, reading, first_line):
        row = _Row(number, cells, columns, reading, notes)
        row.check_unnamed()
        if columns.layout == "long":
            _take_long(row, collected)
            continue
        time = row.time()
        if clock is not None:
            time = clock.settle(row, time)
        rows += 1
        seen.add(time[0])
        _take_wide(row, time, collected)
    if notes is not None:
        notes.rows += rows
        notes.times += len(seen)
    found = settled(collected.rows, rule, reading, per_series=clock is None)
    if clock is not None and clock.fold is not None:
        found.folds[CLOCK] = clock.fold
    return found


class _Clock:
    """Resolver of ambiguous times of a wide file, row by row."""

    def __init__(self, rule: FoldRows) -> None:
        self._rule = rule
        self.fold = rule.folds.get(CLOCK)

    def settle(self, row: _Row, time: tuple[int, int]) -> tuple[int, int]:
        both = BothTimes(np.array(time[:1], np.int64), np.array(time[1:], np.int64))
        here = FoldRows(self._rule.rule, {} if self.fold is None else {CLOCK: self.fold})
        try:
            times, self.fold = here.settle(CLOCK, both)
        except ValueError as error:
            raise row.complaint(row.columns.time, str(error)) from None
        return int(times[0]), int(times[0])


def settled(
    rows: Mapping[str, tuple[Sequence[int], Sequence[int], Sequence[float], Sequence[int]]],
    rule: FoldRows,
    reading: CsvReading,
    *,
    per_series: bool = True,
) -> BlockPoints:
    """Return points by series, with ambiguous times resolved by the rule."""
    found = BlockPoints()
    for name, (first, last, values, statuses) in rows.items():
        both = BothTimes(np.array(first, np.int64), np.array(last, np.int64))
        points = Points(both.earlier, np.array(values, np.float64), np.array(statuses, np.uint32))
        add_settled(found, name, points, both, rule, reading, per_series=per_series)
    return found


def add_settled(
    found: BlockPoints,
    name: str,
    points: Points,
    both: BothTimes,
    rule: FoldRows,
    reading: CsvReading,
    *,
    per_series: bool = True,
) -> None:
    """Add a series' points to a block, with ambiguous times resolved by the rule.

    Raises:
        UsageError: the order of the rows does not show which run of a repeated hour they belong to.
    """
    if rule.rule == "dead_letter" and (twice := both.twice).any():
        found.doubtful[name] = points.take(twice)
        if not twice.all():
            found[name] = points.take(~twice)
        return
    if rule.rule == "order" and per_series:
        try:
            times, fold = rule.settle(name, both)
        except ValueError as error:
            raise UsageError(f"{reading.path}: {name}: {error}") from None
        if fold is not None:
            found.folds[name] = fold
        points = points._replace(times=times)
    found[name] = points


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: tuple[str, ...]
    columns: CsvColumns
    reading: CsvReading
    notes: ReadingNotes | None

    def time(self) -> tuple[int, int]:
        parts = [self.cells[at] for at in (self.columns.time, *self.columns.clock)]
        try:
            if len(parts) > 1 and not all(parts):
                raise ValueError("one of its columns is empty")
            return parse_time_cell(" ".join(parts), self.reading.times)
        except ValueError as error:
            pattern = self.reading.times.pattern
            hint = f"as {pattern}" if pattern else "in RFC 3339; set source.time_format if it is written otherwise"
            if pattern == EXCEL:
                hint = "as a serial date of Excel"
            raise self.complaint(self.columns.time, f"is not a time {hint} ({error})") from None

    def value(self, position: int, name: str) -> tuple[float, int | None] | None:
        """Return the value of a cell and the status that a word brings with it; None where there is no point."""
        text = self.cells[position]
        try:
            found = parse_value(text, self.reading)
        except ValueError:
            raise self.complaint(position, f"is not a number; {self._cure(text)}") from None
        if self.notes is not None and found is not None:
            note_value(self.notes, name, text, found[0], self.reading)
        return found

    def _cure(self, text: str) -> str:
        if self.reading.decimal == "." and "," in text:
            return 'set source.decimal: "," if that is the decimal mark'
        if any(sign in text for sign in " \u00a0\u202f'\u2019") and any(character.isdigit() for character in text):
            return "set source.thousands if its digits are grouped"
        cure = "add it to source.missing if it means that there is no point, or to source.values if it is a bad one"
        if self.columns.layout == "wide":
            cure += "; set source.series_column and value_column if a row is one point"
        return cure

    def status(self, position: int | None) -> int:
        if position is None:
            return self.reading.default_status
        try:
            return parse_status(self.cells[position], self.reading)
        except ValueError:
            raise self.complaint(
                position,
                f"is not a status, a whole number from 0 to {MAX_STATUS}; source.status_words gives words a number",
            ) from None

    def check_unnamed(self) -> None:
        for position in self.columns.unnamed:
            if self.cells[position]:
                raise self.complaint(position, "is in a column without a name: name it, or remove the column")

    def complaint(self, position: int, text: str) -> UsageError:
        cell = self.cells[position]
        shown = repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…")
        name = self.columns.names[position]
        return UsageError(f"{self.reading.path}:{self.number}: column {position + 1} ({name}): {shown} {text}")


def _take_wide(row: _Row, time: tuple[int, int], collected: _Collected) -> None:
    qualities = dict(row.columns.qualities)
    aside = row.columns.aside
    for position, name in enumerate(row.columns.names):
        if position in aside or not row.reading.selects(name):
            continue
        found = row.value(position, name)
        status = row.status(qualities.get(position))
        if found is not None:
            collected.add(name, time, found[0], status if found[1] is None else found[1])


def _take_long(row: _Row, collected: _Collected) -> None:
    columns = row.columns
    if columns.value is None:
        raise ValueError("a long file has a value column")
    name = row.reading.series if columns.series is None else row.cells[columns.series]
    if not name:
        raise row.complaint(columns.series or 0, "names no series")
    if "\0" in name:
        raise row.complaint(columns.series or 0, "holds a zero byte, which no name has: was the file damaged?")
    time, value, status = row.time(), row.value(columns.value, name), row.status(columns.status)
    if value is not None and row.reading.selects(name):
        collected.add(name, time, value[0], status if value[1] is None else value[1])


def _lines(
    data: bytes, columns: CsvColumns, reading: CsvReading, first_line: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield line numbers and cells without the blanks around them; empty rows are left out."""
    text = _text(data, columns, reading, first_line)
    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=columns.delimiter,
        strict=True,
        skipinitialspace=columns.delimiter != " ",
    )
    while True:
        number = first_line + rows.line_num
        try:
            found = next(rows, None)
        except csv.Error as error:
            raise UsageError(
                f"{reading.path}:{number}: {error}: a quoted cell must be closed, a delimiter must follow it, and a quote in it "
                "is written twice"
            ) from None
        if found is None:
            return
        cells = tuple(cell.strip() for cell in found)
        if not any(cells):
            continue
        if len(cells) != len(columns.names):
            raise UsageError(
                f"{reading.path}:{number}: {len(cells)} cells where the header has {len(columns.names)}; was the line cut "
                f"short, or is the delimiter another than {columns.delimiter!r}?"
            )
        yield number, cells


def _text(data: bytes, columns: CsvColumns, reading: CsvReading, first_line: int) -> str:
    try:
        text = data.decode(reading.encoding)
    except UnicodeDecodeError as error:
        view = (
            data[: error.start]
            if not reading.encoding.startswith("utf-16")
            else data[: error.start].decode(reading.encoding, "replace").encode()
        )
        line = view[max(view.rfind(b"\n"), view.rfind(b"\r")) + 1 :]
        raise UsageError(
            f"{reading.path}:{first_line + count_lines(view)}: is not {reading.encoding} text (byte {len(line)} of the line): set "
            "source.encoding"
        ) from None
    if reading.comment is None:
        return text
    view = text.encode()
    return scan_quotes(view, columns.delimiter, reading.comment).without_comments(view).decode()
