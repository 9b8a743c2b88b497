"""Which line ends of a text are ends of rows: those outside of quoted cells.

A quote opens a cell only where the cell begins, as RFC 4180 has it; blanks may stand before it. Elsewhere it is a sign as any
other. Inside, two quotes are one. Lines of comments do not count.
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
        clean: every reader of CSV sees the same cells in it.
        open_at: where the cell begins that is not closed, or None.
        quotes: positions of all quotes, of which every other one opens a cell; where `clean`.
        spans: (start, end) of quoted cells; otherwise.
        comments: (start, end) of lines that are comments.
    """

    clean: bool = True
    open_at: int | None = None
    quotes: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    spans: tuple[tuple[int, int], ...] = ()
    comments: tuple[tuple[int, int], ...] = ()

    def is_quoted(self, at: int) -> bool:
        """Whether a position lies in a quoted cell."""
        if self.clean:
            return bool(int(np.searchsorted(self.quotes, at)) % 2)
        number = bisect_right(self.spans, (at, 1 << 62)) - 1
        return number >= 0 and at < self.spans[number][1]

    def without_comments(self, text: bytes) -> bytes:
        """The text with nothing in place of its comments: lines keep their numbers."""
        if not self.comments:
            return text
        parts, at = [], 0
        for start, end in self.comments:
            parts.append(text[at:start])
            at = end
        return b"".join([*parts, text[at:]])


def scan_quotes(text: bytes, delimiter: str, comment: str | None = None) -> QuoteScan:
    """Look through a text that begins with a row.

    Args:
        text: UTF-8, or another encoding in which quotes, delimiters and line ends are the bytes of ASCII.
        delimiter: between cells.
        comment: what lines that do not count begin with.
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
    """The position behind the last row that ends in a text; 0 where none does.

    Args:
        text: what was scanned.
        scan: of it.
        whole: nothing comes behind it, so that a carriage return at its end is no half of a line end.
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
    """Line ends in the beginning of a text: LF, CR LF and CR."""
    stop = len(text) if end is None else end
    feeds, returns = text.count(b"\n", 0, stop), text.count(b"\r", 0, stop)
    return feeds if not returns else feeds + returns - text.count(b"\r\n", 0, stop)


def _of_clean(text: bytes, delimiter: str) -> QuoteScan | None:
    """A scan of all quotes at once, right where each one opens a cell, closes it, or is one of two inside."""
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
