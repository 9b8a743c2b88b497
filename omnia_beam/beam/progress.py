"""Count a run's progress in this process: plain counters that DoFns add to and a driver's thread reads.

Beam's own metrics can be read only when a local pipeline has ended, which is too late for a progress bar; the final report
uses them, and clusters have nothing else.

Each run has a board of its own, so that runs of one process share neither counters nor findings, limits, errors or the order to
stop. DoFns are pickled even by the local runner: a board pickles as its id, and is looked up among the boards of the process that
unpickles it.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.text import counted


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


class RunBoard:
    """The counters, findings and errors of one run in this process, and its order to stop; thread-safe.

    It exists as long as something holds it: the driver's context, or the DoFns of a worker. What unpickles it in the same process
    gets the same board; in another process, that process's board of the run.

    Attributes:
        id: the same in all processes of the run.
        stop: set by the driver (a signal, a deadline, a lost lease), after which the source claims no further window in this
            process.

    Examples:
        >>> import pickle
        >>> board = RunBoard()
        >>> pickle.loads(pickle.dumps(board)) is board
        True
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.id = uuid.uuid4().hex if run_id is None else run_id
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._found: Counter[tuple[str, str]] = Counter()
        self._limits: tuple[Limit, ...] = ()
        self._exceeded: str | None = None
        self._fatal: OmniaBeamError | None = None
        with _boards_lock:
            _boards[self.id] = self

    def __reduce__(self) -> tuple[Callable[[str], RunBoard], tuple[str]]:
        return _board_here, (self.id,)

    def begin(self, limits: Iterable[Limit] = ()) -> None:
        """Forget everything, so that the next pipeline of the run counts from 0, and set what it may find."""
        with self._lock:
            self._counts.clear()
            self._found.clear()
            self._limits = tuple(limits)
            self._exceeded = None
            self._fatal = None
        self.stop.clear()

    def add(self, **amounts: int) -> None:
        """Add to each named counter."""
        with self._lock:
            self._counts.update(amounts)

    def add_decoding(self, seconds: float) -> None:
        """Count time that was spent on decoding; the source's time includes it."""
        self.add(decode_us=round(seconds * 1e6))

    def snapshot(self) -> dict[str, int]:
        """Return the current values of all counters."""
        with self._lock:
            return dict(self._counts)

    def note_found(self, finding: str, series_id: str, points: int) -> None:
        """Count points of a series to which a finding applies, by the finding's name."""
        if not points:
            return
        with self._lock:
            self._found[finding, series_id] += points
            if self._exceeded is None and any(each.covers(finding, series_id) for each in self._limits):
                self._exceeded = first_exceeded(self._limits, self._by_finding())
                if self._exceeded is not None:
                    self.stop.set()

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
        """The first error that ended a bundle of the run in this process, because runners pass only its text to the driver."""
        return self._fatal

    def noting_fatal(self) -> AbstractContextManager[None]:
        """Remember an error of this package that leaves the block, and raise it again."""
        return self.noting_fatal_but()

    @contextmanager
    def noting_fatal_but(self, *kinds: type[OmniaBeamError]) -> Iterator[None]:
        """Remember an error of this package that leaves the block, except for kinds that end no run, and raise it again."""
        try:
            yield
        except OmniaBeamError as error:
            if not isinstance(error, kinds):
                with self._lock:
                    self._fatal = self._fatal or error
            raise


_boards_lock: Final = threading.RLock()
_boards: Final[WeakValueDictionary[str, RunBoard]] = WeakValueDictionary()
_of_pipelines: Final[WeakKeyDictionary[Any, RunBoard]] = WeakKeyDictionary()


def _board_here(run_id: str) -> RunBoard:
    """Return this process's board of a run; the first call makes it."""
    with _boards_lock:
        return _boards.get(run_id) or RunBoard(run_id)


def put_board(pipeline: Any, board: RunBoard) -> None:
    """Let the transforms that are put on a pipeline of Beam count on a board."""
    with _boards_lock:
        _of_pipelines[pipeline] = board


def board_of(values: Any) -> RunBoard:
    """Return the board of the pipeline that a collection, or a pipeline's begin, belongs to.

    A pipeline that no run of this package has built gets a board of its own.
    """
    with _boards_lock:
        pipeline = values.pipeline
        return _of_pipelines.get(pipeline) or _of_pipelines.setdefault(pipeline, RunBoard())
