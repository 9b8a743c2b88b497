"""Times as int64 nanoseconds since the Unix epoch (UTC), and their RFC 3339 texts.

Python's `datetime` stops at microseconds while the service writes seven decimals and protobuf carries nanoseconds
[sdk], so the fraction is handled as an integer here and nowhere else.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from operator import index
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
MIN_TIME_NS: Final = -(2**63)
MAX_TIME_NS: Final = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
    r"(?:[Tt ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d+))?)?"
    r"(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)


def parse_time(text: str) -> int:
    """Return the time of an RFC 3339 date or date-time; a text without a zone means UTC.

    Args:
        text: such as `2024-01-01`, `2024-01-01T06:30:00.1234567Z`, `2024-01-01 06:30+01:00`.

    Returns:
        ns since the Unix epoch.

    Raises:
        ValueError: the text has another form, names a date that does not exist, is finer than 1 ns, or lies outside what
            int64 ns can hold (1677-09-21 to 2262-04-11).

    >>> parse_time("1970-01-01T01:00:00.0000001+01:00")
    100
    """
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time: write 2024-01-31 or 2024-01-31T06:30:00Z (RFC 3339)")
    try:
        # fromisoformat is unsuitable: from Python 3.14 on it accepts 24:00 as the next day.
        day = date(int(match["year"]), int(match["month"]), int(match["day"]))
        clock = time(int(match["hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0))
        whole = datetime_to_ns(datetime.combine(day, clock, UTC)) - _zone_to_ns(match["zone"] or "Z")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time that exists: {error}") from None
    ns = whole + _fraction_to_ns(match["fraction"] or "", text)
    if not MIN_TIME_NS <= ns <= MAX_TIME_NS:
        raise ValueError(f"{text!r} is outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    return ns


def format_time(ns: int, digits: int | None = None) -> str:
    """Return a time as RFC 3339 text with `Z`.

    Args:
        ns: since the Unix epoch.
        digits: decimals of the second, 0 to 9; further decimals are cut off towards the past. None writes as many of 0, 3,
            6, 7 or 9 as the time needs.

    Raises:
        ValueError: the time is outside the years 1 to 9999.

    >>> format_time(1_704_067_200_000_000_100)
    '2024-01-01T00:00:00.0000001Z'
    >>> format_time(1_704_067_200_000_000_100, digits=0)
    '2024-01-01T00:00:00Z'
    """
    seconds, fraction = divmod(index(ns), NS_PER_SECOND)  # timedelta does not accept numpy integers
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{ns} ns is outside the years 1 to 9999") from None
    nine = f"{fraction:09d}"
    if digits is None:
        digits = next(d for d in (0, 3, 6, 7, 9) if not nine[d:].strip("0"))
    stem = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{stem}.{nine[:digits]}Z" if digits else f"{stem}Z"


def datetime_to_ns(moment: datetime) -> int:
    """Return an aware datetime as ns since the Unix epoch.

    Raises:
        ValueError: the datetime has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no zone: write datetime(..., tzinfo=UTC)")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_SECOND + delta.microseconds * 1_000


def _fraction_to_ns(fraction: str, text: str) -> int:
    if fraction[9:].strip("0"):
        raise ValueError(f"{text!r} is finer than a nanosecond")
    return int(fraction[:9].ljust(9, "0"))


def _zone_to_ns(zone: str) -> int:
    if zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(f"zone {zone} must be within 23:59 of UTC")
    sign = -1 if zone[0] == "-" else 1
    return sign * (hours * 3_600 + minutes * 60) * NS_PER_SECOND
