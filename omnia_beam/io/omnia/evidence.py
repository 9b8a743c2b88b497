"""Decide whether a series that a response does not name has no points, or was left out.

Whether the service names series without points is unknown, and a gateway's empty body reads like a response without series.
So a missing series is no evidence where points are expected: a query whose response names no series is sent again, and then
the service is asked, in another request, for its count of those series alone. Once the service has named an empty series, it
is expected to name them always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.plan.counting import Count, inner

_AGAIN: Final = 1
"""How often a query whose response names no series is sent again before the count is requested."""

_AGAIN_UNCOUNTED: Final = 2
"""How often such a query is sent again where no count can be requested."""

_AGAIN_OF_NAMERS: Final = 8
"""How often such a query is sent again where the service names empty series, so that the response is almost surely damaged."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What a response leaves open.

    Args:
        requested: the series of the query.
        silent: those that the response does not name.
        expected: whether the plan counted points of the query's series.
        recorded: series that held points when they were read before.
    """

    requested: tuple[str, ...]
    silent: frozenset[str]
    expected: bool
    recorded: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        """Whether the response names no series at all."""
        return len(self.silent) == len(self.requested)

    @property
    def concerns_recorded(self) -> bool:
        """Whether a series that held points is among the silent ones."""
        return not self.silent.isdisjoint(self.recorded)


class Witness:
    """Decides doubts by the service's behaviour so far and by its count; safe to use from many threads.

    Args:
        count: see `Count`; None where the service cannot count.
    """

    def __init__(self, count: Count | None) -> None:
        self._count = count
        # Keyed by whether one series is requested or many, which are two endpoints. Any thread may add; nothing is removed.
        self._names_the_empty: set[bool] = set()
        self._leaves_out_the_empty: set[bool] = set()

    def names_the_empty(self, requested: tuple[str, ...]) -> None:
        """Note that a response named a series without points."""
        self._names_the_empty.add(_alone(requested))

    def times_to_request_again(self, doubt: Contradiction) -> int:
        """Return how often to send a query again whose response leaves this open."""
        if not doubt.silent or not doubt.is_nothing:  # for some of many series the count decides, and costs less
            return 0
        if _alone(doubt.requested) in self._names_the_empty:
            return _AGAIN_OF_NAMERS
        if not self._matters(doubt):
            return 0
        return _AGAIN_UNCOUNTED if self._count is None else _AGAIN

    def counted_nothing(self, doubt: Contradiction, query: TimeRange) -> set[str]:
        """Request the count of silent series, where it matters, and return those that the service says have no points.

        Raises:
            IncompleteReadError: it counts points of a silent series, or leaves one out although it names empty series.
        """
        is_namer = _alone(doubt.requested) in self._names_the_empty
        if self._count is None or not doubt.silent or not (self._matters(doubt) or (is_namer and doubt.expected)):
            return set()
        silent = tuple(sorted(doubt.silent))
        counts = self._count(silent, query)
        for series_id, points in counts.items():
            if points:
                raise IncompleteReadError(
                    f"the service counts {counted(points, 'point')} of {series_id} and sent none",
                    expected=points,
                    received=0,
                )
        unnamed = [series_id for series_id in silent if series_id not in counts]
        if unnamed and is_namer and _alone(silent) in self._names_the_empty:
            raise IncompleteReadError(f"the service names {unnamed[0]} no more, neither with points nor without")
        if unnamed:
            self._leaves_out_the_empty.add(_alone(doubt.requested))
        return set(counts)

    def counted(self, series_ids: tuple[str, ...], requested: TimeRange) -> int:
        """Return the number of points that the service counts well inside a range, of all series; 0 where it cannot count."""
        inside = inner(requested)
        if self._count is None or not inside:
            return 0
        return sum(self._count(series_ids, inside).values())

    def _matters(self, doubt: Contradiction) -> bool:
        if doubt.concerns_recorded:
            return True
        if not doubt.expected:
            return False
        # For some of many series, a missing name means little once the service has left out empty ones: then the run's sum decides.
        return doubt.is_nothing or _alone(doubt.requested) not in self._leaves_out_the_empty


def _alone(series_ids: tuple[str, ...]) -> bool:
    return len(series_ids) == 1
