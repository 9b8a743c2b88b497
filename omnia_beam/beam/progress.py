"""Count this process's progress: plain counters that DoFns add to and a driver's thread reads.

Beam's own metrics can be read only when a local pipeline has ended, which is too late for a progress bar; the final report
uses them, and clusters have nothing else.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.printable import counted


@dataclass(frozen=True, slots=True)
class Limit:
    """The number of points to which findings may apply before the run stops.

    Args:
        covers: returns whether a finding, by its name, about a series, by its id, is counted.
        at_most: most points of all those series together.
        words: the finding in words, for the message.
    """

    covers: Callable[[str, str], bool]
    at_most: int
    words: str


def first_exceeded(limits: Iterable[Limit], found: Mapping[str, Mapping[str, int]]) -> str | None:
    """Return the message for the first limit that is exceeded; None where none is.

    Args:
        found: points by finding and series.
    """
    for each in limits:
        total = sum(n for name, series in found.items() for of, n in series.items() if each.covers(name, of))
        if total > each.at_most:
            return f"{each.words}: at most {counted(each.at_most, 'point')} accepted, {total:,} found"
    return None


class ProgressBoard:
    """Named counters, safe for threads; each process has one board (`BOARD`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._found: Counter[tuple[str, str]] = Counter()
        self._limits: tuple[Limit, ...] = ()
        self._exceeded: str | None = None
        self._fatal: OmniaBeamError | None = None

    def add(self, **amounts: int) -> None:
        """Add to each named counter."""
        with self._lock:
            self._counts.update(amounts)

    def snapshot(self) -> dict[str, int]:
        """Return the current values of all counters."""
        with self._lock:
            return dict(self._counts)

    def limit(self, limits: Iterable[Limit]) -> None:
        """Set limits, so that the source stops (`STOP`) once more is found than one of them allows."""
        with self._lock:
            self._limits = tuple(limits)

    def note_found(self, finding: str, series_id: str, points: int) -> None:
        """Count points of a series to which a finding applies, by the finding's name."""
        if not points:
            return
        with self._lock:
            self._found[finding, series_id] += points
            if self._exceeded is None and any(each.covers(finding, series_id) for each in self._limits):
                self._exceeded = first_exceeded(self._limits, self._by_finding())
                if self._exceeded is not None:
                    STOP.set()

    def found(self) -> dict[str, dict[str, int]]:
        """Return the number of points by finding and series."""
        with self._lock:
            return self._by_finding()

    def _by_finding(self) -> dict[str, dict[str, int]]:
        counted: dict[str, dict[str, int]] = {}
        for (finding, series_id), points in sorted(self._found.items()):
            counted.setdefault(finding, {})[series_id] = points
        return counted

    @property
    def exceeded(self) -> str | None:
        """Message for the first limit that was exceeded; None while there is none."""
        return self._exceeded

    @property
    def fatal(self) -> OmniaBeamError | None:
        """The first error that ended a bundle in this process, because runners pass only its text to the driver."""
        return self._fatal

    @contextmanager
    def noting_fatal(self) -> Iterator[None]:
        """Remember an error of this package that leaves the block, and raise it again."""
        try:
            yield
        except OmniaBeamError as error:
            with self._lock:
                self._fatal = self._fatal or error
            raise

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
            self._found.clear()
            self._limits = ()
            self._exceeded = None
            self._fatal = None


BOARD = ProgressBoard()
"""The board of this process, with the counters windows_read, windows_failed and points_written."""

STOP = threading.Event()
"""Set by the driver (a signal, a deadline), after which the source claims no further window of this process."""
