"""Find which line ends of a text end a row: those outside of quoted cells.

A quote opens a cell only at the cell's beginning, as in RFC 4180; blanks may precede it. Elsewhere it is an ordinary
character. Inside of a quoted cell two quotes stand for one. Comment lines are ignored.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_QUOTE: Final = 34
_LF, _CR = 10, 13


@dataclass(frozen=True, slots=True)
class QuoteScan:
    """Where a text is quoted.

    Args:
        clean: whether every reader of CSV sees the same cells in it.
        open_at: position of a quoted cell that is not closed, or None.
        quotes: where `clean`, positions of all quotes, of which every other one opens a cell.
        spans: where not `clean`, (start, end) of quoted cells.
        comments: (start, end) of comment lines.
    """

    clean: bool = True
    open_at: int | None = None
    quotes: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    spans: tuple[tuple[int, int], ...] = ()
    comments: tuple[tuple[int, int], ...] = ()

    def is_quoted(self, at: int) -> bool:
        """Return whether a position lies in a quoted cell."""
        if self.clean:
            return bool(int(np.searchsorted(self.quotes, at)) % 2)
        number = bisect_right(self.spans, (at, 1 << 62)) - 1
        return number >= 0 and at < self.spans[number][1]

    def without_comments(self, text: bytes) -> bytes:
        """Return the text without its comments; their line ends stay, so that lines keep their numbers."""
        if not self.comments:
            return text
        parts, at = [], 0
        for start, end in self.comments:
            parts.append(text[at:start])
            at = end
        return b"".join([*parts, text[at:]])


def scan_quotes(text: bytes, delimiter: str, comment: str | None = None) -> QuoteScan:
    """Scan a text that begins with a row for quoted cells and comments.

    Args:
        text: UTF-8, or another encoding in which quotes, delimiters and line ends are the bytes of ASCII.
        delimiter: between cells.
        comment: prefix of lines that are ignored.
    """
    mark = None if comment is None else comment.encode()
    commented = mark is not None and (text.startswith(mark) or b"\n" + mark in text or b"\r" + mark in text)
    if b'"' not in text and not commented:
        return QuoteScan()
    if not commented:
        found = _of_clean(text, delimiter)
        if found is not None:
            return found
    return _of_any(text, delimiter.encode(), mark if commented else None)


def last_row_end(text: bytes, scan: QuoteScan, *, whole: bool) -> int:
    """Return the position behind the last row that ends in a text; 0 where none does.

    Args:
        text: that was scanned.
        scan: of the text.
        whole: whether nothing follows the text, so that a carriage return at its end is a whole line end.
    """
    for end in (b"\n", b"\r"):
        stop = len(text) if whole or end == b"\n" else len(text) - 1
        at = text.rfind(end, 0, stop)
        while at >= 0:
            if not scan.is_quoted(at):
                return at + 1
            at = text.rfind(end, 0, at)
    return 0


def count_lines(text: bytes, end: int | None = None) -> int:
    """Count the line ends (LF, CR LF and CR) before `end`, or in the whole text."""
    stop = len(text) if end is None else end
    feeds, returns = text.count(b"\n", 0, stop), text.count(b"\r", 0, stop)
    return feeds if not returns else feeds + returns - text.count(b"\r\n", 0, stop)


def _of_clean(text: bytes, delimiter: str) -> QuoteScan | None:
    """Scan all quotes at once; None unless each of them opens a cell, closes it, or is one of two inside."""
    signs = np.frombuffer(text, np.uint8)
    quotes: npt.NDArray[np.int64] = np.flatnonzero(signs == _QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    before = signs[opening - 1]
    if opening[0] == 0:
        before[0] = _LF
    behind = signs[np.minimum(closing + 1, len(signs) - 1)]
    if len(closing) and closing[-1] + 1 == len(signs):
        behind[-1] = _LF
    edges = np.zeros(256, np.bool_)
    edges[[_QUOTE, _LF, _CR, *delimiter.encode()]] = True
    if not edges[before].all() or not edges[behind].all():
        return None
    open_at = int(opening[-1]) if len(quotes) % 2 else None
    return QuoteScan(True, open_at, quotes)


def _of_any(text: bytes, delimiter: bytes, mark: bytes | None) -> QuoteScan:
    spans, comments = [], []
    clean, open_at = True, None
    edges = delimiter + b"\r\n"
    for found in _pattern(delimiter, mark).finditer(text):
        start, end = found.span()
        if found["comment"] is not None:
            comments.append((start, end))
            continue
        closed = found["end"] == b'"'
        if not closed:
            open_at = start
        clean = clean and closed and text[start] == _QUOTE and (end == len(text) or text[end] in edges)
        spans.append((start, end))
    quotes: Any = np.empty(0, np.int64)
    if clean:
        quotes = np.array([at for start, end in spans for at in (start, end - 1)], np.int64)
    return QuoteScan(clean, open_at, quotes, tuple(spans), tuple(comments))


@lru_cache(maxsize=8)
def _pattern(delimiter: bytes, mark: bytes | None) -> re.Pattern[bytes]:
    comment = rb"(?!)" if mark is None else re.escape(mark)
    edges = re.escape(delimiter)
    return re.compile(
        rb"(?:\A|(?<=[\r\n]))(?P<comment>%s[^\r\n]*+)"
        rb'|(?:\A|(?<=[%s\r\n])) *+"(?:[^"]++|"")*+(?P<end>"|\Z)' % (comment, edges)
    )
