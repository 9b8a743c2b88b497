"""Times: the grid that an archive keeps, 1/65536 s, and the texts that the service reads and writes.

Read are AF time strings, ISO 8601 and `dd-MMM-yy`; durations are such as `1h` and `90s`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from omnia_beam.emulator.common.points import Times
from omnia_beam.emulator.common.timetext import NS_PER_SECOND, format_times, parse_time
from omnia_beam.emulator.pi.settings import Rounding

TICKS_PER_SECOND: Final = 65_536
_SHOWN_PER_SECOND: Final = 10_000_000
_DAY_NS: Final = 86_400 * NS_PER_SECOND
_UNIT_NS: Final = {
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "d": _DAY_NS,
    "w": 7 * _DAY_NS,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", re.ASCII | re.IGNORECASE)
_ZONED = re.compile(r"(?:[Zz]|[+-]\d\d:?\d\d)$", re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY_MONTH = re.compile(
    r"(\d{1,2})-([A-Za-z]{3})-(\d{4}|\d{2})(?:\s+(\d{1,2}):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?$", re.ASCII
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EARLIEST: Final = datetime(1677, 9, 22, tzinfo=UTC)
_LATEST: Final = datetime(2262, 4, 11, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def archived(times: Times, rounding: Rounding) -> Times:
    """Return the times as the archive shows them, in ns: multiples of 100 ns, the nearest on the 1/65536 s grid.

    `down` takes the last tick not after a time and shows it rounded up to 100 ns, `up` the first tick not before it,
    shown rounded down; otherwise a time would move with every reading and writing.
    """
    seconds = times // NS_PER_SECOND
    shown = (times - seconds * NS_PER_SECOND) // 100
    if rounding == "nearest":
        tick = (shown * TICKS_PER_SECOND + _SHOWN_PER_SECOND // 2) // _SHOWN_PER_SECOND
        shown = (tick * _SHOWN_PER_SECOND + TICKS_PER_SECOND // 2) // TICKS_PER_SECOND
    elif rounding == "down":
        tick = shown * TICKS_PER_SECOND // _SHOWN_PER_SECOND
        shown = -(-tick * _SHOWN_PER_SECOND // TICKS_PER_SECOND)
    elif rounding == "up":
        tick = -(-shown * TICKS_PER_SECOND // _SHOWN_PER_SECOND)
        shown = tick * _SHOWN_PER_SECOND // TICKS_PER_SECOND
    result: Times = seconds * NS_PER_SECOND + shown * 100
    return result


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises ValueError for an unknown one."""
    if name.upper() in ("UTC", "ETC/UTC"):
        return UTC  # also where the system has no list of time zones
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"The time zone '{name}' was not found.") from None


def read_time(text: str, now_ns: int, zone: tzinfo) -> int:
    """Return a time in ns, cut to 100 ns; a text without a zone is in `zone`. Raises ValueError for what is no time.

    Read are `*` (now), `t` and `y` (the beginning of today and yesterday), each with offsets such as `*-1d` or `t+8h30m`;
    ISO 8601; `29-Nov-26 12:00:00`.
    """
    given = text.strip()
    try:
        time_ns = _read(given, now_ns, zone)
    except (ValueError, OverflowError):
        raise ValueError(f"The time '{text}' could not be parsed.") from None
    if not -(2**63) <= time_ns < 2**63:
        raise ValueError(f"The time '{text}' is out of range.")
    return time_ns - time_ns % 100


