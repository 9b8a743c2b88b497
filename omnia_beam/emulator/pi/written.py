"""The values of a write, each read from its JSON or refused as the archive would."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final

import numpy as np

from omnia_beam.emulator.common.timetext import NS_PER_SECOND
from omnia_beam.emulator.pi.archive import Archive, Point
from omnia_beam.emulator.pi.events import ANNOTATED, GOOD, QUESTIONABLE, STATE, STATE_CODES, SUBSTITUTED, Events
from omnia_beam.emulator.pi.settings import Rounding
from omnia_beam.emulator.pi.times import archived, read_time

FUTURE_NS: Final = 600 * NS_PER_SECOND
"""How far ahead of the clock a value of an ordinary point may be: ten minutes."""

_RANGES: Final = {"Int16": (-(2**15), 2**15 - 1), "Int32": (-(2**31), 2**31 - 1)}


class Unwritable(Exception):
    """A value that the archive refuses; the message is the one of its substatus."""


@dataclass(frozen=True, slots=True)
class Context:
    """What reading a value needs beside the value."""

    archive: Archive
    point: Point
    now_ns: int
    zone: tzinfo
    rounding: Rounding


def read_values(items: list[Any], context: Context) -> tuple[Events, list[int], dict[int, str]]:
    """Return the values that can be stored, the place of each in the list, and the message of every other by its place."""
    rows: list[tuple[int, float, int, str | None]] = []
    places: list[int] = []
    refused: dict[int, str] = {}
    for place, item in enumerate(items):
        try:
            rows.append(_read(item, context))
        except Unwritable as error:
            refused[place] = str(error)
        else:
            places.append(place)
    texts = np.array([row[3] for row in rows], dtype=object)
    events = Events(
        archived(np.array([row[0] for row in rows], dtype=np.int64), context.rounding),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.uint8),
        texts if any(text is not None for text in texts) else None,
    )
    return events, places, refused


def _read(item: Any, context: Context) -> tuple[int, float, int, str | None]:
    if not isinstance(item, dict):
        raise Unwritable("The value is not an object.")
    given = {str(name).lower(): value for name, value in item.items()}
    time_ns = _time(given.get("timestamp"), context)
    number, state, text = _value(given.get("value"), context)
    marks = STATE if state else GOOD
    if given.get("good") is False and not state:
        # The archive has no bad value beside the states of the system.
        number, marks, text = float(STATE_CODES["bad"]), STATE, None
    for name, bit in (("questionable", QUESTIONABLE), ("substituted", SUBSTITUTED), ("annotated", ANNOTATED)):
        if given.get(name) is True:
            marks |= bit
    return time_ns, number, marks, text


def _time(given: Any, context: Context) -> int:
    if given is None:
        time_ns = context.now_ns
    elif isinstance(given, str):
        try:
            time_ns = read_time(given, context.now_ns, context.zone)
        except ValueError as error:
            raise Unwritable(str(error)) from None
    else:
        raise Unwritable("The 'Timestamp' is not a text.")
    if time_ns > context.now_ns + FUTURE_NS and not context.point.attributes.future:
        raise Unwritable("[-11046] Target Date in Future.")
    return time_ns


def _value(given: Any, context: Context) -> tuple[float, bool, str | None]:
    """Return the number of a value, whether it is a system state, and its text."""
    kind = context.point.attributes.point_type
    if given is None:
        raise Unwritable("The 'Value' is missing.")
    if isinstance(given, dict | list):
        raise Unwritable("The 'Value' must be a number or a text, such as the name of a state.")
    if kind == "String":
        return 0.0, False, given if isinstance(given, str) else str(given)
    if isinstance(given, str) and kind != "Timestamp" and (code := _system_code(given, context)) is not None:
        return float(code), True, None
    if kind == "Digital":
        return _digital(given, context), False, None
    if kind == "Timestamp":
        return _timestamp(given, context)
    return _number(given, kind), False, None


def _system_code(name: str, context: Context) -> int | None:
    if context.point.attributes.point_type == "Digital":
        own = context.archive.set_named(context.point.attributes.digital_set)
        if own is not None and own.code_of(name) is not None:
            return None
    return STATE_CODES.get(name.casefold())


def _digital(given: Any, context: Context) -> float:
    own = context.archive.set_named(context.point.attributes.digital_set)
    states = own.states if own is not None else {}
    code = own.code_of(given) if isinstance(given, str) and own is not None else given
    if isinstance(code, bool) or not isinstance(code, int) or code not in states:
        raise Unwritable(f"[-15034] The state '{given}' is not in the digital set.")
    return float(code)


def _timestamp(given: Any, context: Context) -> tuple[float, bool, str | None]:
    if not isinstance(given, str):
        raise Unwritable("The 'Value' of a Timestamp point must be a time.")
    if given.casefold() in STATE_CODES:
        return float(STATE_CODES[given.casefold()]), True, None
    try:
        read_time(given, context.now_ns, context.zone)
    except ValueError as error:
        raise Unwritable(str(error)) from None
    return 0.0, False, given


def _number(given: Any, kind: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise Unwritable(f"The value '{given}' is not a number.")
    if kind in _RANGES:
        low, high = _RANGES[kind]
        if given != math.floor(given) or not low <= given <= high:
            raise Unwritable(f"The value '{given}' does not fit into {kind}.")
        return float(given)
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if kind != "Float64":
        with np.errstate(over="ignore"):
            number = float(np.float32(number))
    if math.isinf(number):
        raise Unwritable(f"The value '{given}' does not fit into {kind}.")
    return number
