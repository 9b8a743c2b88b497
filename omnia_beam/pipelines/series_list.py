"""`omnia-beam series`: list the series that the selection resolves to."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from rich.table import Table

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.series import Timeseries
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import one_line
from omnia_beam.io.kinds import source_of
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.pipelines.work_plan import with_traffic

_COLUMNS: Final = ("id", "name", "facility", "unit", "step", "description", "source")
_SHOWN: Final = ("name", "facility", "unit", "description", "id")
_LEAST_DESCRIPTION: Final = 12


def run_series(config: JobConfig, context: RunContext, form: str) -> CommandResult:
    """List the selected series, ascending by facility, name and id.

    Args:
        config: the job.
        context: where the result is printed.
        form: `table`; `csv`, which `ids_file` can read; or `json`, one object a line.

    Returns:
        The list, with the number of series.

    Raises:
        UsageError: the selection is empty or names what does not exist, or a file cannot be read.
        CredentialError, ServiceError: the service cannot be asked.
    """
    began = context.clock()
    source = source_of(config)
    series = sorted(source.describe(), key=lambda each: (each.facility, each.name, each.id))
    summary = Summary("series", status="complete", series=len(series))
    summary = with_traffic(summary, map(shared_session, source.budgets), context.clock() - began)
    return CommandResult(summary, lambda: _print(series, context, form), is_listing=True)


def _print(series: Sequence[Timeseries], context: RunContext, form: str) -> None:
    if form == "json":
        _print_json(series, sys.stdout)
    elif form == "csv":
        _print_csv(series, sys.stdout, for_people=context.out.is_terminal)
    else:
        context.out.print(series_table(series, context.out.width))
        context.notify(f"{len(series):,} series")


def _row(series: Timeseries, columns: Sequence[str] = _COLUMNS) -> list[str]:
    values = [getattr(series, name) for name in columns]
    return ["" if value is None else str(value) for value in values]


def series_table(series: Iterable[Timeseries], width: int) -> Table:
    """Return a table. Ids and names are meant to be copied: only the description is cut, or left out, where the width is small."""
    rows = [[one_line(cell) for cell in _row(each, _SHOWN)] for each in series]
    widest = [max([len(name), *(len(row[at]) for row in rows)]) for at, name in enumerate(_SHOWN)]
    cut = _SHOWN.index("description")
    left = width - sum(widest) - 2 * (len(_SHOWN) - 1) + widest[cut]
    table = Table(box=None, pad_edge=False)
    shown = [at for at in range(len(_SHOWN)) if at != cut or left >= _LEAST_DESCRIPTION]
    for at in shown:
        size = min(left, widest[at]) if at == cut else widest[at]
        table.add_column(_SHOWN[at], no_wrap=True, overflow="ellipsis", width=size)
    for row in rows:
        table.add_row(*(row[at] for at in shown))
    return table


def _print_csv(series: Iterable[Timeseries], out: TextIO, *, for_people: bool) -> None:
    """Write names unchanged to a file or a pipe; on a terminal without control characters."""
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for each in series:
        row = _row(each)
        writer.writerow(map(one_line, row) if for_people else row)


def _print_json(series: Iterable[Timeseries], out: TextIO) -> None:
    for each in series:
        out.write(json.dumps({name: getattr(each, name) for name in _COLUMNS}) + "\n")
