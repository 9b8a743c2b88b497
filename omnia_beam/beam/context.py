"""The surroundings of a command besides its configuration: runner, terminal, clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from omnia_beam.beam.metrics import RunMetrics
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.progress_display import DisplayKind


@dataclass(frozen=True)
class RunContext:
    """The runner, the terminal and the clock of a command.

    Args:
        options: Beam's PipelineOptions, checked (see `beam.runner`); None for the local runner's, where Beam is not imported.
        out: where results go (stdout).
        err: where progress and messages go (stderr).
        progress: how progress is shown.
        quiet: only errors and the summary.
        clock: monotonic seconds.
        metrics: the figures that are exported; see `exporting_metrics`.
        board: of the run, whose pipelines run one after another: two runs at the same time need a context each.
    """

    options: Any
    out: Console
    err: Console
    progress: DisplayKind = "none"
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    metrics: RunMetrics = field(default_factory=RunMetrics, compare=False)
    board: RunBoard = field(default_factory=RunBoard, compare=False)

    def notify(self, text: str) -> None:
        """Print a message for the person at the terminal; it is not part of the results."""
        if not self.quiet:
            self.err.print(text, markup=False, highlight=False, soft_wrap=True)
