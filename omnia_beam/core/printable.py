"""Make foreign text safe to print: names, units and messages that come from a service or a file."""

from __future__ import annotations

from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""Replaces a character that would move the cursor, colour the terminal or break the line."""

_KEPT: Final = "\n\t"


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
