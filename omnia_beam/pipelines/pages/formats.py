"""Short texts of values, shares and lengths of time, for people."""

from __future__ import annotations

import math
from typing import Final

from omnia_beam.core.timestamps import NS_PER_SECOND, format_time

_UNITS: Final = (
    ("d", 86_400 * NS_PER_SECOND),
    ("h", 3_600 * NS_PER_SECOND),
    ("min", 60 * NS_PER_SECOND),
    ("s", NS_PER_SECOND),
    ("ms", 1_000_000),
    ("µs", 1_000),
    ("ns", 1),
)


def value_text(value: float) -> str:
    """Return a value with six significant digits, four where it has an exponent; `–` for NaN."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.6g}"
    return (f"{value:.4g}" if "e" in text else text).replace("-", "−")


def percent(share: float | None) -> str:
    """Return a share in percent; a share that is not 0 or 1 never shows as 0 % or 100 %. Empty for None."""
    if share is None:
        return ""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0001:
        return "<0.01 %"
    if share > 0.9999:
        return ">99.99 %"
    return f"{100 * share:.2f} %"


def gap_text(ns: int) -> str:
    """Return a length of time in its two largest units, rounded: `3 d 4 h`, `1 min`, `0.25 s`."""
    if ns < 60 * NS_PER_SECOND:
        unit, size = next((each for each in _UNITS[3:] if ns >= each[1]), _UNITS[3])
        return f"{ns / size:.3g} {unit}"
    at = next(i for i, (_, size) in enumerate(_UNITS) if ns >= size)
    (unit, size), (less, part) = _UNITS[at], _UNITS[at + 1]
    whole, rest = divmod(round(ns / part), size // part)
    return f"{whole:,} {unit} {rest} {less}" if rest else f"{whole:,} {unit}"


def moment_text(ns: int) -> str:
    """Return a time in minutes, such as `2024-01-31 06:30`, or in seconds where it has any."""
    text = format_time(ns, 0)
    return text[:16].replace("T", " ") if text.endswith(":00Z") else text[:19].replace("T", " ")
