"""The summary of a command: the last line of `--json`, and the source of the table for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

Status = Literal["complete", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run.

    Args:
        command: the command's name.
        status: `complete`; `incomplete` where windows failed or points went to the dead letters; `failed` where the run ended
            early.
        series: how many the selection resolves to.
        windows_planned: windows of the whole job: those done now, those skipped and those that failed.
        windows_done: moved by this run.
        windows_skipped: recorded by earlier runs, not fetched again.
        windows_failed: tried and not moved; the next run tries again.
        points_read, points_written, dead_letters: points.
        duplicates: points of the source that shared series and time with another one and were not written.
        points_removed: points of the destination that the run removed without replacing them.
        points_kept: points of the destination that the source no longer shows and that were kept.
        requests, retries: HTTP requests, and how many more tries they took.
        throttled_s: seconds in which at least one request waited because the service asked for it.
        bytes_read: as they crossed the wire.
        elapsed_s: seconds from the command's start.
        warnings: what the person who runs the job has to know although it does not make the run incomplete, a text each.
        details: further facts by name, such as where the dead letters are.
    """

    command: str
    status: Status = "failed"
    series: int = 0
    windows_planned: int = 0
    windows_done: int = 0
    windows_skipped: int = 0
    windows_failed: int = 0
    points_read: int = 0
    points_written: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    points_removed: int = 0
    points_kept: int = 0
    requests: int = 0
    retries: int = 0
    throttled_s: float = 0.0
    bytes_read: int = 0
    elapsed_s: float = 0.0
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The exit code: 0 complete, 1 incomplete. Failures are exceptions, whose kind gives the code."""
        return 0 if self.status == "complete" else 1

    @property
    def points_per_s(self) -> float:
        return self.points_written / self.elapsed_s if self.elapsed_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return one flat object, with `details` merged in."""
        data = asdict(self)
        details = data.pop("details")
        data["throttled_s"] = round(self.throttled_s, 3)
        data["elapsed_s"] = round(self.elapsed_s, 3)
        data["warnings"] = list(self.warnings)
        return {**data, **details}

    def having(self, **changes: Any) -> Summary:
        return replace(self, **changes)

    def with_warnings(self, *texts: str) -> Summary:
        """Return the summary with further warnings, each text once."""
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *texts))))


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
        text += f", {summary.retries:,} retries"
    if summary.throttled_s:
        text += f", throttled {summary.throttled_s:,.0f} s"
    return text


def _points(summary: Summary) -> str:
    read = f"{summary.points_read:,} read"
    if not summary.points_written:
        return read
    return f"{summary.points_written:,} written, {read} ({summary.points_per_s:,.0f} points/s)"
