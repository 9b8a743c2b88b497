"""Work with text of others: make it safe to print, count in words, suggest a name, and read JSON."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any, Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""Replaces a character that would move the cursor, colour the terminal or break the line."""

_KEPT: Final = "\n\t"
_NUMBER: Final = re.compile(r"[-\d.,]*")
_SHORT: Final = 40
"""Characters of a cell up to which it is not broken over lines."""


def printable(text: str) -> str:
    r"""Return the text with every control character replaced, except line feeds and tabs.

    Escape sequences, carriage returns, bells and marks that turn the reading direction would otherwise reach the terminal:
    `printable("A\x1b[31mB")` is `"A\ufffd[31mB"`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else REPLACEMENT for c in text)


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, such as `1 window` or `2,000 windows`; the plural is formed with an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_line(text: str) -> str:
    """Return the printable text on one line, so that a name with a line end in it does not look like two rows."""
    return "".join(REPLACEMENT if c in _KEPT else c for c in printable(text))


def html_table(header: Iterable[str], rows: Iterable[Iterable[object]], caption: str = "") -> str:
    """Return a table as HTML for a notebook, with every text escaped; columns of texts are aligned to the left."""
    texts = [[one_line(str(each)) for each in row] for row in rows]
    styles = [_style_of(column) for column in zip(*texts, strict=True)]

    def cells(tag: str, row: Iterable[str]) -> str:
        styled = itertools.zip_longest(row, styles, fillvalue="")
        return "".join(f"<{tag}{style}>{escape(each)}</{tag}>" for each, style in styled)

    above = f"<caption>{escape(one_line(caption))}</caption>" if caption else ""
    head = cells("th", (one_line(each) for each in header))
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in texts)
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _style_of(column: Iterable[str]) -> str:
    """Return the style of a column, against a notebook's own; empty for numbers. Short texts, such as times, stay whole."""
    cells = list(column)
    if all(_NUMBER.fullmatch(each) for each in cells):
        return ""
    short = ";white-space:nowrap" if max(map(len, cells)) <= _SHORT else ""
    return f' style="text-align:left{short}"'


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "backfill"?` with the nearest known name, or an empty text where none is near."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f'; did you mean "{by_lower[near[0]]}"?' if near else ""


def load_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply to be read (`json` raises RecursionError for that).
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
