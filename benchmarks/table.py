"""Rows of figures, as a table for the terminal and for Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def machine() -> str:
    """Return one line about the machine and libraries that all figures of a run were measured with."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("apache-beam", "numpy", "pyarrow", "protobuf"))
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {libraries}"


def print_rows(title: str, rows: Sequence[Row], console: Console) -> None:
    """Print rows as a table; all must have the keys of the first."""
    table = Table(*rows[0], title=title, title_justify="left", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(_text, row.values()))
    console.print(table)
    console.print()


def markdown(title: str, rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table under a title; all must have the keys of the first."""
    lines = [f"### {title}", "", "| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(map(_text, row.values())) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
