"""Show a job's status as a page: the verdict first, then the facts, then each series with a bar of what is covered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table

from omnia_beam.beam.context import RunContext
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.status.facts import SHOWN, JobStatus, SeriesCoverage

_BAR: Final = 24
"""Cells of a bar."""
_BLOCKS: Final = ("█", "▒", "·")
_HOLE: Final = 46
_INSTANT: Final = 27
"""Columns that the first hole takes, or its begin alone."""

_PLAIN: Final = ("#", "+", ".")
"""Covered, covered in part, missing: on a terminal that shows Unicode, and on any other."""


def show_status(status: JobStatus, context: RunContext) -> None:
    """Print the page, unless the command is to be quiet."""
    if context.quiet:
        return
    out = context.out
    marks = _BLOCKS if out.encoding.lower().startswith("utf") else _PLAIN
    for line in _verdict(status):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    out.print()
    out.print(_facts(status))
    shown = (*status.incomplete[:SHOWN], *status.whole[: max(0, SHOWN - len(status.incomplete))])
    if shown:
        out.print()
        out.print(coverage_table(shown, status.wanted, marks, out.width))
        if status.series > len(shown):
            rest = f"and {status.series - len(shown):,} more series"
            holed = len(status.incomplete) - SHOWN
            out.print(f"{rest}, {holed:,} of them with holes: see --json" if holed > 0 else rest)
    for note in (*status.lost, *status.warnings, *status.notes):
        out.print(note, markup=False, highlight=False, soft_wrap=True)


def coverage_bar(coverage: SeriesCoverage, cells: int = _BAR, marks: tuple[str, str, str] = _BLOCKS) -> str:
    """Return a bar over the wanted time; only a cell without any hole is shown as covered.

    Args:
        coverage: of one series.
        cells: length of the bar.
        marks: for covered, covered in part, missing.
    """
    wanted = coverage.wanted
    if not wanted.duration_ns:
        return ""
    bounds = [wanted.start_ns + wanted.duration_ns * at // cells for at in range(cells + 1)]
    bar = []
    for start, end in itertools.pairwise(bounds):
        if start == end:  # a wanted time of a few ns
            bar.append(marks[2 if coverage.holes else 0])
            continue
        missing = coverage.holes.intersect(TimeRange(start, end)).duration_ns
        bar.append(marks[0 if not missing else 2 if missing == end - start else 1])
    return "".join(bar)


def _verdict(status: JobStatus) -> Iterator[str]:
    """Yield what the records say, in one sentence, and what to do."""
    what = f"{status.series:,} series, {_day(status.wanted.start_ns)} to {_day(status.wanted.end_ns)}"
    running = status.lease.state in ("running", "perhaps_running")
    if not status.series:
        yield f"{status.job}: nothing is recorded yet."
    elif status.incomplete:
        holes = f"{counted(status.holes, 'hole')} in {len(status.incomplete):,} series"
        yield f"{status.job}: {_percent(status.share)} of {what} is copied; {holes}."
        yield "A run is under way." if running else "Run the job again: it copies what is missing."
    elif status.lost:
        yield f"{status.job}: all of {what} was copied, and a part of it is not there any more."
        yield "Run the job again: it writes what is lost."
    elif status.dead_letters:
        yield f"{status.job}: all of {what} is recorded, and {counted(status.dead_letters, 'point')} could not be stored."
        yield "omnia-beam replay moves dead letters once their cause is removed."
    else:
        yield f"{status.job}: all of {what} is recorded as copied. omnia-beam verify compares it with its source."


def _day(time_ns: int) -> str:
    text = format_time(time_ns, 0)
    return text[:10] if text.endswith("T00:00:00Z") else text


def _facts(status: JobStatus) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("wanted", f"{status.wanted} of {status.series:,} series")
    holes = f"{counted(status.holes, 'hole')} in {len(status.incomplete):,} series" if status.holes else "no holes"
    table.add_row("covered", f"{_percent(status.share)}, {holes}" if status.series else "nothing is recorded yet")
    points = "" if status.points is None else f", {counted(status.points, 'point')}"
    table.add_row("recorded", f"{counted(status.windows, 'window')}{points}")
    last = f"run {status.last_run}, {format_time(status.last_ns, 0)}" if status.last_run else "none yet"
    table.add_row("last recorded", last)
    table.add_row("lease", status.lease.text)
    letters = (
        f"{counted(status.dead_letters, 'point')} in {counted(status.dead_letter_files, 'file')}"
        if status.dead_letters
        else "none"
    )
    table.add_row("dead letters", letters)
    if status.failures:
        table.add_row("failed windows", f"{status.failures:,} reported by the last run that had any, see runs/")
    return table


def coverage_table(
    shown: Sequence[SeriesCoverage], wanted: TimeRange, marks: tuple[str, str, str] = _BLOCKS, width: int = 200
) -> Table:
    """Return a table with a bar for each series.

    Args:
        shown: the series, in order.
        wanted: the time of the bars.
        marks: see `coverage_bar`.
        width: of the terminal, in columns; where it is small, ids behind names and the end of the first hole are left out.
    """
    bar = f"{_day(wanted.start_ns)[:10]} {' ' * max(0, _BAR - 22)} {_day(wanted.end_ns)[:10]}"
    holed = any(each.holes for each in shown)
    holed = any(each.holes for each in shown)
    table = Table("series", bar, "covered", *(["holes", "first hole"] if holed else []), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.no_wrap = True
    table.columns[0].overflow = "fold"
    left = width - _BAR - len("  covered  ")
    if holed:
        left -= len("holes  ") + _HOLE
    whole = not holed or left >= max(len(each.name or each.series_id) for each in shown)
    left += 0 if whole else _HOLE - _INSTANT
    with_ids = left >= max(len(each.title) for each in shown)
    for each in shown:
        first = next(iter(each.holes), None)
        cells = [
            one_line(each.title if with_ids or not each.name else each.name),
            coverage_bar(each, marks=marks),
            _percent(each.share),
        ]
        if holed and first is not None:
            cells += [f"{len(each.holes):,}", str(first) if whole else f"from {format_time(first.start_ns, 0)}"]
        table.add_row(*cells)
    return table


def _percent(share: float) -> str:
    """Return a percentage, rounded down so that only a whole copy shows 100%."""
    return "100%" if share == 1 else f"{int(share * 10_000) / 100:.2f}%"
