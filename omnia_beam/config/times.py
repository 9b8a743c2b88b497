"""Read the times and durations that people write as nanoseconds.

    duration  = 90s | 15m | 1h30m | 0.5s | PT15M | P1DT12H          (ns, us, ms, s, m, h, d, w)
    moment    = 2024-01-31 | 2024-01-31T06:30:00.1234567Z | now | now-15m | now+1h | -7d

A day is 24 hours and a week is 7 days: all times are UTC, which knows no other lengths. Months and years have no fixed
length and are refused.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from omnia_beam.config.secrecy import show_value
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND, parse_time

UNIT_NS: Final[dict[str, int]] = {
    "w": 7 * 86_400 * NS_PER_SECOND,
    "d": 86_400 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "s": NS_PER_SECOND,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""ns in each unit, longest first."""

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_SHORT: Final = "".join(rf"(?:{_NUMBER}{unit})?" for unit in UNIT_NS)
_ISO_TIME: Final = rf"(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?"

DURATION_PATTERN: Final = (
    rf"(?=[0-9]){_SHORT}"  # at least one part
    rf"|P(?=[0-9T])(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=[0-9]){_ISO_TIME})?"
)
"""A regular expression, unanchored, that `parse_duration` and the JSON Schema share."""

MOMENT_PATTERN: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
    rf"|now( *[+-] *({DURATION_PATTERN}))?|[+-] *({DURATION_PATTERN})"
)
"""A regular expression, unanchored, that `parse_moment` and the JSON Schema share."""

_DURATION: Final = re.compile(DURATION_PATTERN, re.ASCII)
_PART: Final = re.compile(rf"({_NUMBER})(ns|us|ms|[wdhms])")
_RELATIVE: Final = re.compile(r"(?:now *)?([+-]) *(.+)", re.DOTALL)

_DURATION_HELP: Final = "write 90s, 15m, 1h30m, 7d or PT15M"
_MOMENT_HELP: Final = "write 2024-01-31, 2024-01-31T06:30:00Z, now, now-15m or -7d"


def parse_duration(text: str) -> int:
    """Read a duration.

    Args:
        text: such as `90s`, `15m`, `1h30m`, `1.5h`, or ISO 8601 `PT15M`, `P1DT12H`; units from long to short.

    Returns:
        ns, 0 or more.

    Raises:
        ValueError: not such a text, no unit, months or years, finer than 1 ns, or longer than int64 ns (292 years).
    """
    stripped = text.strip()
    if not _DURATION.fullmatch(stripped):
        raise ValueError(f"{show_value((), text)} is not a duration: {_duration_hint(stripped)}")
    # ISO 8601 differs only in case: what follows the T has the same letters, and months are refused.
    total = sum(Decimal(number) * UNIT_NS[unit] for number, unit in _PART.findall(stripped.lower().lstrip("p")))
    if total != int(total):
        raise ValueError(f"{show_value((), text)} is finer than a nanosecond")
    if total > MAX_TIME_NS:
        raise ValueError(f"{show_value((), text)} is longer than 64-bit nanoseconds can hold (292 years)")
    return int(total)


def format_duration(ns: int) -> str:
    """Return the shortest text of whole units that `parse_duration` reads back, such as `1h30m`; `0s` for nothing.

    Args:
        ns: 0 or more. A week is written as `7d`.
    """
    parts: list[str] = []
    for unit, size in UNIT_NS.items():
        if unit == "w":
            continue
        count, ns = divmod(ns, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_moment(text: str, now_ns: int | None) -> int:
    """Read a moment: an RFC 3339 date or date-time (no zone means UTC), `now`, or one relative to now.

    Args:
        text: such as `2024-01-31`, `now-15m`, `-7d` (which is `now-7d`).
        now_ns: what `now` means, ns since the Unix epoch; None where relative times are refused.

    Returns:
        ns since the Unix epoch.

    Raises:
        ValueError: not such a text, outside int64 ns (1677-09-21 to 2262-04-11), or relative where `now_ns` is None.
    """
    stripped = text.strip()
    relative = _RELATIVE.fullmatch(stripped)
    if stripped != "now" and relative is None:
        try:
            return parse_time(stripped)
        except ValueError as error:
            raise ValueError(_moment_problem(text, str(error))) from None
    if now_ns is None:
        raise ValueError(f"{show_value((), text)} is relative to now, and there is no now here: write an absolute time")
    if relative is None:
        return now_ns
    try:
        offset = parse_duration(relative[2])
    except ValueError as error:
        raise ValueError(f"{show_value((), text)} is not a time: {error}") from None
    moment = now_ns - offset if relative[1] == "-" else now_ns + offset
    if not MIN_TIME_NS <= moment <= MAX_TIME_NS:
        raise ValueError(
            f"{show_value((), text)} is outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)"
        )
    return moment


def _moment_problem(text: str, problem: str) -> str:
    """Return `parse_time`'s own message about a time that cannot exist.

    For a text that is no time at all it is replaced, since more forms than RFC 3339 are accepted here.
    """
    return f"{show_value((), text)} is not a time: {_MOMENT_HELP}" if "RFC 3339" in problem else problem


def _duration_hint(text: str) -> str:
    if re.fullmatch(rf"{_NUMBER}", text):
        return f"it has no unit; {text}s is seconds, {text}m minutes, {text}h hours, {text}d days"
    if re.search(r"[0-9](y|yr|years?|mo|months?|M|Y)\b", text) and "T" not in text:
        return f"months and years have no fixed length; {_DURATION_HELP}"
    return _DURATION_HELP
