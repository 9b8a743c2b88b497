"""How far this process is: plain counters that DoFns add to and a driver's thread reads.

Beam's own metrics can be read only when a local pipeline has ended, which is too late for a progress bar; the final report
takes them, and clusters have nothing else.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from omnia_beam.core.errors import OmniaBeamError


class ProgressBoard:
    """Named counters, safe for threads; one board a process (`BOARD`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._fatal: OmniaBeamError | None = None

    def add(self, **amounts: int) -> None:
        """Add to each named counter."""
        with self._lock:
            self._counts.update(amounts)

    def snapshot(self) -> dict[str, int]:
        """All counters as they are now."""
        with self._lock:
            return dict(self._counts)

    @property
    def fatal(self) -> OmniaBeamError | None:
        """The first error that ended a bundle in this process: runners hand the driver only its text."""
        return self._fatal

    @contextmanager
    def noting_fatal(self) -> Iterator[None]:
        """Remember an error of ours that leaves the block, and let it go on."""
        try:
            yield
        except OmniaBeamError as error:
            with self._lock:
                self._fatal = self._fatal or error
            raise

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
            self._fatal = None


BOARD = ProgressBoard()
"""This process's board: windows_read, windows_failed, points_written."""

STOP = threading.Event()
"""Set by the driver (a signal, a deadline): the source claims no further window of this process."""
