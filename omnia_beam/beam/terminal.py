"""Consoles that show foreign text literally."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.text import Text

from omnia_beam.core.text import printable

_WIDTH_OF_FILES: Final = 10_000


class PlainConsole(Console):
    """A console that does not interpret text as markup and lets no control character through.

    Names of series, units and messages come from elsewhere: `PT[mean]` is a name and not a style, `:warning:` no picture, and
    an escape sequence in a description is shown and not obeyed. Coloured text has to be a `rich.text.Text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})


def console(*, stderr: bool = False) -> PlainConsole:
    """Return a console as wide as the terminal; for a file or a pipe, one so wide (10,000 columns) that no table is cut off."""
    found = PlainConsole(stderr=stderr)
    return found if found.is_terminal else PlainConsole(stderr=stderr, width=_WIDTH_OF_FILES)
