"""Conversion to `desiredUnits`, for the units that the emulator knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.pi.archive import NUMBER_TYPES, Point
from omnia_beam.emulator.pi.events import STATE, Events

_KNOWN: Final[dict[str, tuple[str, float, float]]] = {
    # unit: what it measures, factor and offset to the unit of that quantity
    "Pa": ("pressure", 1.0, 0.0),
    "kPa": ("pressure", 1e3, 0.0),
    "bar": ("pressure", 1e5, 0.0),
    "psi": ("pressure", 6894.757293168, 0.0),
    "K": ("temperature", 1.0, 0.0),
    "degC": ("temperature", 1.0, 273.15),
    "degF": ("temperature", 5 / 9, 459.67 * 5 / 9),
    "m3/s": ("flow", 1.0, 0.0),
    "m3/h": ("flow", 1 / 3600, 0.0),
}


def converted(point: Point, events: Events, wanted: str) -> tuple[Events, Point]:
    """Return the values in the wanted unit, and the point as it is shown with that unit.

    System states stay. Refuses with 400 a unit that is unknown or measures something else.
    """
    attributes = point.attributes
    if wanted.casefold() == attributes.units.casefold():
        return events, point
    source, target = _KNOWN.get(attributes.units), _KNOWN.get(wanted)
    if target is None or source is None or source[0] != target[0] or attributes.point_type not in NUMBER_TYPES:
        raise Refusal(400, f"The value in '{attributes.units}' cannot be converted to the unit of measure '{wanted}'.")
    numbers = (events.numbers * source[1] + source[2] - target[2]) / target[1]
    numbers = np.where(events.marks & STATE, events.numbers, numbers)
    shown = replace(attributes, units=wanted, point_type="Float64")
    return replace(events, numbers=numbers), Point(point.number, shown, point.history)
