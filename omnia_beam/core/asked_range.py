"""Check that the times in a response lie in the range that the query requested.

A query is rounded outward to what the service's times can express, and whether its end is included is unknown: a point
between the rounded bounds, at the end too, belongs to the response. A point beyond them shows that the response belongs
to another query.
"""

from __future__ import annotations

from collections.abc import Iterable

from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.timestamps import format_time


def check_times(what: str, start_ns: int | None, end_ns: int | None, times: Iterable[int]) -> None:
    """Check times against the range `[start_ns, end_ns)`, ns since the Unix epoch; a bound of None is open.

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
                f"{what}: the service sent a point at {format_time(time)}, and was asked for {asked}: an answer to another question"
            )
