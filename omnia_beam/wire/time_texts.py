"""Conversion of many RFC 3339 times at once, UTC, to and from int64 nanoseconds, exactly.

The forms are those that the service writes: `2021-02-01T09:54:05Z`, with no or up to nine decimals, and `+00:00` for
`Z`. Digits are read and written eight at a time, as the bytes of one 64-bit word.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.wire.strides import Matrix

MAX_TEXT_BYTES: Final = 35
"""Bytes of the longest form: `2021-02-01T09:54:05.123456789+00:00`."""

Ns = npt.NDArray[np.int64]
"""Nanoseconds since the Unix epoch, UTC."""

_SECONDS_BYTES: Final = 19
_DATE_BYTES: Final = 10
_NS_PER_SECOND: Final = 1_000_000_000
_SECONDS_PER_DAY: Final = 86_400
# Whole years that int64 nanoseconds hold; times at the rims of the range are read one text at a time, elsewhere.
_FIRST_YEAR: Final = 1678
_LAST_YEAR: Final = 2261
_ZERO: Final = np.uint8(ord("0"))
_NINE: Final = np.uint8(9)


def read_times(texts: Matrix, lengths: npt.NDArray[np.intp]) -> Ns | None:
    """Read one time a row; None where one is of another form, does not exist, or is before 1678 or after 2261.

    texts: bytes of shape (n, at least the longest text), left-aligned; bytes after a text are not looked at.
    lengths: bytes of each text.
    """
    out = np.empty(len(texts), np.int64)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        rows = lengths == length
        if rows.all():
            return _read_equal(texts, length)
        times = _read_equal(texts[rows], length)
        if times is None:
            return None
        out[rows] = times
    return out


def _read_equal(texts: Matrix, length: int) -> Ns | None:
    """Read times of one length; None where one of them cannot be read."""
    zone = _zone_bytes(texts, length)
    if zone is None:
        return None
    n_decimals = length - zone - _SECONDS_BYTES - 1
    if n_decimals == 0 or n_decimals > 9 or length < _SECONDS_BYTES + zone:
        return None
    seconds = _read_seconds(texts)
    if seconds is None:
        return None
    seconds *= _NS_PER_SECOND
    if n_decimals > 0:
        fraction = _read_fraction(texts, n_decimals)
        if fraction is None:
            return None
        seconds += fraction
    return seconds


def _zone_bytes(texts: Matrix, length: int) -> int | None:
    """Return the bytes of the zone that every text ends with; None where they differ, or the zone is not UTC."""
    for zone in (b"Z", b"+00:00"):
        if length >= len(zone) and (texts[:, length - len(zone) : length] == np.frombuffer(zone, np.uint8)).all():
            return len(zone)
    return None


def _read_seconds(texts: Matrix) -> Ns | None:
    days = _read_days(texts)
    if days is None or (texts[:, [10, 13, 16]] != np.frombuffer(b"T::", np.uint8)).any():
        return None
    two_digits = []
    for at, limit in ((11, 23), (14, 59), (17, 59)):
        tens, units = texts[:, at] - _ZERO, texts[:, at + 1] - _ZERO
        if (tens > _NINE).any() or (units > _NINE).any():
            return None
        number = tens * np.uint8(10) + units
        if (number > limit).any():
            return None
        two_digits.append(number)
    hours, minutes, seconds = (number.astype(np.int32) for number in two_digits)  # NumPy 1 multiplies bytes as bytes
    of_day = (hours * np.int32(60) + minutes) * np.int32(60) + seconds
    total = days * np.int64(_SECONDS_PER_DAY)
    total += of_day
    return total


def _read_days(texts: Matrix) -> npt.NDArray[np.int64] | None:
    """Read the dates as days since 1970, once for each run of equal ones: points are mostly in order."""
    dates = texts[:, :_DATE_BYTES]
    changes = np.flatnonzero((dates[1:] != dates[:-1]).any(axis=1)) + 1
    starts = np.concatenate([[0], changes]) if len(texts) else changes
    runs = np.diff(np.append(starts, len(texts)))
    digits = dates[starts] - _ZERO
    if (dates[starts][:, [4, 7]] != ord("-")).any() or (digits[:, [0, 1, 2, 3, 5, 6, 8, 9]] > _NINE).any():
        return None
    wide = digits.astype(np.int64)
    years = wide[:, :4] @ np.array([1000, 100, 10, 1])
    months = wide[:, 5:7] @ np.array([10, 1])
    days = wide[:, 8:] @ np.array([10, 1])
    if not ((years >= _FIRST_YEAR) & (years <= _LAST_YEAR) & (months >= 1) & (months <= 12) & (days >= 1)).all():
        return None
    month = (years - 1970).astype("M8[Y]").astype("M8[M]") + (months - 1)
    first = month.astype("M8[D]")
    if (days > ((month + 1).astype("M8[D]") - first).astype(np.int64)).any():
        return None
    return np.repeat(first.astype(np.int64) + days - 1, runs)


def _read_fraction(texts: Matrix, n_decimals: int) -> Ns | None:
    """Read 1 to 9 decimals as nanoseconds."""
    begin = _SECONDS_BYTES + 1
    digits = np.zeros((len(texts), 9), np.uint8)
    np.subtract(texts[:, begin : begin + n_decimals], _ZERO, out=digits[:, :n_decimals])
    if (texts[:, _SECONDS_BYTES] != ord(".")).any() or (digits > _NINE).any():
        return None
    words = digits[:, :8].copy().view("<u8")[:, 0].astype(np.uint64)
    words = eight_digits(words)
    words *= np.uint64(10)
    words += digits[:, 8]
    return words.view(np.int64)


def eight_digits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the numbers whose eight decimal digits are the bytes of the words, the first digit lowest."""
    words = (words * np.uint64(10) + (words >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(100) + (words >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (words * np.uint64(10_000) + (words >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
