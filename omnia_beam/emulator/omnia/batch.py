"""The points of a write, read from its JSON and refused as the service would."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from omnia_beam.core.limits import GOOD, MAX_STATUS
from omnia_beam.emulator.common.points import Points, Statuses, Values, as_points, no_points
from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.common.timetext import TICK_NS, parse_times

_NUMBERS: Final = {int, float}
_NONE: Final = type(None)


def read_datapoints(content: Any) -> Points:
    """Return the points of a `datapoints` list in its order; times are cut to 100 ns, a missing status becomes good.

    Refuses with 400 what is not a list, and a point that lacks its time or value or has one of the wrong kind: a value
    must be a finite number.
    """
    if not isinstance(content, list):
        raise Refusal(400, "The request has no list 'datapoints'.")
    if not content:
        return no_points()
    try:
        times = [point["time"] for point in content]
        values = [point["value"] for point in content]
        statuses = [point.get("status") for point in content]
    except (TypeError, KeyError, AttributeError):
        raise Refusal(400, "A datapoint lacks its 'time' or 'value'.") from None
    return as_points(_times(times), _values(values), _statuses(statuses))


def _times(times: list[Any]) -> Any:
    if set(map(type, times)) != {str}:
        raise Refusal(400, "The time of a datapoint is not a date-time in RFC 3339.")
    try:
        return parse_times(times, TICK_NS)
    except ValueError as error:
        raise Refusal(400, f"The time of a datapoint is {error}.") from None


def _values(values: list[Any]) -> Values:
    if not set(map(type, values)) <= _NUMBERS:
        raise Refusal(400, "The value of a datapoint is not a number.")
    try:
        column = np.array(values, dtype=np.float64)
    except OverflowError:
        raise Refusal(400, "The value of a datapoint is beyond a double.") from None
    if not np.isfinite(column).all():
        raise Refusal(400, "The value of a datapoint is beyond a double.")
    return column


def _statuses(statuses: list[Any]) -> Statuses | int:
    kinds = set(map(type, statuses))
    if kinds == {_NONE}:
        return GOOD
    if not kinds <= {int, _NONE}:
        raise Refusal(400, "The status of a datapoint is not a whole number.")
    try:
        column = np.array([GOOD if status is None else status for status in statuses], dtype=np.int64)
    except OverflowError:
        raise Refusal(400, "The status of a datapoint is out of range.") from None
    if column.min() < 0 or column.max() > MAX_STATUS:
        raise Refusal(400, "The status of a datapoint is out of range.")
    return column.astype(np.uint32)
