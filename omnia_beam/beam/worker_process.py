"""One worker of a driver: a process that runs its share of a plan.

It holds one end of a socket pair: the task comes in through it, progress goes out, and when it closes the driver is
gone; then this process ends too, at once.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Final

from omnia_beam.beam.execution import run_here
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.worker_message import STOP_ORDER, WorkerEnd, WorkerProgress, WorkerTask
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.log_lines import LOG_FACTS, log_to_stderr
from omnia_beam.core.redaction import redact
from omnia_beam.net.http.shared import reset_shared_sessions, shared_session

_REPORT_EVERY_S: Final = 0.25
_EXIT_ORPHANED: Final = 1


def work_for(descriptor: int) -> None:
    """Work for the driver at the other end of this file descriptor, to the end of its task."""
    # A terminal's Ctrl-C does not reach this process (it has a session of its own), a service manager's SIGTERM does.
    board = RunBoard()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: board.stop.set())
    driver = _Driver(Connection(descriptor), board)
    task = driver.task()
    LOG_FACTS.update(task.log_facts)
    log_to_stderr(task.log_level, task.log_format)
    threading.Thread(target=driver.listen, name="omnia-orders", daemon=True).start()
    finished = threading.Event()
    reporter = threading.Thread(target=driver.report, args=(task, finished), name="omnia-report", daemon=True)
    reporter.start()
    end = _work(task, board)
    finished.set()
    reporter.join()
    driver.tell(end)
    reset_shared_sessions()


class _Driver:
    """The connection to the driver. Two threads write to it, one reads."""

    def __init__(self, connection: Connection, board: RunBoard) -> None:
        self._board = board
        self._connection = connection
        self._lock = threading.Lock()

    def task(self) -> WorkerTask:
        try:
            task = self._connection.recv()
        except EOFError:
            os._exit(_EXIT_ORPHANED)
        if not isinstance(task, WorkerTask):
            raise TypeError(f"a worker is sent its task first, not {type(task).__name__}")
        return task

    def tell(self, message: WorkerEnd | WorkerProgress) -> None:
        with self._lock:
            try:
                self._connection.send(message)
            except OSError:
                os._exit(_EXIT_ORPHANED)

    def listen(self) -> None:
        while True:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                # Not sys.exit: other threads may hang in requests, and there is no driver left to wait for them.
                os._exit(_EXIT_ORPHANED)
            if order == STOP_ORDER:
                self._board.stop.set()

    def report(self, task: WorkerTask, finished: threading.Event) -> None:
        ended = False
        while not ended:
            ended = finished.wait(_REPORT_EVERY_S)
            traffic = tuple(shared_session(each).stats.snapshot() for each in task.services)
            self.tell(WorkerProgress(self._board.snapshot(), self._board.found(), traffic))


def _work(task: WorkerTask, board: RunBoard) -> WorkerEnd:
    try:
        return WorkerEnd(run_here(task.recipe(), task.options, board))
    except OmniaBeamError as error:
        return WorkerEnd(error=error)
    except Exception as error:  # the driver must receive any error
        logging.getLogger(__name__).error("%s", redact(traceback.format_exc()))
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return WorkerEnd(error=OmniaBeamError(redact(f"a worker failed: {what}")))
