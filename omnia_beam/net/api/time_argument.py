"""Convert times as callers give them to ns since the Unix epoch."""

from __future__ import annotations

import numbers
from datetime import date, datetime
from typing import Any

import numpy as np

from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, datetime_to_ns, format_time, parse_time

TimeLike = str | datetime | np.datetime64 | int
"""RFC 3339 text (no zone means UTC), an aware datetime, a numpy datetime64 (UTC), or ns since the Unix epoch."""

_NS_PER_UNIT = {"D": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def time_to_ns(value: TimeLike, name: str = "time") -> int:
    """Return the time as ns since the Unix epoch, UTC, without rounding.

    Args:
        name: of the argument, for the message.

    Raises:
        UsageError: a naive datetime, NaT, another type, a text that is no time, or a time outside what int64 ns can hold.
    """
    try:
        ns = _to_ns(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    if not MIN_TIME_NS <= ns <= MAX_TIME_NS:
        raise UsageError(f"{name}: {value!r} is outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    return ns


def exact_text(value: TimeLike, name: str) -> str:
    """Return the time as the service reads it, with seven decimals of a second.

    Raises:
        UsageError: as `time_to_ns`; also a time between two of the service's ticks of 100 ns, because either
            direction of rounding would be a guess.
    """
    ns = time_to_ns(value, name)
    if ns % TIME_RESOLUTION_NS:
        raise UsageError(f"{name}: {format_time(ns)} is finer than the 100 ns that the service keeps: round it")
    return format_time(ns, 7)


def _to_ns(value: Any) -> int:
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} is naive: it has no zone; write datetime(…, tzinfo=UTC)")
        # A pandas Timestamp is a datetime that has ns besides its microseconds.
        return datetime_to_ns(value) + int(getattr(value, "nanosecond", 0))
    if isinstance(value, np.datetime64):
        return _datetime64_to_ns(value)
    # bool is a subclass of int, but not a time.
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):
        return int(value)
    hint = ": give text, an aware datetime, a numpy datetime64, or ns since the Unix epoch as an int"
    if isinstance(value, date):
        hint = f": write {value.isoformat()!r} for its beginning in UTC"
    raise ValueError(f"{value!r} ({type(value).__name__}) is no time{hint}")


def _datetime64_to_ns(value: np.datetime64) -> int:
    if np.isnat(value):
        raise ValueError("NaT is no time")
    unit, step = np.datetime_data(value.dtype)
    if unit in ("Y", "M", "W"):
        value, unit, step = value.astype("datetime64[D]"), "D", 1
    if unit not in _NS_PER_UNIT:
        raise ValueError(f"{value!r} is finer than a nanosecond")
    # Python's integers are needed here: numpy would wrap around at the end of int64.
    return int(value.astype(np.int64)) * step * _NS_PER_UNIT[unit]
