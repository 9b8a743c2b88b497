"""Times as text: RFC 3339 to ns and back, one by one and by the million.

Reading accepts the profile that the service is known to accept: a date or a date-time, `T` or a space between them, any
number of decimals, `Z`, an offset, or no zone, which means UTC. Writing gives seven decimals [sdk].
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.points import Times

NS_PER_SECOND: Final = 1_000_000_000
TICK_NS: Final = 100
"""The resolution of times in the service's JSON: seven decimals of a second [sdk]."""

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,16}))?)?)?"
    r"(?:[Zz]|([+-])(\d\d):?(\d\d))?$",
    re.ASCII,
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DURATION = re.compile(r"(\d+)(ns|us|ms|s|m|h|d)$", re.ASCII)
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3600 * NS_PER_SECOND,
    "d": 86_400 * NS_PER_SECOND,
}


def parse_time(text: str, resolution_ns: int = 1) -> int:
    """Return the time in ns since the Unix epoch, rounded down to a multiple of `resolution_ns`.

    Raises ValueError for a text that is not a time.
    """
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f"not a time: {text!r} (RFC 3339 is expected, such as 2024-01-31T12:00:00Z)")
    year, month, day, hour, minute, second, decimals, sign, zone_hours, zone_minutes = match.groups()
    days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    seconds = _seconds_of_day(text, int(hour or 0), int(minute or 0), int(second or 0))
    if sign:
        offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
        seconds += -offset if sign == "+" else offset
    nanoseconds = int((decimals or "0")[:9].ljust(9, "0"))
    time_ns = (days * 86_400 + seconds) * NS_PER_SECOND + nanoseconds
    return time_ns - time_ns % resolution_ns


def parse_times(texts: list[str], resolution_ns: int = 1) -> Times:
    """Return the times of many texts, as `parse_time` reads each; fast where all are UTC and of one form.

    Raises ValueError for the first text that is not a time, or whose time int64 ns cannot hold (1677 to 2262).
    """
    fast = _parse_uniform(texts)
    if fast is not None:
        return fast - fast % resolution_ns if resolution_ns > 1 else fast
    times = [parse_time(text, resolution_ns) for text in texts]
    for text, time_ns in zip(texts, times, strict=True):
        if not -(2**63) <= time_ns < 2**63:
            raise ValueError(f"the time {text!r} is beyond the years 1677 to 2262")
    return np.array(times, dtype=np.int64)


def format_times(times: Times) -> NDArray[np.uint8]:
    """Return the times as rows of 28 ASCII bytes such as `2021-02-01T09:54:05.4200000Z`, finer decimals cut off."""
    days = times // (86_400 * NS_PER_SECOND)
    ticks = (times - days * (86_400 * NS_PER_SECOND)) // TICK_NS
    rows = np.empty((len(times), 28), dtype=np.uint8)
    # A date is formatted once for each run of points of one day, which costs less than once for each point.
    starts = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1]))) if len(days) else np.empty(0, np.intp)
    rows[:, :11] = np.repeat(_date_rows(days[starts]), np.diff(starts, append=len(days)), axis=0)
    # In 32 bits a division costs a fraction of what it does in 64.
    seconds = (ticks // 10_000_000).astype(np.uint32)
    fraction = (ticks % 10_000_000).astype(np.uint32)
    for column, value in ((11, seconds // 3600), (14, seconds // 60 % 60), (17, seconds % 60)):
        _put_digits(rows, column, 2, value)
    _put_digits(rows, 20, 7, fraction)
    for column, mark in ((13, ":"), (16, ":"), (19, "."), (27, "Z")):
        rows[:, column] = ord(mark)
    return rows


def format_time(time_ns: int) -> str:
    """Return one time as `format_times` writes it."""
    return bytes(format_times(np.array([time_ns], dtype=np.int64))[0]).decode()


def parse_duration(text: str) -> int:
    """Return a duration such as `100ns`, `250ms`, `1s`, `5m`, `10h` or `20d` in ns.

    Raises ValueError for other texts and for a duration of 0.
    """
    match = _DURATION.match(text.strip())
    if match is None or not int(match[1]):
        raise ValueError(f"not a duration: {text!r} (a whole number and one of ns, us, ms, s, m, h, d is expected)")
    return int(match[1]) * _UNIT_NS[match[2]]


def _seconds_of_day(text: str, hour: int, minute: int, second: int) -> int:
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"not a time: {text!r} (its hours, minutes or seconds are out of range)")
    return hour * 3600 + minute * 60 + second


def _parse_uniform(texts: list[str]) -> Times | None:
    """Return the times where every text has the length of the first and is `YYYY-MM-DD?hh:mm:ss[.decimals][Z]`, else None."""
    length = len(texts[0]) if texts else 0
    if len(texts) < 8 or length < 19:
        return None
    joined = "".join(texts)
    if not joined.isascii() or set(map(len, texts)) != {length}:
        return None
    rows = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(len(texts), length)
    body = length - 1 if texts[0][-1] in "Zz" else length
    decimals = body - 20
    if body < 19 or body == 20 or decimals > 9:
        return None
    if body < length and not _all_among(rows[:, -1], b"Zz"):
        return None
    marks = {4: b"-", 7: b"-", 10: b"Tt ", 13: b":", 16: b":"} | ({19: b".,"} if decimals > 0 else {})
    digits = rows[:, :body] - np.uint8(ord("0"))
    columns = [column for column in range(body) if column not in marks]
    if (digits[:, columns] > 9).any():
        return None
    if not all(_all_among(rows[:, column], allowed) for column, allowed in marks.items()):
        return None
    return _assemble(digits, decimals)


def _all_among(column: NDArray[np.uint8], allowed: bytes) -> bool:
    return bool(np.logical_or.reduce([column == byte for byte in allowed]).all())


def _assemble(digits: NDArray[np.uint8], decimals: int) -> Times | None:
    def number(first: int, count: int) -> NDArray[np.int64]:
        value = digits[:, first].astype(np.int64)
        for column in range(first + 1, first + count):
            value = value * 10 + digits[:, column]
        return value

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    hour, minute, second = number(11, 2), number(14, 2), number(17, 2)
    months = (year - 1970) * 12 + (month - 1)
    month_starts = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    next_starts = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    days = month_starts + day - 1
    plausible = (month >= 1) & (month <= 12) & (day >= 1) & (days < next_starts) & (year >= 1678) & (year <= 2261)
    if not (plausible & (hour < 24) & (minute < 60) & (second < 60)).all():
        return None  # reading one by one names the text that is wrong
    fraction = number(20, decimals) * 10 ** (9 - decimals) if decimals > 0 else 0
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * NS_PER_SECOND + fraction


def _date_rows(days: NDArray[np.int64]) -> NDArray[np.uint8]:
    texts = np.datetime_as_string(days.astype("datetime64[D]"))
    return np.frombuffer("".join(f"{text}T" for text in texts.tolist()).encode(), dtype=np.uint8).reshape(-1, 11)


def _put_digits(rows: NDArray[np.uint8], column: int, count: int, value: NDArray[Any]) -> None:
    for place in range(column + count - 1, column - 1, -1):
        quotient = value // 10
        rows[:, place] = value - quotient * 10 + ord("0")
        value = quotient
