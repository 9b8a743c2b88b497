"""Counts of what a pipeline has done so far and in the end: from this process's board, or from the runner's metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from omnia_beam.beam.cluster import runs_elsewhere
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.runner import runner_name
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.net.http.stats import StatsSnapshot

_log = logging.getLogger(__name__)
_NAMESPACE: Final = "omnia_beam"
_TRAFFIC: Final = ("requests", "retries", "bytes_read", "throttled_ms")
_READ_EVERY_S: Final = 10.0
_REPORT_WHILE_RUNNING: Final = {"dataflowrunner"}
"""Runners whose metrics change while a job runs; those of Flink and the local job service arrive at its end."""


class Counts(Protocol):
    """Counts by name while a pipeline runs."""

    reports: bool
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


class TrafficCounters:
    """Beam's counters of the requests of one service: what its session of this process has sent since it was last counted.

    The workers of a cluster have no other way to report it. However many DoFns of a process share a session, each request is
    counted once; where workers are threads of the driver's process these counters are not used.

    Args:
        service: whose session.
    """

    def __init__(self, service: ServiceSettings) -> None:
        from apache_beam.metrics import Metrics

        self._service = service
        self._counters = {name: Metrics.counter(_NAMESPACE, name) for name in _TRAFFIC}

    def count(self) -> None:
        """Add what the session has sent since the last call for it, by whichever DoFn; call it within a bundle."""
        new = shared_session(self._service).stats.uncounted()
        amounts = (new.requests, new.retries, new.bytes_read, round(new.throttled_s * 1_000))
        for name, amount in zip(_TRAFFIC, amounts, strict=True):
            if amount:
                self._counters[name].inc(amount)


def traffic_of(counters: Mapping[str, int]) -> StatsSnapshot:
    """Return the traffic that workers have counted; seconds of all workers add up."""
    requests, retries, bytes_read, throttled_ms = (counters.get(name, 0) for name in _TRAFFIC)
    return StatsSnapshot(requests=requests, retries=retries, bytes_read=bytes_read, throttled_s=throttled_ms / 1_000)


def counts_of(options: Any, board: RunBoard, clock: Callable[[], float] = time.monotonic) -> Counts:
    """Return the counts for a run with these options.

    Args:
        options: Beam's.
        board: of the run.
        clock: seconds.
    """
    if not runs_elsewhere(options):
        return _BoardCounts(board)
    return _RunnerCounts(runner_name(options) in _REPORT_WHILE_RUNNING, clock)


class _BoardCounts:
    """The counts of workers that are threads of this process and count on the run's board."""

    reports = True

    def __init__(self, board: RunBoard) -> None:
        self._board = board

    def __call__(self) -> dict[str, int]:
        return self._board.snapshot()

    def follow(self, result: Any) -> None: ...


class _RunnerCounts:
    """The counts of workers elsewhere: the runner is asked at most every 10 s, and its last response is used in between."""

    def __init__(self, reports: bool, clock: Callable[[], float]) -> None:
        self.reports = reports
        self._clock = clock
        self._result: Any = None
        self._counts: dict[str, int] = {}
        self._requested_s = float("-inf")

    def __call__(self) -> dict[str, int]:
        if self._result is not None and self._clock() - self._requested_s >= _READ_EVERY_S:
            self._requested_s = self._clock()
            try:
                self._counts = counters_of(self._result)
            except Exception as error:  # progress is optional: a failure here must not end the job
                _log.debug("the runner's metrics cannot be read now: %s", error)
        return self._counts

    def follow(self, result: Any) -> None:
        self._result = result
