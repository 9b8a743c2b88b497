"""The first line of a CSV file: what its columns are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from omnia_beam.core.errors import UsageError
from omnia_beam.io.file_source import CsvForm

_DELIMITERS: Final = (",", ";", "\t")
_SERIES: Final = ("series_id", "name")


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """Where in a line things stand.

    Args:
        names: of all columns, as in the header.
        delimiter: between cells.
        layout: `wide` or `long`.
        time: position of the time, from 0.
        series, value, status: positions in long files; None in wide ones, `status` None also where there is none.
    """

    names: tuple[str, ...]
    delimiter: str
    layout: Literal["wide", "long"]
    time: int
    series: int | None = None
    value: int | None = None
    status: int | None = None

    def to_json(self) -> list[Any]:
        """Plain data that `from_json` reads back."""
        return [list(self.names), self.delimiter, self.layout, self.time, self.series, self.value, self.status]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> CsvColumns:
        return cls(tuple(data[0]), *data[1:])


def read_header(line: str, form: CsvForm, path: str) -> CsvColumns:
    """Understand a header.

    Args:
        line: the file's first, without its end.
        form: what is known of it.
        path: for messages.

    Raises:
        UsageError: a column that the form names is not there, two columns have one name or a column has none, or there
            is nothing but a time.
    """
    delimiter = _delimiter(line) if form.delimiter == "auto" else form.delimiter
    names = _cells(line, delimiter)
    where = f"{path}:1"
    _check_names(names, where)
    layout = form.layout if form.layout != "auto" else _layout(names, form)
    if layout == "wide":
        time = _position(names, (form.time_column,), "time_column", where) if form.time_column else 0
        if len(names) < 2:
            raise UsageError(
                f"{where}: the header has the one column {names[0]!r}: a wide file has a time and at least one series; "
                f"name source.delimiter if it is another than {delimiter!r}"
            )
        return CsvColumns(names, delimiter, "wide", time)
    status = _find(names, (form.status_column or "status",))
    if form.status_column is not None and status is None:
        status = _position(names, (form.status_column,), "status_column", where)
    return CsvColumns(
        names,
        delimiter,
        "long",
        _position(names, (form.time_column or "time",), "time_column", where),
        _position(names, (form.series_column,) if form.series_column else _SERIES, "series_column", where),
        _position(names, (form.value_column or "value",), "value_column", where),
        status,
    )


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=lambda delimiter: len(_cells(line, delimiter)))


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    rows = list(csv.reader([line], delimiter=delimiter))
    return tuple(cell.strip() for cell in rows[0]) if rows and rows[0] else ("",)


def _check_names(names: Sequence[str], where: str) -> None:
    for position, name in enumerate(names, start=1):
        if not name:
            raise UsageError(f"{where}: column {position} has no name: name it, or remove the column")
        if any(ord(character) < 32 for character in name):
            raise UsageError(f"{where}: column {position}: the name {name!r} holds a control character")
        if name in names[: position - 1]:
            first = list(names).index(name) + 1
            raise UsageError(f"{where}: columns {first} and {position} have the same name {name!r}: rename one")


def _layout(names: Sequence[str], form: CsvForm) -> Literal["wide", "long"]:
    series = _find(names, (form.series_column,) if form.series_column else _SERIES)
    value = _find(names, (form.value_column or "value",))
    return "wide" if series is None or value is None else "long"


def _find(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The position of the first wanted name that is there: as written, otherwise regardless of case."""
    lower = [name.lower() for name in names]
    for name in wanted:
        if name in names:
            return list(names).index(name)
        if name.lower() in lower:
            return lower.index(name.lower())
    return None


def _position(names: Sequence[str], wanted: Sequence[str], key: str, where: str) -> int:
    found = _find(names, wanted)
    if found is None:
        raise UsageError(
            f"{where}: there is no column {' or '.join(wanted)}; the columns are {', '.join(names)}: set source.{key}"
        )
    return found
