"""Export what a run has done as Prometheus metrics: over HTTP while it runs, and in a text file for node_exporter.

`RunMetrics` holds the figures and knows nothing of Prometheus. `exporting_metrics` serves and writes them where a job's key
`metrics` configures it; that needs the extra `metrics`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final

from omnia_beam.config.job import MetricsConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.summary import ProgressFacts
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.net.http.shared import shared_traffic
from omnia_beam.net.http.stats import StatsSnapshot

_log = logging.getLogger(__name__)

PREFIX: Final = "omnia_beam_"
JOB_LABEL: Final = "beam_job"

COUNTERS: Final = {
    "points_read": "Points read from the source; while a pipeline runs, those that are written or refused already.",
    "points_written": "Points that the destination holds durably.",
    "windows_done": "Windows read whole.",
    "windows_failed": "Windows that could not be read, decoded or written; the next run tries them again.",
    "dead_letters": "Points that went to the dead letters.",
    "requests": "Requests to services; those of worker processes are added when their run ends.",
    "retries": "Tries of a request after its first.",
    "throttled_seconds": "Seconds in which at least one request waited because the service asked for it.",
}
"""The counters by name, without prefix and suffix, and what each counts."""

GAUGES: Final = {
    "lag_seconds": "Seconds between now and the time up to which the copy holds everything that the source shows.",
    "last_success_timestamp_seconds": "When a run, or a cycle of a tail, last ended with nothing missing; Unix time.",
}

_OF_PIPELINES: Final = {
    "points_read": ("points_read",),
    "points_written": ("points_written",),
    "windows_done": ("windows_read",),
    "windows_failed": ("windows_failed",),
    "dead_letters": ("dead_letters", "points_rejected"),
}
"""The counters of a pipeline that each exported one adds up."""

Figures = dict[str, float]

_WRITE_EVERY_S: Final = 10.0


class RunMetrics:
    """The figures of one command on one job; thread-safe.

    Args:
        traffic: returns the requests of this process so far.
        clock: ns since the Unix epoch.
    """

    def __init__(
        self, traffic: Callable[[], StatsSnapshot] = shared_traffic, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._lock = threading.Lock()
        self._before: Figures = {}
        self._ended: Counter[str] = Counter()
        self._facts: Callable[[], ProgressFacts] | None = None
        self._complete_to_ns: int | None = None
        self._succeeded_ns: int | None = None
        self._traffic, self._clock = traffic, clock

    @contextmanager
    def following(self, facts: Callable[[], ProgressFacts]) -> Iterator[dict[str, int]]:
        """Count a pipeline that runs within the block.

        Args:
            facts: how far it is; called from any thread.

        Yields:
            an empty dictionary, to be filled with the pipeline's counters once they are known; `facts` counts at the end too.
        """
        counters: dict[str, int] = {}
        with self._lock:
            self._facts = facts
        try:
            yield counters
        finally:
            ended = _of_facts(facts())
            for name, parts in _OF_PIPELINES.items():  # the larger one, since a counter never goes down
                ended[name] = max(ended[name], sum(counters.get(each, 0) for each in parts))
            with self._lock:
                self._facts = None
                self._ended.update(ended)

    def add(self, **amounts: int) -> None:
        """Add to counters what no pipeline of this process has counted."""
        with self._lock:
            self._ended.update(amounts)

    def reached(self, complete_to_ns: int, *, whole: bool) -> None:
        """Note up to when the copy is complete, and that nothing is missing where it is `whole`."""
        with self._lock:
            self._complete_to_ns = complete_to_ns
            if whole:
                self._succeeded_ns = self._clock()

    def joined(
        self, earlier: Mapping[str, float], complete_to_ns: int | None, succeeded_ns: int | None, *, begins: bool = True
    ) -> None:
        """Take over what another run of the job has left.

        Args:
            earlier: counters; missing ones are 0.
            begins: whether the counters go on from these; otherwise they are raised to these where they are lower.
            complete_to_ns, succeeded_ns: ns since the Unix epoch; None for unknown.
        """
        now = self.counters()
        with self._lock:
            for name, value in now.items():
                more = earlier.get(name, 0) - (0 if begins else value)
                self._before[name] = self._before.get(name, 0) + max(0, more)
            self._complete_to_ns = _later(self._complete_to_ns, complete_to_ns)
            self._succeeded_ns = _later(self._succeeded_ns, succeeded_ns)

    def counters(self) -> Figures:
        """Return every counter now."""
        traffic = self._traffic()
        with self._lock:
            running = _of_facts(self._facts()) if self._facts is not None else {}
            figures = {name: self._before.get(name, 0) + self._ended[name] for name in COUNTERS}
        sent = {"requests": traffic.requests, "retries": traffic.retries, "throttled_seconds": traffic.throttled_s}
        for name, amount in {**running, **sent}.items():
            figures[name] += amount
        return figures

    def gauges(self) -> Figures:
        """Return the gauges that are known, in seconds."""
        with self._lock:
            complete_to_ns, succeeded_ns = self._complete_to_ns, self._succeeded_ns
        found: Figures = {}
        if complete_to_ns is not None:
            found["lag_seconds"] = max(0.0, (self._clock() - complete_to_ns) / NS_PER_SECOND)
        if succeeded_ns is not None:
            found["last_success_timestamp_seconds"] = succeeded_ns / NS_PER_SECOND
        return found


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _of_facts(facts: ProgressFacts) -> dict[str, int]:
    return {
        "points_read": facts.points + facts.dead_letters,
        "points_written": facts.points,
        "windows_done": facts.windows,
        "windows_failed": facts.failed,
        "dead_letters": facts.dead_letters,
    }


@contextmanager
def exporting_metrics(
    config: MetricsConfig | None, job: str, warn: Callable[[str], None] = _log.warning, **parts: Any
) -> Iterator[RunMetrics]:
    """Serve and write the metrics of a job while the block runs, and write them once more at its end, however it ends.

    Args:
        config: where to; None for nowhere.
        job: its name, the value of the label.
        warn: called with a message where a port is busy or a file cannot be read or written; neither ends a run.
        parts: `traffic` and `clock` of `RunMetrics`.

    Raises:
        UsageError: the extra `metrics` is not installed.
    """
    if config is None:
        yield RunMetrics(**parts)
        return
    if find_spec("prometheus_client") is None:
        raise UsageError("metrics: needs the module prometheus_client: pip install 'omnia-beam[metrics]'")
    file = None if config.textfile is None else _TextFile(config.textfile.replace("{name}", job), job, warn)
    metrics = RunMetrics(**parts)
    registry = _registry(metrics, job)
    with ExitStack() as stack:
        if config.port is not None:
            stack.enter_context(_served(registry, config.host, config.port, warn))
        if file is not None:
            stack.enter_context(file.kept_fresh(metrics, registry))
        yield metrics


def _registry(metrics: RunMetrics, job: str) -> Any:
    """Return a registry of prometheus_client that asks for the figures whenever it is read."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    class Collector:
        """A collector without state. Families made here have no `_created` series."""

        def collect(self) -> Iterator[Any]:
            for kind, texts, figures in (
                (CounterMetricFamily, COUNTERS, metrics.counters()),
                (GaugeMetricFamily, GAUGES, metrics.gauges()),
            ):
                for name, value in figures.items():
                    family = kind(PREFIX + name, texts[name], labels=[JOB_LABEL])
                    family.add_metric([job], value)
                    yield family

    registry = CollectorRegistry()
    registry.register(Collector())
    return registry


