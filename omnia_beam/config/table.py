"""Read small text tables that people keep in editors and spreadsheets: lines, cells, and the line numbers for messages.

Files are UTF-8 or UTF-16, with or without a byte order mark. Cells stand between `,`, `;` or tabs, whichever the first line
uses most, or the character that a line `sep=;` before it names. Quotes follow RFC 4180, but do not span lines. Blank lines,
lines with nothing but delimiters, and lines that begin with `#` do not count. Blanks around a cell do not belong to it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import Final

from omnia_beam.core.errors import UsageError
from omnia_beam.store import store_of

_DELIMITERS: Final = ",;\t"
_SEP: Final = re.compile(r'"?sep=.?"?', re.IGNORECASE)
_EMPTY: Final = re.compile(r'[\s,;"]*')
_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Line:
    """A line that counts: its number in the file, from 1, and its text (blanks at its ends may be empty cells)."""

    number: int
    text: str


def read_lines(path: str, what: str) -> list[Line]:
    """Return the lines of a file that count.

    Args:
        path: a file, on a disk or an object store.
        what: how messages name the file to the user: "the mapping file".

    Raises:
        UsageError: missing, unreadable, not UTF-8 or UTF-16, or without a line that counts.
    """
    try:
        with store_of(path).open(path) as file:
            text = decoded(file.read())
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file ({what})") from None
    except OSError as error:
        raise UsageError(f"{path}: {what} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: {what} is not {error.encoding.upper()} text (byte {error.start}): save it as UTF-8"
        ) from None
    found = [Line(number, line.rstrip("\n")) for number, line in enumerate(io.StringIO(text, newline=None), start=1)]
    if found and _SEP.fullmatch(found[0].text.strip(" ")):
        del found[0]
    lines = [line for line in found if not _EMPTY.fullmatch(line.text) and not line.text.lstrip().startswith("#")]
    if not lines:
        raise UsageError(f"{path}: {what} holds nothing")
    return lines


def decoded(data: bytes) -> str:
    """Return the text of a file in UTF-8 or UTF-16, without a byte order mark.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    if data.startswith(_MARKS):
        return data.decode("utf-16")
    if b"\0" in data[:512]:  # text in UTF-8 has no zero bytes
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le")
    return data.decode("utf-8-sig")


def delimiter_of(header: str) -> str:
    """Return the delimiter that cuts the line into most cells; a comma where none does."""
    return max(_DELIMITERS, key=lambda delimiter: len(_cut(header, delimiter, strict=False)))


def cells_of(line: Line, delimiter: str) -> tuple[str, ...]:
    """Return the cells of a line without the blanks around them.

    Raises:
        ValueError: a quote that is not closed, or text behind a closing quote.
    """
    try:
        return _cut(line.text, delimiter, strict=True)
    except csv.Error:
        raise ValueError(
            "a quote is not closed on its line, or something follows it; write a quote inside a cell twice"
        ) from None


def fitted(cells: tuple[str, ...], width: int = 1) -> tuple[str, ...]:
    """Return the cells without the empty ones at the end that are beyond a width, which spreadsheets add."""
    end = len(cells)
    while end > width and not cells[end - 1]:
        end -= 1
    return cells[:end]


def _cut(text: str, delimiter: str, *, strict: bool) -> tuple[str, ...]:
    rows = list(csv.reader([text], delimiter=delimiter, strict=strict, skipinitialspace=True))
    return tuple(cell.strip() for cell in rows[0])
