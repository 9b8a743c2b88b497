"""Small text tables that people keep in editors and spreadsheets: lines, cells, and the line numbers to complain about.

UTF-8 with or without a byte order mark; cells between `,`, `;` or tabs, whichever the first line uses most; quotes as in
RFC 4180, but not across lines; blank lines, and lines that begin with `#`, do not count. Blanks around a cell do not belong to it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

from omnia_beam.core.errors import UsageError

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Line:
    """A line that counts: its number in the file, from 1, and its text (blanks at its ends may be empty cells)."""

    number: int
    text: str


def read_lines(path: str, what: str) -> list[Line]:
    """The lines of a file that count.

    Args:
        path: a local file.
        what: what the file is to the user, for messages: "the mapping file".

    Raises:
        UsageError: missing, unreadable, not UTF-8, or without a line that counts.
    """
    try:
        with open(path, encoding="utf-8-sig", newline=None) as file:
            found = [Line(number, text.rstrip("\n")) for number, text in enumerate(file, start=1)]
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file ({what})") from None
    except OSError as error:
        raise UsageError(f"{path}: {what} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {what} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    lines = [line for line in found if line.text.strip() and not line.text.lstrip().startswith("#")]
    if not lines:
        raise UsageError(f"{path}: {what} holds nothing")
    return lines


def delimiter_of(header: str) -> str:
    """The delimiter that cuts the line into most cells; a comma where none does."""
    return max(_DELIMITERS, key=lambda delimiter: len(_cut(header, delimiter, strict=False)))


def cells_of(line: Line, delimiter: str) -> tuple[str, ...]:
    """The cells of a line, blanks around them removed.

    Raises:
        ValueError: a quote that is not closed, or text behind a closing quote.
    """
    try:
        return _cut(line.text, delimiter, strict=True)
    except csv.Error:
        raise ValueError(
            "a quote is not closed on its line, or something follows it; write a quote inside a cell twice"
        ) from None


def _cut(text: str, delimiter: str, *, strict: bool) -> tuple[str, ...]:
    rows = list(csv.reader([text], delimiter=delimiter, strict=strict, skipinitialspace=True))
    return tuple(cell.strip() for cell in rows[0])