@contextmanager
def _served(registry: Any, host: str, port: int, warn: Callable[[str], None]) -> Iterator[None]:
    """Serve the metrics over HTTP while the block runs; a port that cannot be used is a warning."""
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        warn(f"metrics.port: {host}:{port} cannot be used, and nothing is served: {error.strerror or error}")
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class _TextFile:
    """The text file of one job, for node_exporter's textfile collector."""

    path: str
    job: str
    warn: Callable[[str], None]
    is_ours: bool = field(default=True, init=False)
    failed: bool = field(default=False, init=False)
    seen: tuple[int, int] | None = field(default=None, init=False)
    """Number and time of change of the file as this process has last read or written it."""

    @contextmanager
    def kept_fresh(self, metrics: RunMetrics, registry: Any) -> Iterator[None]:
        """Write the file every 10 s while the block runs, on a thread of its own, and at the end."""
        self._join(metrics, begins=True)
        done = threading.Event()

        def write_on() -> None:
            while not done.wait(_WRITE_EVERY_S):
                self._write(metrics, registry)

        thread = threading.Thread(target=write_on, name="omnia-metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._write(metrics, registry)

    def _join(self, metrics: RunMetrics, *, begins: bool = False) -> None:
        """Take over what the file holds, unless this process has written it.

        An earlier run has left it, or one that goes on at this moment: then that one has the lease, and this one soon ends.
        Counters must not go down in between, for Prometheus would take that for a new start from 0.
        """
        from prometheus_client.parser import text_string_to_metric_families

        try:
            with open(self.path, encoding="utf-8") as file:
                status = os.fstat(file.fileno())
                if self.seen == (status.st_ino, status.st_mtime_ns):
                    return
                self.seen = (status.st_ino, status.st_mtime_ns)
                samples = [each for family in text_string_to_metric_families(file.read()) for each in family.samples]
            others = [each for each in samples if not self._is_own(each)]
            held = {each.name.removeprefix(PREFIX): float(each.value) for each in samples if each.value >= 0}
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self.warn(f"metrics.textfile: {self.path} cannot be read, and the counters start at 0: {_reason(error)}")
            return
        self.is_ours = not others
        if others:
            whose = others[0].labels.get(JOB_LABEL, others[0].name)
            self.warn(
                f"metrics.textfile: {self.path} holds metrics of {whose!r} and is not overwritten: give each job a file of its "
                "own, such as …/{name}.prom"
            )
            return
        lag_s, succeeded_s = held.get("lag_seconds"), held.get("last_success_timestamp_seconds")
        metrics.joined(
            {name: held.get(f"{name}_total", 0.0) for name in COUNTERS},
            None if lag_s is None else status.st_mtime_ns - int(lag_s * NS_PER_SECOND),
            None if succeeded_s is None else int(succeeded_s * NS_PER_SECOND),
            begins=begins,
        )

    def _write(self, metrics: RunMetrics, registry: Any) -> None:
        from prometheus_client import generate_latest

        self._join(metrics)
        if not self.is_ours:
            return
        part = f"{self.path}.{os.getpid()}.part"  # node_exporter reads names that end in .prom, and no others
        try:
            with open(part, "wb") as file:
                file.write(generate_latest(registry))
                file.flush()
                status = os.fstat(file.fileno())
            os.replace(part, self.path)
            self.seen, self.failed = (status.st_ino, status.st_mtime_ns), False
        except OSError as error:
            with suppress(OSError):
                os.remove(part)
            if not self.failed:
                self.warn(f"metrics.textfile: {self.path} cannot be written: {_reason(error)}")
            self.failed = True

    def _is_own(self, sample: Any) -> bool:
        return bool(sample.name.startswith(PREFIX) and sample.labels == {JOB_LABEL: self.job})


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
