"""Values between the archived ones: what a point is worth at any time."""

from __future__ import annotations

import numpy as np

from omnia_beam.emulator.pi.archive import Point
from omnia_beam.emulator.pi.events import GOOD, STATE, Events, state_event

_WHOLE = ("Int16", "Int32")


def value_at(point: Point, time_ns: int) -> Events:
    """Return one value at this time: the last archived one there, or one between its neighbours.

    Between two numbers of a point that is not stepped it lies on a straight line; otherwise the earlier value holds. A
    state of the system holds until the next value, and before the first value there is the state `No Data`.
    """
    history = point.history
    index = history.locate(time_ns + 1) - 1
    if index < 0:
        return state_event(time_ns, "No Data")
    before = history.read(index, index + 1)
    if int(before.times[0]) == time_ns:
        return before
    if point.attributes.stepped or before.marks[0] & STATE or index + 1 >= history.count():
        return before.at(time_ns)
    after = history.read(index + 1, index + 2)
    if after.marks[0] & STATE:
        return before.at(time_ns)
    share = (time_ns - int(before.times[0])) / (int(after.times[0]) - int(before.times[0]))
    number = before.numbers[0] + (after.numbers[0] - before.numbers[0]) * share
    if point.attributes.point_type in _WHOLE:
        number = np.floor(number + 0.5)
    elif point.attributes.point_type != "Float64":
        number = np.float64(np.float32(number))
    marks = (before.marks | after.marks) & ~np.uint8(GOOD) | np.uint8(GOOD)
    return Events(np.array([time_ns], np.int64), np.array([number], np.float64), marks)


def snapshot(point: Point, now_ns: int) -> Events:
    """Return the current value: the last archived one that is not ahead of the clock, or `No Data`."""
    index = point.history.locate(now_ns + 1) - 1
    return point.history.read(index, index + 1) if index >= 0 else state_event(now_ns, "No Data")
