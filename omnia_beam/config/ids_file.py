"""Read files that list the ids of timeseries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from omnia_beam.config.fields import check_series_id
from omnia_beam.config.problems import shorten
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.series_file import SERIES_COLUMNS, check_no_problems, read_series_file
from omnia_beam.config.table import Line, cells_of, delimiter_of, fitted, read_lines
from omnia_beam.core.errors import UsageError

_WHAT: Final = "the file of ids"
ID_COLUMNS: Final = ("id", "series_id", "source")
"""Headers of the column that holds the ids; the first of them that is there counts: in a listing of metadata `source` is no id."""


@dataclass(frozen=True)
class Repeat:
    """An id that the file lists again, with the numbers of both lines."""

    series_id: str
    line: int
    first_line: int


@dataclass(frozen=True)
class IdsFile:
    """The contents of a file of ids.

    Attributes:
        ids: the ids in the file's order, each once.
        repeats: ids that the file lists again; they are harmless and reported to the user.
    """

    ids: tuple[str, ...]
    repeats: tuple[Repeat, ...]


def read_ids_file(path: str) -> IdsFile:
    """Read ids: one a line, or a CSV with a header and a column `id`, `series_id` or `source`.

    A mapping file and series metadata are accepted too. In a plain list, ` #` begins a comment behind an id.

    Args:
        path: a file, UTF-8.

    Raises:
        UsageError: missing, unreadable, empty, several columns of which none is the ids', or ids with blanks or control
            characters: one line each, with the line's number.
    """
    lines = read_lines(path, _WHAT)
    delimiter = delimiter_of(lines[0].text)
    header = fitted(_cells(path, lines[0], delimiter))
    names = [name.lower() for name in header]
    column = next((names.index(name) for name in ID_COLUMNS if name in names), None)
    if tuple(names) == SERIES_COLUMNS:
        rows, found = read_series_file(path)
        check_no_problems(found)
        return _collect(path, [_Cell(Line(each.line, each.series.id), each.series.id) for each in rows])
    if column is not None:
        return _collect(path, [_Cell(line, _cell(path, line, delimiter, column, len(header))) for line in lines[1:]])
    if len(header) > 1:
        raise UsageError(
            f"{path}:{lines[0].number}: {_WHAT} has several columns, and none is called {', '.join(ID_COLUMNS)}: "
            f"{show_value((), ', '.join(header))}; name the column of the ids so, or leave one id a line"
        )
    return _collect(path, [_Cell(line, line.text.split(" #", 1)[0].split("\t#", 1)[0].strip()) for line in lines])


@dataclass(frozen=True)
class _Cell:
    line: Line
    text: str


def _cells(path: str, line: Line, delimiter: str) -> tuple[str, ...]:
    try:
        return cells_of(line, delimiter)
    except ValueError as error:
        raise UsageError(f"{path}:{line.number}: {error}") from None


def _cell(path: str, line: Line, delimiter: str, column: int, width: int) -> str:
    cells = fitted(_cells(path, line, delimiter), width)
    if len(cells) != width:
        raise UsageError(
            f"{path}:{line.number}: {len(cells)} cells where the header has {width}; quote a cell that holds the delimiter"
        )
    return cells[column]


def _collect(path: str, cells: list[_Cell]) -> IdsFile:
    first: dict[str, int] = {}
    repeats: list[Repeat] = []
    problems: list[str] = []
    for cell in cells:
        try:
            check_series_id(cell.text)
        except ValueError as error:
            problems.append(f"{path}:{cell.line.number}: {error}")
            continue
        if cell.text in first:
            repeats.append(Repeat(cell.text, cell.line.number, first[cell.text]))
        else:
            first[cell.text] = cell.line.number
    if problems:
        raise UsageError("\n".join(shorten(problems)), problems=tuple(problems))
    if not first:
        raise UsageError(f"{path}: {_WHAT} has a header and no ids")
    return IdsFile(tuple(first), tuple(repeats))
