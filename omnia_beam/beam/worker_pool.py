"""Run several processes for one run: each an in-memory pipeline of its own over its share of the plan.

The driver holds the lease and the plan, shows the progress of all, stops all, and adds up what they did. A worker that
dies is noticed; what it had not recorded stays missing in the ledger, which decides whether a run is complete.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome, progress_facts, stopping_after, stopping_on_signals
from omnia_beam.beam.progress import Limit, first_exceeded
from omnia_beam.beam.progress_display import showing_progress
from omnia_beam.beam.worker_message import STOP_ORDER, WorkerEnd, WorkerProgress, WorkerTask
from omnia_beam.core.errors import Interrupted, OmniaBeamError
from omnia_beam.core.summary import ProgressFacts
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.plan.plan import Plan

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.1

GRACE_S: Final = 8.0
"""Seconds that workers have to record what is done once they are to stop; then they are killed. A process ends its own work
within seconds of a signal, so only one that hangs is killed."""


def run_workers(
    tasks: Sequence[WorkerTask],
    plan: Plan,
    context: RunContext,
    sessions: Sequence[ServiceSession],
    deadline_s: float | None = None,
    *,
    limits: Iterable[Limit] = (),
    on_started: Callable[[Sequence[int]], None] = lambda pids: None,
) -> Outcome:
    """Run each task in a process of its own, until all have ended.

    Args:
        tasks: one for each worker.
        plan: of all of them together: what progress is measured against.
        context: the terminal.
        sessions: of this process, one for each service of the tasks, in their order: they take over the workers' counts.
        deadline_s: seconds after which no further window is begun.
        limits: limits of what the workers may find together; beyond one of them no further window is begun.
        on_started: called with the workers' process ids.

    Raises:
        Interrupted: a signal came; what was under way is recorded or abandoned.
        OmniaBeamError: the first that ended a worker; the others have stopped.
    """
    stop = context.board.stop
    stop.clear()
    pool = _Pool(len(sessions), stop, tuple(limits))

    def facts() -> ProgressFacts:
        own = [session.stats.snapshot() for session in sessions]
        return progress_facts(pool.counts(), StatsSnapshot.together([*own, *pool.traffic()]), plan)

    with (
        stopping_on_signals(stop) as signals,
        stopping_after(deadline_s, context.board),
        context.metrics.following(facts) as exported,
    ):
        try:
            with pool.started(tasks), showing_progress(context.progress, facts, context.err):
                on_started(pool.pids())
                pool.attend()
            exported.update(pool.counters())
            stopped = stop.is_set()
        finally:
            stop.clear()
            for session, traffic in zip(sessions, pool.traffic(), strict=True):
                session.stats.absorb(traffic)
    if pool.error is not None:
        pool.error.progress = facts()
        raise pool.error
    if signals.is_set():
        raise Interrupted(replace(facts(), points_read=pool.counters().get("points_read")))
    return Outcome(dict(pool.counters()), stopped, tuple(pool.lost), pool.found(), pool.exceeded)


class _Worker:
    """One worker process, the driver's end of its connection, and the last message from it."""

    def __init__(self, number: int) -> None:
        self.number = number
        ours, theirs = socket.socketpair()
        with theirs:
            # The task, which says where secrets are, goes over the socket and not into the arguments. With a session of its
            # own the worker gets no Ctrl-C from the terminal: the driver passes it on.
            command = [sys.executable, "-m", "omnia_beam.beam.worker", str(theirs.fileno())]
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self.connection = Connection(ours.detach())
        self.progress = WorkerProgress()
        self.end: WorkerEnd | None = None
        self.is_gone = False

    def tell(self, message: Any) -> None:
        """Send a message. A failure is ignored: it means that the worker has ended, which `hear` finds."""
        with suppress(OSError):
            self.connection.send(message)

    def hear(self) -> None:
        """Receive one message, or note that there will be no more."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.is_gone = True
            return
        if isinstance(message, WorkerEnd):
            self.end = message
            self.is_gone = True  # its process may still run: `close` ends it
        else:
            self.progress = message

    def close(self) -> None:
        """Close the connection and wait for the process, which is killed where it does not end by itself."""
        self.connection.close()
        if self.end is None:
            self.process.kill()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Pool:
    """The workers of one run. `error` is the first that ended a worker; `lost` says which died without a message, and how."""

    def __init__(self, services: int, stop: threading.Event, limits: tuple[Limit, ...] = ()) -> None:
        self._stop_asked = stop
        self._services = services
        self._limits = limits
        self.exceeded: str | None = None
        self._workers: list[_Worker] = []
        self._stop_by: float | None = None
        self.error: OmniaBeamError | None = None
        self.lost: list[str] = []

    @contextmanager
    def started(self, tasks: Sequence[WorkerTask]) -> Iterator[None]:
        """Start the processes, and end them when the block does."""
        try:
            # All are started before the first task is sent: sending a large task blocks until its worker reads it.
            for number in range(1, len(tasks) + 1):
                self._workers.append(_Worker(number))
            for worker, task in zip(self._workers, tasks, strict=True):
                worker.tell(task)
            yield
        finally:
            for worker in self._workers:
                worker.close()

    def attend(self) -> None:
        """Receive messages until all workers are gone; pass the order to stop on to them once it is given."""
        while listening := {each.connection: each for each in self._workers if not each.is_gone}:
            for connection in wait(list(listening), _LOOK_S):
                worker = listening[connection]  # type: ignore[index]  # they are the connections that went in
                worker.hear()
                if worker.is_gone:
                    self._note_end(worker)
            if self._limits and self.exceeded is None:
                self.exceeded = first_exceeded(self._limits, self.found())
                if self.exceeded is not None:
                    self._stop_asked.set()
            if self._stop_asked.is_set():
                self._stop(list(listening.values()))

    def pids(self) -> list[int]:
        return [each.process.pid for each in self._workers]

    def counts(self) -> Counter[str]:
        """Return the boards of all workers, added up."""
        found: Counter[str] = Counter()
        for worker in self._workers:
            found.update(worker.progress.counts)
        return found

    def counters(self) -> Counter[str]:
        """Return Beam's counters, added up. A worker that did not come to its end counts with the last state of its board."""
        found: Counter[str] = Counter()
        for worker in self._workers:
            found.update(worker.progress.counts if worker.end is None else worker.end.counters)
        return found

    def found(self) -> dict[str, dict[str, int]]:
        """Return points by finding and series, of all workers together."""
        total: dict[str, dict[str, int]] = {}
        for worker in self._workers:
            for finding, series in worker.progress.found.items():
                of = total.setdefault(finding, {})
                for series_id, points in series.items():
                    of[series_id] = of.get(series_id, 0) + points
        return total

    def traffic(self) -> list[StatsSnapshot]:
        """Return the traffic of all workers, by service."""
        received = [each.progress.traffic for each in self._workers if each.progress.traffic]
        return [StatsSnapshot.together(each[place] for each in received) for place in range(self._services)]

    def _note_end(self, worker: _Worker) -> None:
        if worker.end is None:
            code = worker.process.wait()
            how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self.lost.append(f"worker {worker.number} was {how}" if code < 0 else f"worker {worker.number} {how}")
            _log.error("%s: what it had not recorded is missing; run the same command again", self.lost[-1])
        elif worker.end.error is not None and self.error is None:
            self.error = worker.end.error
            self._stop_asked.set()

    def _stop(self, workers: Sequence[_Worker]) -> None:
        now = time.monotonic()
        if self._stop_by is None:
            self._stop_by = now + GRACE_S
            for worker in workers:
                worker.tell(STOP_ORDER)
        elif now > self._stop_by:
            for worker in workers:
                worker.process.kill()
