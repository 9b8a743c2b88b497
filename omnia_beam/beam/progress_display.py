"""Show progress while a run is under way: a live bar on a terminal, elsewhere a log line every ten seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from omnia_beam.core.summary import ProgressFacts

_log = logging.getLogger("omnia_beam.progress")

DisplayKind = Literal["bar", "log", "none"]
_LOG_EVERY_S = 10.0
_BAR_EVERY_S = 0.2


@contextmanager
def showing_progress(
    kind: DisplayKind,
    facts: Callable[[], ProgressFacts],
    console: Console,
    clock: Callable[[], float] = time.monotonic,
    *,
    passing: bool = False,
) -> Iterator[None]:
    """Show progress on a thread of its own while the block runs: a local pipeline blocks the thread that starts it.

    Args:
        kind: `bar`, `log` or `none`.
        facts: called several times a second, from the thread.
        console: where the bar is drawn.
        clock: seconds.
        passing: whether the bar disappears at the end, for runs that each print a line of their own afterwards.
    """
    if kind == "none":
        yield
        return
    done = threading.Event()
    draw = partial(_draw_bar, passing=passing) if kind == "bar" else _draw_log
    thread = threading.Thread(target=draw, args=(facts, done, console, clock), name="omnia-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def describe(facts: ProgressFacts, elapsed_s: float) -> str:
    """Return one line for a log."""
    rate = facts.points / elapsed_s if elapsed_s > 0 else 0.0
    parts = [
        f"{facts.windows:,}/{facts.windows_total:,} windows",
        f"{facts.points:,} points",
        f"{rate:,.0f} points/s",
        f"ETA {_eta(facts.share, elapsed_s)}",
        *_moods(facts),
    ]
    return ", ".join(parts)


def _moods(facts: ProgressFacts) -> list[str]:
    moods = []
    if facts.retries:
        moods.append(f"{facts.retries:,} retries")
    if facts.throttled_s:
        moods.append(f"throttled {facts.throttled_s:,.0f} s")
    if facts.failed:
        moods.append(f"{facts.failed:,} failed")
    return moods


def _eta(share: float, elapsed_s: float) -> str:
    if share <= 0:
        return "unknown"
    left = round(elapsed_s * (1 - share) / share)
    hours, rest = divmod(left, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _draw_log(
    facts: Callable[[], ProgressFacts], done: threading.Event, console: Console, clock: Callable[[], float]
) -> None:
    start = clock()
    while not done.wait(_LOG_EVERY_S):
        _log.info("%s", describe(facts(), clock() - start))


class _Facts(ProgressColumn):
    """A column with points, rate, time left, retries and throttling, from the facts in the task's fields."""

    def render(self, task: Task) -> Text:
        facts: ProgressFacts = task.fields["facts"]
        elapsed = task.elapsed or 0.0
        rate = facts.points / elapsed if elapsed else 0.0
        text = f"{facts.points / 1e6:,.1f} M points · {rate / 1e6:,.2f} M/s · ETA {_eta(facts.share, elapsed)}"
        return Text(" · ".join([text, *_moods(facts)]), no_wrap=True)


def _draw_bar(
    facts: Callable[[], ProgressFacts],
    done: threading.Event,
    console: Console,
    clock: Callable[[], float],
    *,
    passing: bool,
) -> None:
    columns = (
        TextColumn("{task.fields[windows]}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f}%"),
        _Facts(),
    )
    with Progress(*columns, console=console, auto_refresh=False, transient=passing) as progress:
        task = progress.add_task("", total=1.0, facts=facts(), windows="")
        ended = False
        while not ended:
            ended = done.wait(_BAR_EVERY_S)
            now = facts()
            windows = f"{now.windows:,}/{now.windows_total:,} windows"
            progress.update(task, completed=now.share, facts=now, windows=windows)
            progress.refresh()
