"""Parse times in CSV files: whole columns at once where Arrow is exact, one by one where it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.time_pattern import read_pattern
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND, parse_time
from omnia_beam.io.files.csv.time_columns import parse_pattern_column
from omnia_beam.io.files.forms import DstFold
from omnia_beam.io.local_time import BothTimes, both_times, local_to_utc

EXCEL: Final = "excel"
EPOCHS: Final = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_WHOLE: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?\d{1,25}(\.\d{0,40})?", re.ASCII)
_SCIENTIFIC: Final = re.compile(r"[+-]?\d+([.,]\d*)?[eE][+-]?\d+", re.ASCII)
_HOUR_ONLY: Final = re.compile(r"(\d{4}-\d\d-\d\d[ Tt]\d\d)(?=$|[Zz+-])", re.ASCII)
_HOUR_ZONE: Final = re.compile(r":\d\d(?:\.\d+)?[+-]\d\d$", re.ASCII)
_ZONED: Final = re.compile(r".*\d[Zz]|.*:\d\d(\.\d+)?[+-]\d\d(:?\d\d)?", re.ASCII)

_EXCEL_EPOCH_DAYS: Final = 25_569
"""Days from 1899-12-30 to 1970-01-01."""
_EXCEL_FIRST_DAY: Final = 61
"""Serial date of 1900-03-01. Before it Excel counts a 29 February 1900, which did not exist."""
_MS_PER_DAY: Final = 86_400_000
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TimeForm:
    """The format of times.

    Args:
        pattern: see `CsvForm.time_format`.
        zone: IANA name or fixed offset, of times without a zone of their own.
        fold: how ambiguous local times are treated.
        decimal: decimal mark of epochs and serial dates.
    """

    pattern: str | None = None
    zone: str = "UTC"
    fold: DstFold = "refuse"
    decimal: str = "."

    def in_zone(self, local: npt.NDArray[np.int64]) -> BothTimes:
        """Convert local times, int64 ns, to UTC; where `fold` leaves a time open, both possible times are returned.

        Raises:
            ValueError: a local time does not exist, or is ambiguous where that is refused.
        """
        if self.fold == "refuse":
            times = local_to_utc(local, self.zone)
            return BothTimes(times, times)
        both = both_times(local, self.zone)
        if self.fold == "earlier":
            return BothTimes(both.earlier, both.earlier)
        return BothTimes(both.later, both.later) if self.fold == "later" else both


def parse_times(texts: Any, form: TimeForm) -> BothTimes:
    """Parse a column of times.

    Args:
        texts: Arrow array of strings without nulls.
        form: their format.

    Returns:
        Both possible times, int64 ns since the Unix epoch.

    Raises:
        ValueError: a text is not such a time, or only `parse_time_cell` can parse it.
    """
    if form.pattern in EPOCHS:
        times = _epochs(texts, EPOCHS[form.pattern])
        return BothTimes(times, times)
    if form.pattern == EXCEL:
        return form.in_zone(np.array([_excel(text, form.decimal) for text in texts.to_pylist()], np.int64))
    if form.pattern is not None:
        local, is_utc = parse_pattern_column(texts, read_pattern(form.pattern))
        return BothTimes(local, local) if is_utc else form.in_zone(local)
    try:
        local = texts.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        found: npt.NDArray[np.int64] = texts.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
        return BothTimes(found, found)
    return form.in_zone(local.cast(pa.int64()).to_numpy())


def parse_time_cell(text: str, form: TimeForm) -> tuple[int, int]:
    """Return the first and the last time that a text may mean, as ns since the Unix epoch; they differ for ambiguous local times.

    Raises:
        ValueError: the text is no such time; the message says why.
    """
    if form.pattern in EPOCHS:
        ns = _epoch(text, EPOCHS[form.pattern], form.decimal)
        return ns, ns
    if form.pattern == EXCEL:
        return _in_zone(_excel(text, form.decimal), form)
    if form.pattern is not None:
        local, offset = read_pattern(form.pattern).parse(text)
        if offset is None:
            return _in_zone(local, form)
        ns = _checked(local - offset * NS_PER_SECOND)
        return ns, ns
    normal = _HOUR_ONLY.sub(r"\1:00", text)
    if _HOUR_ZONE.search(normal):
        normal += ":00"
    ns = parse_time(normal)
    if form.zone == "UTC" or _ZONED.fullmatch(normal):
        return ns, ns
    return _in_zone(ns, form)


def _epochs(texts: Any, factor: int) -> npt.NDArray[np.int64]:
    if pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py():
        raise ValueError("Arrow would read a hexadecimal number")
    whole = texts.cast(pa.int64())
    times: npt.NDArray[np.int64] = pc.multiply_checked(whole, factor).to_numpy()
    return times


def _epoch(text: str, factor: int, decimal: str) -> int:
    if _WHOLE.fullmatch(text):
        return _checked(int(text) * factor)
    ns = _number(text, decimal) * factor
    if ns != ns.to_integral_value():
        raise ValueError(f"{text!r} is finer than a nanosecond")
    return _checked(int(ns))


def _number(text: str, decimal: str) -> Decimal:
    if _SCIENTIFIC.fullmatch(text):
        raise ValueError("its last digits are lost, as a spreadsheet saves long numbers: export again with all digits")
    plain = text.replace(decimal, ".") if decimal != "." and "." not in text else text
    if not _DECIMAL.fullmatch(plain):
        raise ValueError(f"{text!r} is not a number")
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None


def _excel(text: str, decimal: str) -> int:
    """Return a serial date as local ns, rounded to the millisecond, which is the precision of such a number."""
    days = _number(text, decimal)
    if days < _EXCEL_FIRST_DAY:
        raise ValueError("serial dates before 1900-03-01 (61) are not unique")
    ms = int(((days - _EXCEL_EPOCH_DAYS) * _MS_PER_DAY).to_integral_value(ROUND_HALF_EVEN))
    return _checked(ms * _NS_PER_MS)


def _in_zone(local_ns: int, form: TimeForm) -> tuple[int, int]:
    both = form.in_zone(np.array([local_ns], np.int64))
    return int(both.earlier[0]), int(both.later[0])


def _checked(ns: int) -> int:
    if not MIN_TIME_NS <= ns <= MAX_TIME_NS:
        raise ValueError("outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    return ns
