"""Times in CSV files: whole columns at once where Arrow is exact, one by one where it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, datetime_to_ns, parse_time
from omnia_beam.io.local_time import local_to_utc

_EPOCHS: Final = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_WHOLE: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_HOUR_ONLY: Final = re.compile(r"(\d{4}-\d\d-\d\d[ Tt]\d\d)(?=$|[Zz+-])", re.ASCII)
_HOUR_ZONE: Final = re.compile(r":\d\d(?:\.\d+)?[+-]\d\d$", re.ASCII)
_ZONED: Final = re.compile(r".*\d[Zz]|.*:\d\d(\.\d+)?[+-]\d\d(:?\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How times are written.

    Args:
        pattern: see `CsvForm.time_format`.
        zone: IANA name, of times that name none.
    """

    pattern: str | None = None
    zone: str = "UTC"


def parse_times(texts: Any, form: TimeForm) -> npt.NDArray[np.int64]:
    """A column of times.

    Args:
        texts: Arrow array of strings without nulls.
        form: how they are written.

    Returns:
        int64 ns since the Unix epoch.

    Raises:
        ValueError: one of them is not such a time, or is written in a way that only `parse_time_cell` reads.
    """
    if form.pattern in _EPOCHS:
        return _epochs(texts, _EPOCHS[form.pattern])
    if form.pattern is not None:
        return np.array([parse_time_cell(text, form) for text in texts.to_pylist()], np.int64)
    try:
        local = texts.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        found: npt.NDArray[np.int64] = texts.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
        return found
    return local_to_utc(local.cast(pa.int64()).to_numpy(), form.zone)


def parse_time_cell(text: str, form: TimeForm) -> int:
    """One time, as ns since the Unix epoch.

    Raises:
        ValueError: why it is none.
    """
    if form.pattern in _EPOCHS:
        return _epoch(text, _EPOCHS[form.pattern])
    if form.pattern is not None:
        moment = datetime.strptime(text, form.pattern)
        local = _checked(datetime_to_ns(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)))
        return local if moment.tzinfo is not None else _in_zone(local, form.zone)
    normal = _HOUR_ONLY.sub(r"\1:00", text)
    if _HOUR_ZONE.search(normal):
        normal += ":00"
    ns = parse_time(normal)
    if form.zone == "UTC" or _ZONED.fullmatch(normal):
        return ns
    return _in_zone(ns, form.zone)


def _epochs(texts: Any, factor: int) -> npt.NDArray[np.int64]:
    if pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py():
        raise ValueError("Arrow would read a hexadecimal number")
    whole = texts.cast(pa.int64())
    times: npt.NDArray[np.int64] = pc.multiply_checked(whole, factor).to_numpy()
    return times


def _epoch(text: str, factor: int) -> int:
    if _WHOLE.fullmatch(text):
        return _checked(int(text) * factor)
    try:
        ns = Decimal(text) * factor
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not ns.is_finite() or ns != ns.to_integral_value():
        raise ValueError(f"{text!r} is no time, or finer than a nanosecond")
    return _checked(int(ns))


def _in_zone(local_ns: int, zone: str) -> int:
    return int(local_to_utc(np.array([local_ns], np.int64), zone)[0])


def _checked(ns: int) -> int:
    if not MIN_TIME_NS <= ns <= MAX_TIME_NS:
        raise ValueError("outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    return ns
