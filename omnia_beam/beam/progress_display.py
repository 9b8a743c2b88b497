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

from omnia_beam.beam.progress_text import amount, conditions, eta
from omnia_beam.core.summary import ProgressFacts

_log = logging.getLogger("omnia_beam.progress")

DisplayKind = Literal["bar", "log", "none"]
_LOG_EVERY_S = 10.0


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
    draw = _draw_log
    if kind == "bar":
        from omnia_beam.beam.progress_bar import draw_bar  # here: most commands draw none

        draw = partial(draw_bar, passing=passing)
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
        *([f"{amount(facts.bytes)}, {amount(facts.bytes / elapsed_s)}/s"] if facts.bytes and elapsed_s > 0 else []),
        f"ETA {eta(facts.share, elapsed_s)}",
        *conditions(facts),
    ]
    return ", ".join(parts)


def _draw_log(
    facts: Callable[[], ProgressFacts], done: threading.Event, console: Console, clock: Callable[[], float]
) -> None:
    start = clock()
    while not done.wait(_LOG_EVERY_S):
        _log.info("%s", describe(facts(), clock() - start))
