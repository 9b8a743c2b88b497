"""Parse times in CSV files: whole columns at once where Arrow is exact, one by one where it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.time_pattern import read_pattern
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND, parse_time
from omnia_beam.io.files.csv.time_columns import parse_pattern_column
from omnia_beam.io.files.forms import DstFold

_EPOCH: Final = datetime(1970, 1, 1)
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_WHOLE_MINUTES_NS: Final = 2 * 365 * 86_400 * NS_PER_SECOND
"""Start of 1972, ns; since then every zone's offset from UTC has been in whole minutes."""

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BothTimes:
    """Wall clock times as ns since the Unix epoch, where the clock may have shown one twice.

    Args:
        earlier: int64 ns, shape (n,): the first instant at which the clock showed each time.
        later: int64 ns, shape (n,): the last such instant; it differs only for times that the clock showed twice.
    """

    earlier: Times
    later: Times

    @property
    def twice(self) -> npt.NDArray[np.bool_]:
        """Which times the clock showed twice."""
        twice: npt.NDArray[np.bool_] = self.earlier != self.later
        return twice


def local_to_utc(local: Times, zone: str) -> Times:
    """Convert wall clock times to ns since the Unix epoch.

    Args:
        local: int64 ns, shape (n,): what the clock showed, counted as if it were in UTC.
        zone: IANA name, or a fixed offset such as `+01:00`.

    Raises:
        ValueError: the zone's clocks showed a time twice or never, or a time is outside what int64 ns can hold.
    """
    if zone == "UTC" or not len(local):
        return local
    both = both_times(local, zone)
    if both.twice.any():
        raise ValueError(
            f"{_shown(int(local[both.twice.argmax()]))} happened twice or never in {zone}, where clocks were changed: write times "
            "with their zone, or in UTC; or set source.dst_fold"
        )
    return both.earlier


def both_times(local: Times, zone: str) -> BothTimes:
    """Convert wall clock times as `local_to_utc` does, with both instants of times that the clocks showed twice.

    Raises:
        ValueError: the zone's clocks never showed a time, or a time is outside what int64 ns can hold.
    """
    if zone == "UTC" or not len(local):
        return BothTimes(local, local)
    step = _MINUTE_NS if int(local.min()) >= _WHOLE_MINUTES_NS else NS_PER_SECOND
    slots, inverse = np.unique(local // step, return_inverse=True)
    found = _zone(zone)
    offsets = np.array([_offsets_ns(slot * step, found, zone) for slot in slots.tolist()], np.int64)[inverse]
    for at in (int(local.argmin()), int(local.argmax())):
        for offset in offsets[at].tolist():
            if not MIN_TIME_NS <= int(local[at]) - offset <= MAX_TIME_NS:
                raise ValueError("outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    return BothTimes(local - offsets[:, 0], local - offsets[:, 1])


def changes_soon(ns: int, zone: str) -> bool:
    """Return whether a zone's clocks are changed between 2 hours before and 28 hours after an instant, ns since the Unix epoch."""
    found = _zone(zone)
    instants = (
        _EPOCH.replace(tzinfo=UTC) + timedelta(seconds=ns // NS_PER_SECOND + hours * 3_600) for hours in (-2, 28)
    )
    first, last = (instant.astimezone(found).utcoffset() for instant in instants)
    return first != last


@lru_cache(maxsize=16)
def _zone(name: str) -> tzinfo:
    if name[0] in "+-":
        sign = -1 if name[0] == "-" else 1
        return timezone(sign * timedelta(hours=int(name[1:3]), minutes=int(name[4:6])))
    return ZoneInfo(name)


def _offsets_ns(local_ns: int, zone: tzinfo, name: str) -> tuple[int, int]:
    """Return the offsets, ns, at the first and at the last instant at which the clock showed a time."""
    wall = _EPOCH + timedelta(seconds=local_ns // NS_PER_SECOND)
    # By way of UTC, since the subtraction of two datetimes of one zone ignores the zone.
    first, last = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > last:
        raise ValueError(
            f"{wall} happened twice or never in {name}, where clocks were changed: no clock showed it; write times with their "
            "zone, or in UTC"
        )
    naive = [int((wall - each.replace(tzinfo=None)) / timedelta(seconds=1)) * NS_PER_SECOND for each in (first, last)]
    return naive[0], naive[1]


def _shown(local_ns: int) -> str:
    return str(_EPOCH + timedelta(seconds=local_ns // NS_PER_SECOND))


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
