"""The table that people see in place of a summary's JSON."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from omnia_beam.core.summary import Summary

_COLOURS = {"complete": "green", "incomplete": "yellow", "failed": "red"}


def print_summary(summary: Summary, console: Console) -> None:
    """Print a summary as a two-column table, and its details below."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    colour = _COLOURS[summary.status]
    table.add_row(summary.command, Text.assemble((summary.status, colour), f" in {summary.elapsed_s:,.1f} s"))
    table.add_row("series", f"{summary.series:,}")
    table.add_row("windows", _windows(summary))
    table.add_row("points", _points(summary))
    if summary.dead_letters:
        table.add_row("dead letters", f"{summary.dead_letters:,}")
    for name in ("duplicates", "points_removed", "points_kept"):
        if count := getattr(summary, name):
            table.add_row(name.replace("_", " "), f"{count:,}")
    if summary.requests:
        table.add_row("requests", _requests(summary))
    console.print(table)
    for text in summary.warnings:
        console.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)
    for name, value in summary.details.items():
        if isinstance(value, str):
            console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)


def _windows(summary: Summary) -> str:
    parts = [f"{summary.windows_done:,} done"]
    if summary.windows_skipped:
        parts.append(f"{summary.windows_skipped:,} recorded before")
    if summary.windows_failed:
        parts.append(f"{summary.windows_failed:,} failed")
    return f"{', '.join(parts)}, of {summary.windows_planned:,}"


def _requests(summary: Summary) -> str:
    text = f"{summary.requests:,}, {summary.bytes_read / 1e6:,.1f} MB"
    if summary.retries:
        text += ", 1 retry" if summary.retries == 1 else f", {summary.retries:,} retries"
    if summary.throttled_s:
        text += f", throttled {summary.throttled_s:,.0f} s"
    return text


def _points(summary: Summary) -> str:
    read = f"{summary.points_read:,} read"
    if not summary.points_written:
        return read
    return f"{summary.points_written:,} written, {read} ({summary.points_per_s:,.0f} points/s)"
