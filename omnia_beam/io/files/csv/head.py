"""Read the beginning of a CSV file: its encoding, the lines before the header, the header, and where the rows begin."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.csv.quotes import count_lines
from omnia_beam.io.files.csv.text import TextForm, find_text_form
from omnia_beam.io.files.forms import CsvForm

_DELIMITERS: Final = (",", ";", "\t")
_READ: Final = 64 << 10
_LONGEST_HEAD: Final = 64 << 20
_HEADER_LINES: Final = 64
_SEP: Final = re.compile(r'"?sep=(\\t|.)"?', re.IGNORECASE)
_LINE: Final = re.compile(rb"[^\r\n]*+(?:\r\n|\n|\r|\Z)")

csv.field_size_limit(_LONGEST_HEAD)  # with a wrong delimiter a whole header is one cell


@dataclass(frozen=True, slots=True)
class CsvHead:
    """The beginning of a file.

    Args:
        text: encoding of its bytes.
        header: the header, without its line end.
        line: number of the header's line, from 1.
        delimiter: the one that the file itself names by `sep=`, or None.
        body: offset of the first byte of the rows.
        body_line: number of the first line of the rows.
    """

    text: TextForm
    header: str
    line: int
    delimiter: str | None
    body: int
    body_line: int


def read_head(file: Any, form: CsvForm, path: str) -> CsvHead:
    """Read a file up to its rows.

    Args:
        file: binary, at its beginning.
        form: its keys in the configuration.
        path: for messages.

    Raises:
        UsageError: there is no header, it is not text of the encoding, or lines before it are missing.
    """
    data = file.read(_READ)
    text = find_text_form(data, form.encoding, path)
    while True:
        found = _Head(data, text, form, path, whole=False).find()
        more = b"" if found else file.read(max(_READ, len(data)))
        if found is None and (not more or len(data) > _LONGEST_HEAD):
            found = _Head(data, text, form, path, whole=True).find()
        if found is not None:
            return found
        data += more


class _NeedsMore(Exception):
    """Raised where the data ends before what is looked for."""


class _Head:
    """Parser of the beginning of a file, line by line."""

    def __init__(self, data: bytes, text: TextForm, form: CsvForm, path: str, *, whole: bool) -> None:
        self._text = text
        self._form = form
        self._path = path
        self._whole = whole
        self._data = data
        self._view = text.view(data[text.mark :])
        self._at = 0
        self._line = 1
        self._delimiter: str | None = None

    def find(self) -> CsvHead | None:
        """Return the beginning of the file, or None where more of the file is needed."""
        try:
            return self._find()
        except _NeedsMore:
            return None

    def _find(self) -> CsvHead:
        self._skip_rows()
        self._skip_comments()
        line = self._line
        header, delimiter = self._row()
        if not header.strip():
            raise UsageError(f"{self._path}:{line}: there is no header: the first line names the columns")
        for _ in range(self._form.skip_after_header):
            self._skip_comments(blank=True)
            if not self._row(delimiter)[0]:
                break
        body = self._text.mark + self._text.raw_length(self._view[: self._at])
        self._check_text(body)
        return CsvHead(self._text, header, line, self._delimiter, body, self._line)

    def _check_text(self, body: int) -> None:
        """Refuse bytes that are not UTF-16.

        The view replaces what cannot be decoded by a sign, such as half of a character at the end of a file that is cut short.
        """
        if self._text.is_utf16:
            try:
                self._data[self._text.mark : body].decode(self._text.encoding)
            except UnicodeDecodeError as error:
                at = self._text.mark + error.start
                raise UsageError(
                    f"{self._path}:1: is not {self._text.encoding} text (byte {at}): is the file cut short, or source.encoding "
                    "another?"
                ) from None

    def _skip_rows(self) -> None:
        for number in range(self._form.skip_rows):
            raw = self._next()
            if not raw:
                raise UsageError(f"{self._path}: has {number} lines, and source.skip_rows skips {self._form.skip_rows}")
            if number == 0:
                self._take_sep(raw)
        at, line = self._at, self._line
        if not self._take_sep(self._next()):
            self._at, self._line = at, line

    def _take_sep(self, raw: bytes) -> bool:
        found = _SEP.fullmatch(raw.decode("latin-1").strip("\r\n"))
        if found is None:
            return False
        self._delimiter = "\t" if found[1] in ("\\t", "\t") else found[1]
        return True

    def _skip_comments(self, *, blank: bool = False) -> None:
        """Skip comments, and empty lines with them."""
        mark = None if self._form.comment is None else self._form.comment.encode()
        while mark is not None or blank:
            at, line = self._at, self._line
            raw = self._next()
            if not raw or not ((mark is not None and raw.startswith(mark)) or not raw.strip()):
                self._at, self._line = at, line
                return

    def _next(self) -> bytes:
        """Return the next line with its line end; empty behind the last."""
        found = _LINE.match(self._view, self._at)
        raw = b"" if found is None else found[0]
        ends = raw.endswith((b"\n", b"\r")) and self._at + len(raw) < len(self._view)
        if not ends and not self._whole:
            raise _NeedsMore
        self._at += len(raw)
        self._line += count_lines(raw)
        return raw

    def _row(self, delimiter: str | None = None) -> tuple[str, str]:
        """Return the next row, which continues over the lines of quoted cells, and a delimiter with which it can be read."""
        line, start = self._line, self._at
        for _ in range(_HEADER_LINES):
            last = self._next()
            text = self._decoded(self._view[start : self._at], line)
            found = self._readable(text, delimiter)
            if found is not None:
                return text.rstrip("\r\n"), found
            if not last:
                break
        raise UsageError(
            f"{self._path}:{line}: a quoted cell is not closed on its line, or something follows it: a quote in it is written twice"
        )

    def _readable(self, text: str, delimiter: str | None) -> str | None:
        named = self._form.delimiter if self._form.delimiter != "auto" else self._delimiter
        chosen = delimiter or named or likely_delimiter(text)
        return None if cells_of(text, chosen) is None else chosen

    def _decoded(self, view: bytes, line: int) -> str:
        encoding = "utf-8" if self._text.is_utf16 else self._text.encoding
        try:
            return view.decode(encoding)
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self._path}:{line}: is not {self._text.encoding} text (byte {error.start}): set source.encoding"
            ) from None


def likely_delimiter(text: str) -> str:
    """Return the delimiter that cuts a row into the most cells."""

    def count(delimiter: str) -> int:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        return max((len(cells) for cells in rows), default=0)

    return max(_DELIMITERS, key=count)


def cells_of(text: str, delimiter: str) -> tuple[str, ...] | None:
    """Return the cells of one row without the blanks around them; None where a quoted cell is not closed properly."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        return None
    return tuple(cell.strip() for cell in rows[0]) if rows and rows[0] else ("",)
