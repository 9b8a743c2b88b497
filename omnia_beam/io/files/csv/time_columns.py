"""Parse whole columns of times by a pattern."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.time_pattern import MONTHS, TimePattern, group
from omnia_beam.core.timestamps import NS_PER_SECOND

_SIMPLE: Final = frozenset("YymbBdjHIpMSfz")
"""Directives that are parsed in whole columns; a pattern with any other is parsed cell by cell."""
_FIRST_YEAR, _LAST_YEAR = 1678, 2261

Numbers = npt.NDArray[np.int64]


def parse_pattern_column(texts: Any, pattern: TimePattern) -> tuple[Numbers, bool]:
    """Return times as ns since the Unix epoch: local times, or UTC where the pattern has `%z`.

    Args:
        texts: Arrow array of strings without nulls.
        pattern: their format.

    Returns:
        int64 ns, and whether they are UTC.

    Raises:
        ValueError: a text is not such a time, or is near the limits of int64.
    """
    zoned = "z" in pattern.fields
    if not pattern.fields <= _SIMPLE:
        cells = [pattern.parse(text) for text in texts.to_pylist()]
        return np.array([local - (offset or 0) * NS_PER_SECOND for local, offset in cells], np.int64), zoned
    found = pc.extract_regex(texts, f"(?i)^(?:{pattern.regex})$")
    if found.null_count:
        raise ValueError(f"one of them does not look like {pattern.text}")
    parts = {letter: found.field(group(letter)) for letter in pattern.fields}
    seconds = _days(parts) * 86_400 + _clock(parts)
    ns: Numbers = seconds * NS_PER_SECOND
    if "f" in parts:
        ns = ns + _whole(pc.utf8_rpad(parts["f"], 9, "0"))
    if zoned:
        ns = ns - _offsets(parts["z"]) * NS_PER_SECOND
    return ns, zoned


def _whole(texts: Any) -> Numbers:
    numbers: Numbers = texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _days(parts: dict[str, Any]) -> Numbers:
    years = _whole(parts["Y"]) if "Y" in parts else _century(_whole(parts["y"]))
    _check(years, _FIRST_YEAR, _LAST_YEAR)
    if "j" in parts:
        firsts = _first_of_month((years - 1970) * 12)
        day = _whole(parts["j"])
        _check(day, 1, _first_of_month((years - 1969) * 12) - firsts)
        return firsts + day - 1
    months = (years - 1970) * 12 + _months(parts)
    firsts = _first_of_month(months)
    day = _whole(parts["d"])
    _check(day, 1, _first_of_month(months + 1) - firsts)
    return firsts + day - 1


def _first_of_month(months: Numbers) -> Numbers:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _months(parts: dict[str, Any]) -> Numbers:
    if "m" in parts:
        months = _whole(parts["m"]) - 1
    else:
        names = pc.utf8_slice_codeunits(pc.utf8_lower(parts["b" if "b" in parts else "B"]), 0, 3)
        months = pc.index_in(names, pa.array(MONTHS)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    _check(months, 0, 11)
    return months


def _century(years: Numbers) -> Numbers:
    return np.where(years >= 69, years + 1900, years + 2000)


def _clock(parts: dict[str, Any]) -> Numbers | int:
    seconds: Numbers | int = 0
    if "I" in parts:
        hours = _whole(parts["I"])
        _check(hours, 1, 12)
        afternoon = pc.starts_with(pc.utf8_lower(parts["p"]), "p").to_numpy(zero_copy_only=False)
        seconds = (hours % 12 + np.where(afternoon, 12, 0)) * 3_600
    elif "H" in parts:
        hours = _whole(parts["H"])
        _check(hours, 0, 23)
        seconds = hours * 3_600
    for letter, factor in (("M", 60), ("S", 1)):
        if letter in parts:
            numbers = _whole(parts[letter])
            _check(numbers, 0, 59)
            seconds = seconds + numbers * factor
    return seconds


def _offsets(texts: Any) -> Numbers:
    plain = pc.replace_substring_regex(texts, "^[zZ]$", "+00:00")
    hours = _whole(pc.utf8_slice_codeunits(plain, 1, 3))
    _check(hours, 0, 23)
    minutes = _whole(pc.utf8_slice_codeunits(plain, -2))
    west = pc.starts_with(plain, "-").to_numpy(zero_copy_only=False)
    offsets: Numbers = (hours * 3_600 + minutes * 60) * np.where(west, -1, 1)
    return offsets


def _check(numbers: Numbers, least: int, most: Numbers | int) -> None:
    if bool((numbers < least).any()) or bool((numbers > most).any()):
        raise ValueError("out of range")
