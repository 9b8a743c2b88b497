"""Draw the live bar of a run on a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from omnia_beam.beam.progress_text import amount, conditions, eta
from omnia_beam.core.summary import ProgressFacts

_BAR_EVERY_S = 0.2
_WIDE = 110
"""Columns of a terminal from which on there is room for a bar beside the facts."""


class _Facts(ProgressColumn):
    """A column of the facts in the task's fields; a narrow terminal cuts what stands last."""

    def render(self, task: Task) -> Text:
        facts: ProgressFacts = task.fields["facts"]
        elapsed = task.elapsed or 0.0
        rate = facts.points / elapsed if elapsed else 0.0
        text = f"{facts.points / 1e6:,.1f} M points · {rate / 1e6:,.2f} M/s · ETA {eta(facts.share, elapsed)}"
        read = [f"{amount(facts.bytes)}, {amount(facts.bytes / elapsed)}/s"] if facts.bytes and elapsed else []
        return Text(" · ".join([text, *conditions(facts), *read]), no_wrap=True)


def draw_bar(
    facts: Callable[[], ProgressFacts],
    done: threading.Event,
    console: Console,
    clock: Callable[[], float],
    *,
    passing: bool,
) -> None:
    """Draw the bar until `done` is set, and once more then; see `showing_progress`."""
    bar = (BarColumn(bar_width=16),) if console.width >= _WIDE else ()  # on a narrow terminal the facts need its room
    columns = (TextColumn("{task.fields[windows]}"), *bar, TextColumn("{task.percentage:>3.0f}%"), _Facts())
    with Progress(*columns, console=console, auto_refresh=False, transient=passing) as progress:
        task = progress.add_task("", total=1.0, facts=facts(), windows="")
        ended = False
        while not ended:
            ended = done.wait(_BAR_EVERY_S)
            now = facts()
            windows = f"{now.windows:,}/{now.windows_total:,} windows"
            progress.update(task, completed=now.share, facts=now, windows=windows)
            progress.refresh()
