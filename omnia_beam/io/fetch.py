"""The splittable DoFn that fetches planned windows from a service, whatever the service is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.metrics import Metrics

from omnia_beam.beam.counters import TrafficCounters
from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.window import Window
from omnia_beam.io.window_reader import WindowReader
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.plan.plan import WindowShard


class WindowProvider(beam.transforms.core.RestrictionProvider):
    """Restrictions count windows of the shard: integers that a runner may split exactly, which nanoseconds are not."""

    def initial_restriction(self, element: WindowShard) -> OffsetRange:
        return OffsetRange(0, len(element.windows))

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: WindowShard, restriction: OffsetRange) -> int:
        return sum(max(1, w.expected_points) for w in element.windows[restriction.start : restriction.stop])


class FetchShards(beam.DoFn):
    """Windows to chunks: WindowShard to whatever the reader makes. The session is the process's; the pool of threads is this
    instance's.

    Args:
        service: which service, whose credential, how fast.
        failures_tag: output of windows that cannot be read (WindowFailure); None to raise at the first.
        board: of the run.
        session_of: returns the session.
        keep_trying: every window that cannot be read is a failure, also where the service is down or refuses the credential.
    """

    def __init__(
        self,
        service: ServiceSettings,
        failures_tag: str | None,
        board: RunBoard,
        session_of: Callable[[ServiceSettings], ServiceSession] = shared_session,
        *,
        keep_trying: bool = False,
    ) -> None:
        self._board = board
        self._keep_trying = keep_trying
        self._service = service
        self._failures_tag = failures_tag
        self._session_of = session_of
        self._traffic = TrafficCounters(service)
        self._windows_read = Metrics.counter("omnia_beam", "windows_read")
        self._windows_failed = Metrics.counter("omnia_beam", "windows_failed")

    @property
    def service(self) -> ServiceSettings:
        """The service, with this worker's part of the budget."""
        return self._service

    @abstractmethod
    def _reader(self, shard: Any, session: ServiceSession, pool: Executor) -> WindowReader[Any, Any]:
        """Return the reader of the windows of one shard."""

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._service.threads, thread_name_prefix="omnia-fetch")

    def finish_bundle(self) -> None:
        self._traffic.count()

    def teardown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def process(
        self,
        shard: WindowShard,
        tracker: Any = beam.DoFn.RestrictionParam(WindowProvider()),  # noqa: B008 - Beam's form
    ) -> Iterator[Any]:
        with self._board.noting_fatal():
            yield from self._outcomes(shard, tracker)

    def _outcomes(self, shard: WindowShard, tracker: Any) -> Iterator[Any]:
        restriction = tracker.current_restriction()
        windows = ((i, shard.windows[i]) for i in range(restriction.start, restriction.stop))
        current = restriction.start

        def claim(index: int) -> bool:
            nonlocal current
            current = index
            # Windows that were fetched ahead are no more claimed than others once the driver wants to stop.
            return not self._board.stop.is_set() and bool(tracker.try_claim(index))

        reader = self._reader(shard, self._session_of(self._service), self._pool)
        for outcome in reader.read(_until_stopped(windows, self._board), claim):
            if isinstance(outcome, WindowFailure):
                self._windows_failed.inc()
                self._board.add(windows_failed=1)
                if self._failures_tag is None:
                    raise IncompleteReadError(f"{outcome.key}: {outcome.error}: {outcome.message}")
                yield beam.pvalue.TaggedOutput(self._failures_tag, outcome)
                continue
            is_last = outcome.key.range.end_ns == shard.windows[current].key.range.end_ns
            yield outcome
            del outcome  # its pages would stay in memory while the next are waited for
            if is_last:
                self._windows_read.inc()
                self._traffic.count()
                self._board.add(windows_read=1)
        if self._board.stop.is_set():
            # Windows not read stay out of the ledger; claiming them tells the runner that this element is done with.
            tracker.try_claim(restriction.stop)


def queries_ahead(service: ServiceSettings) -> int:
    """Return how many queries are under way or waiting to be taken: the requests in flight and half as many more."""
    return service.max_in_flight + (service.max_in_flight + 1) // 2


def retry_for_s(service: ServiceSettings) -> float:
    """Return seconds that no number of pages can rightly take; a guard against a pool that died, not a time-out."""
    return 100 * (service.retry.deadline_s + service.read_timeout_s)


def _until_stopped(windows: Iterable[tuple[int, Window]], board: RunBoard) -> Iterator[tuple[int, Window]]:
    for each in windows:
        if board.stop.is_set():
            return
        yield each
