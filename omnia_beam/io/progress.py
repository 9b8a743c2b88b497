"""How far this process is: plain counters that DoFns add to and a driver's thread reads.

Beam's own metrics can be read only when a local pipeline has ended, which is too late for a progress bar; the final report
takes them, and clusters have nothing else.
"""

from __future__ import annotations

import threading
from collections import Counter


class ProgressBoard:
    """Named counters, safe for threads; one board a process (`BOARD`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        """Add to each named counter."""
        with self._lock:
            self._counts.update(amounts)

    def snapshot(self) -> dict[str, int]:
        """All counters as they are now."""
        with self._lock:
            return dict(self._counts)

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()


BOARD = ProgressBoard()
"""This process's board: windows, points_read, points_written, chunks."""

STOP = threading.Event()
"""Set by the driver (a signal, a deadline): the source claims no further window of this process."""