def _read(text: str, now_ns: int, zone: tzinfo) -> int:
    if text[:1] in ("*", "t", "T", "y", "Y"):
        sign_at = next((at for at, char in enumerate(text) if char in "+-"), len(text))
        base, offset = text[:sign_at].strip().lower(), text[sign_at:]
        start = (
            now_ns if base == "*" else _midnight(now_ns, zone, {"t": 0, "today": 0, "y": 1, "yesterday": 1}.get(base))
        )
        return start + _offset(offset)
    if match := _DAY_MONTH.match(text):
        day, month, year, hour, minute, second, fraction = match.groups()
        whole = int(year) if len(year) == 4 else 2000 + int(year) - (100 if int(year) >= 70 else 0)
        moment = datetime(whole, 1 + _MONTHS.index(month.lower()), int(day), int(hour or 0), int(minute or 0))
        seconds = moment + timedelta(seconds=int(second or 0))
        return _ns_of(seconds.replace(tzinfo=zone)) + int((fraction or ".0")[1:].ljust(9, "0"))
    if not _ISO.match(text):
        raise ValueError(text)
    time_ns = parse_time(text)
    if _ZONED.search(text[10:]):
        return time_ns
    seconds_only, rest = divmod(time_ns, NS_PER_SECOND)
    local = (_EPOCH + timedelta(seconds=seconds_only)).replace(tzinfo=zone)
    return _ns_of(local) + rest


def read_duration(text: str) -> int:
    """Return a duration such as `1h`, `90s`, `1.5d` or `1h30m` in ns. Raises ValueError for others and for none."""
    given = text.strip()
    total = _parts(given[1:] if given[:1] == "+" else given)
    if total <= 0:
        raise ValueError(f"The duration '{text}' could not be parsed.")
    return total


def shown_times(times: Times) -> Any:
    """Return the times as the service shows them, an Arrow array: UTC with `Z`, up to seven decimals, none for whole seconds."""
    rows = format_times(times)
    if (times % NS_PER_SECOND == 0).all():
        rows[:, 19] = ord("Z")
        return _texts(rows[:, :20]).cast(pa.large_binary())
    decimals = pc.ascii_rtrim(_texts(rows[:, :27]).cast(pa.large_binary()).view(pa.large_string()), characters="0")
    whole = pc.ascii_rtrim(decimals, characters=".").view(pa.large_binary())
    return pc.binary_join_element_wise(whole, pa.scalar(b"Z", pa.large_binary()), pa.scalar(b"", pa.large_binary()))


def shown_time(time_ns: int) -> str:
    """Return one time as `shown_times` shows it."""
    text: str = shown_times(np.array([time_ns], dtype=np.int64))[0].as_py().decode()
    return text


def _texts(rows: NDArray[np.uint8]) -> Any:
    """Return each row as a text."""
    count, width = rows.shape
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), count, [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )


def _midnight(now_ns: int, zone: tzinfo, days_ago: int | None) -> int:
    if days_ago is None:
        raise ValueError("unknown time")
    local = (_EPOCH + timedelta(seconds=now_ns // NS_PER_SECOND)).astimezone(zone)
    day = local.replace(hour=0, minute=0, second=0, tzinfo=None) - timedelta(days=days_ago)
    return _ns_of(day.replace(tzinfo=zone))


def _offset(text: str) -> int:
    """Return the sum of signed durations such as `-1d+2h`."""
    total = 0
    for part in re.findall(r"[+-][^+-]*", text.strip()):
        total += _parts(part[1:]) * (-1 if part[0] == "-" else 1)
    if text.strip() and text.strip()[0] not in "+-":
        raise ValueError(text)
    return total


def _parts(text: str) -> int:
    rest, total = text.strip(), 0
    while rest:
        match = _PART.match(rest)
        if match is None:
            raise ValueError(f"The duration '{text}' could not be parsed.")
        total += round(float(match[1]) * _UNIT_NS[match[2].lower()])
        rest = rest[match.end() :].lstrip()
    if not total:
        raise ValueError(f"The duration '{text}' could not be parsed.")
    return total


def _ns_of(moment: datetime) -> int:
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("out of range")
    apart = moment.astimezone(UTC) - _EPOCH
    return (apart.days * 86_400 + apart.seconds) * NS_PER_SECOND + apart.microseconds * 1_000
