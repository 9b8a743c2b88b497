"""Decide whether the pages of a query are its whole response: the one rule, for the client and for the pipeline.

Of each series, the points received are exactly as many as the service counts: the first total that it returns beside them
(`totalCount`, of the whole query). Points that share a time are one point if their bits are equal, and then there are exactly as
many different points, too; two different ones are refused. Every series was requested, and every time lies in the range.
Where the service returns no total (JSON, or 0 beside points), the number of points alone is left unchecked. A count of 0 without
points is a total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.series_id import id_key
from omnia_beam.core.text import counted
from omnia_beam.core.timestamps import format_time


class CountedItem(Protocol):
    """What a page holds of one series: points, the service's total (None where the format has none), some of its times."""

    @property
    def series_id(self) -> str: ...
    @property
    def n_points(self) -> int: ...
    @property
    def total_count(self) -> int | None: ...
    @property
    def edges(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class Requested:
    """What a query requests of one series.

    Attributes:
        start_ns, end_ns: `[start, end)` in ns; a bound of None is open.
        is_raw: raw points, which the service counts; false for aggregates, of which no total is known to count the intervals.
        extra: points that the response may hold beyond the total: those outside the range, where they were requested too.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    is_raw: bool = True
    extra: int = 0


class CompletenessCheck:
    """The points and totals of the pages received so far, by series (`id_key`), and the judgement on them.

    Args:
        what: the query in words, for messages.
        requested: by series; or what is requested of one series whose id is not known: the first that comes.
    """

    def __init__(self, what: str, requested: Mapping[str, Requested] | Requested) -> None:
        self.what = what
        self.points: Counter[str] = Counter()
        self.totals: dict[str, int] = {}
        self._any = requested if isinstance(requested, Requested) else None
        self._requested = {} if isinstance(requested, Requested) else {id_key(id): r for id, r in requested.items()}

    @classmethod
    def of(cls, what: str, series_ids: Iterable[str], start_ns: int, end_ns: int) -> CompletenessCheck:
        """Return the judge of raw points of several series in one range."""
        return cls(what, dict.fromkeys(series_ids, Requested(start_ns, end_ns)))

    def requested(self, series_id: str) -> Requested:
        """Return what was requested of a series.

        Raises:
            IncompleteReadError: nothing, so the response does not belong to this query.
        """
        return self._of(id_key(series_id), series_id)

    def add(self, item: CountedItem, edges: tuple[int, ...] | None = None) -> None:
        """Count an item of a page.

        Args:
            edges: its outermost times; None takes the item's own, `()` leaves the check of times to the caller.

        Raises:
            IncompleteReadError: the item is of another series or range than requested.
        """
        key = id_key(item.series_id)
        requested = self._of(key, item.series_id)
        check_times(key, requested.start_ns, requested.end_ns, item.edges if edges is None else edges)
        points, total = item.n_points, item.total_count
        self.points[key] += points
        # proto3 does not distinguish 0 from no total: 0 beside points is none.
        if requested.is_raw and total is not None and (total or not points):
            self.totals.setdefault(key, total)

    def check(self) -> None:
        """Check all series; call it after the last page.

        Raises:
            IncompleteReadError: of a series, the number of points is not the service's total.
        """
        for key in self.totals:
            self.check_count(key, self.points[key])

    def check_count(self, series_id: str, received: int) -> None:
        """Check a number of points of one series against its total, if there is one.

        Raises:
            IncompleteReadError: they differ.
        """
        expected = self.totals.get(id_key(series_id))
        if expected is None or expected <= received <= expected + self.requested(series_id).extra:
            return
        raise IncompleteReadError(
            f"{self.what}: of {series_id} the service counts {counted(expected, 'point')} but sent {received}",
            expected=expected,
            received=received,
        )

    def _of(self, key: str, series_id: str) -> Requested:
        if self._any is not None and not self._requested:
            self._requested[key] = self._any
        found = self._requested.get(key)
        if found is None:
            raise IncompleteReadError(f"{self.what}: the service sent series {series_id!r}, which was not requested")
        return found


def check_times(what: str, start_ns: int | None, end_ns: int | None, times: Iterable[int]) -> None:
    """Check times against the range `[start_ns, end_ns)`, ns since the Unix epoch; a bound of None is open.

    A query is rounded outward to what the service's times can express, and whether its end is included is unknown: a point
    between the rounded bounds, at the end too, belongs to the response.

    Args:
        what: the data that the times belong to, for the message.
        times: some of the times; the least and the greatest are enough to check all.

    Raises:
        IncompleteReadError: a time lies outside the range, so the response does not belong to this query.
    """
    least = None if start_ns is None else start_ns - start_ns % TIME_RESOLUTION_NS
    most = None if end_ns is None else end_ns + -end_ns % TIME_RESOLUTION_NS
    for time in times:
        if (least is not None and time < least) or (most is not None and time > most):
            bounds = [None if each is None else format_time(each) for each in (start_ns, end_ns)]
            asked = f"[{bounds[0] or 'the beginning'}, {bounds[1] or 'the end'})"
            raise IncompleteReadError(
                f"{what}: the service sent a point at {format_time(time)}, outside of the requested {asked}: the response is to "
                "another request"
            )


def distinct_rows(
    what: str, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], statuses: npt.NDArray[np.uint32]
) -> npt.NDArray[np.intp] | None:
    """Return the indices of the different points of one series, ascending in time; None where the points are that already.

    Args:
        what: the data, for the message.
        times, values, statuses: columns of equal length n.

    Raises:
        IncompleteReadError: two points share a time and differ, be it in one bit of the value.
    """
    if len(times) < 2 or bool((times[1:] > times[:-1]).all()):
        return None
    order = np.argsort(times, kind="stable")
    times, statuses = times[order], statuses[order]
    bits = np.ascontiguousarray(values).view(np.uint64)[order]
    repeats = np.zeros(len(times), bool)
    repeats[1:] = times[1:] == times[:-1]
    clash = repeats[1:] & ((bits[1:] != bits[:-1]) | (statuses[1:] != statuses[:-1]))
    if clash.any():
        at = int(times[1:][clash][0])
        raise IncompleteReadError(f"{what}: the service sent two different points for the time {at} ns")
    return order[~repeats]
