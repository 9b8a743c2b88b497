"""A run in a fork of this process: it can be killed or suspended within milliseconds, as a real one after seconds."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

from apache_beam.utils import thread_pool_executor

_LOOK_EVERY_S = 0.01


class Forked:
    """Runs a function in a fork; `with` makes sure of its end."""

    def __init__(self, work: Callable[[], object]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: the child starts its own
            self.pid = os.fork()
        if self.pid == 0:
            _be_the_child(work)
        self._over = False

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *args: object) -> None:
        self.kill()

    def wait(self, seconds: float) -> bool:
        """Whether it came to its end within so many seconds."""
        until = time.monotonic() + seconds
        while not self._over:
            self._over = os.waitpid(self.pid, os.WNOHANG)[0] != 0
            if self._over or time.monotonic() >= until:
                break
            time.sleep(_LOOK_EVERY_S)
        return self._over

    def signal(self, number: int) -> None:
        if not self._over:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        while not self.wait(1):
            pass


def _be_the_child(work: Callable[[], object]) -> None:
    code = 70
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        # Its idle threads did not come along.
        fresh = type(thread_pool_executor.shared_unbounded_instance())()
        thread_pool_executor._SHARED_UNBOUNDED_THREAD_POOL_EXECUTOR = fresh
        with suppress(Exception):
            work()
            code = 0
    finally:
        os._exit(code)
