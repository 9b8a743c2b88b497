"""The numbers that a column may hold, and its dtype.

time: int64, uint64 below 2^63 or uint32, in any mixture, exact in int64. status: integers from 0 to 2^32 - 1 in any of
the integer members. value: doubles only (the service's values are doubles; an integer there means that the columns are
not what their names say). Every other column (aggregates; a count may come as an integer or as a double) keeps its own
kind, which must be one for the whole item.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.errors import WireFormatError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.wire.layout import DOUBLE, INT64, UINT32, UINT64
from omnia_beam.wire.page import STATUS, TIME, VALUE, Column
from omnia_beam.wire.varint import Words

_DTYPES: Final = {INT64: np.int64, DOUBLE: np.float64, UINT32: np.uint32, UINT64: np.uint64}
_NAMES: Final = {INT64: "an int64", DOUBLE: "a double", UINT32: "a uint32", UINT64: "a uint64"}
_EMPTY: Final = {TIME: np.int64, STATUS: np.uint32}
_EXPECTED: Final = {
    TIME: "times are integers, ns since 1970, below 2^63",
    STATUS: "statuses are integers from 0 to 2^32 - 1",
    VALUE: "values are doubles",
}
_SIGN: Final = np.uint64(1 << 63)


def empty_column(name: str) -> Column:
    """Return a column without points: int64 for time, uint32 for status, float64 for every other name."""
    return np.empty(0, _EMPTY.get(name, np.float64))


def uniform_column(name: str, tag: int, words: Words) -> Column | None:
    """Return a column of values that all hold the same member; None where the column may not hold them.

    words: unsigned integers, the members' bits (for uint32, more than 32 may be set: they are dropped, as
    google.protobuf does).
    """
    if name == VALUE and tag != DOUBLE:
        return None
    if name in (TIME, STATUS):
        return _integers(name, tag, words)
    return _plain(tag, words)


def mixed_column(
    name: str, tags: npt.NDArray[np.uint8], words: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], item: str
) -> Column:
    """Return a column of values whose members may differ. Raises WireFormatError naming the item, the point, the byte.

    tags, words, offsets: as in values.Values, the column's own entries. item: names the item in errors.
    """
    if not len(tags):
        return empty_column(name)
    wrong = _wrong(name, tags, words)
    if wrong.any():
        point = int(wrong.argmax())
        expected = _EXPECTED.get(name, f"its first point holds {_NAMES[int(tags[0])]}")
        raise WireFormatError(
            f"{item}, point {point}: column {name!r} holds {_number(int(tags[point]), int(words[point]))}; {expected}",
            int(offsets[point]),
        )
    if name == TIME:
        return words.view(np.int64).copy()
    return words.astype(np.uint32) if name == STATUS else _plain(int(tags[0]), words)


def _wrong(name: str, tags: npt.NDArray[np.uint8], words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    if name == TIME:
        return np.asarray((tags == DOUBLE) | ((tags == UINT64) & (words >= _SIGN)))
    if name == STATUS:
        return np.asarray((tags == DOUBLE) | (words > np.uint64(MAX_STATUS)))
    return np.asarray(tags != (DOUBLE if name == VALUE else tags[0]))


def _number(tag: int, word: int) -> str:
    """Describe a value without printing a measurement: digits are shown only of an integer that is out of range."""
    if tag == INT64 and word >= int(_SIGN):
        word -= 2**64
    return _NAMES[tag] if tag == DOUBLE else f"{_NAMES[tag]}, {word}"


def _integers(name: str, tag: int, words: Words) -> Column | None:
    if tag == DOUBLE:
        return None
    if tag == UINT32:
        low = words.astype(np.uint32, copy=False)
        return low.astype(np.int64) if name == TIME else low
    if name == STATUS:
        return words.astype(np.uint32) if _at_most(words, MAX_STATUS) else None
    if tag == UINT64 and not _at_most(words, int(_SIGN) - 1):
        return None
    return words.astype(np.uint64, copy=False).view(np.int64)


def _at_most(words: Words, limit: int) -> bool:
    return 2 ** (8 * words.dtype.itemsize) - 1 <= limit or not len(words) or int(words.max()) <= limit


def _plain(tag: int, words: Words) -> Column:
    if tag == UINT32:
        return words.astype(np.uint32, copy=False)
    return words.astype(np.uint64, copy=False).view(_DTYPES[tag])
