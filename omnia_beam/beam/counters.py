"""Counts of what a pipeline has done so far and in the end: from this process's board, or from the runner's metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from omnia_beam.beam.cluster import runs_elsewhere
from omnia_beam.beam.progress import BOARD
from omnia_beam.beam.runner import runner_name

_log = logging.getLogger(__name__)
_NAMESPACE: Final = "omnia_beam"
_ASK_EVERY_S: Final = 10.0
_REPORT_WHILE_RUNNING: Final = {"dataflowrunner"}
"""Runners whose metrics change while a job runs; those of Flink and the local job service arrive at its end."""


class Counts(Protocol):
    """Counts by name while a pipeline runs."""

    tells: bool
    """Whether the counts change before the end; otherwise there is no progress to show."""

    def __call__(self) -> dict[str, int]:
        """Return the counts now. Any thread may call this, several times a second."""

    def follow(self, result: Any) -> None:
        """Take Beam's PipelineResult; called once the pipeline runs."""


def counters_of(result: Any) -> dict[str, int]:
    """Return Beam's counters of omnia-beam's namespace, by name, summed over steps."""
    from apache_beam.metrics import MetricsFilter

    counters: dict[str, int] = {}
    for each in result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE))["counters"]:
        name = each.key.metric.name
        counters[name] = counters.get(name, 0) + int(each.result)
    return counters


def counts_of(options: Any, clock: Callable[[], float] = time.monotonic) -> Counts:
    """Return the counts for a run with these options.

    Args:
        options: Beam's.
        clock: seconds.
    """
    if not runs_elsewhere(options):
        return _BoardCounts()
    return _RunnerCounts(runner_name(options) in _REPORT_WHILE_RUNNING, clock)


class _BoardCounts:
    """The counts of workers that are threads of this process and count on its board."""

    tells = True

    def __call__(self) -> dict[str, int]:
        return dict(BOARD.snapshot())

    def follow(self, result: Any) -> None: ...


class _RunnerCounts:
    """The counts of workers elsewhere: the runner is asked at most every 10 s, and its last response is used in between."""

    def __init__(self, tells: bool, clock: Callable[[], float]) -> None:
        self.tells = tells
        self._clock = clock
        self._result: Any = None
        self._counts: dict[str, int] = {}
        self._asked_s = float("-inf")

    def __call__(self) -> dict[str, int]:
        if self._result is not None and self._clock() - self._asked_s >= _ASK_EVERY_S:
            self._asked_s = self._clock()
            try:
                self._counts = counters_of(self._result)
            except Exception as error:  # progress is optional: a failure here must not end the job
                _log.debug("the runner's metrics cannot be read now: %s", error)
        return self._counts

    def follow(self, result: Any) -> None:
        self._result = result
