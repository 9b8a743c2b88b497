"""The general reading of an item's values: every legal encoding, whatever its order, tags and lengths.

Entries are found one by one (about 0.1 µs each) and read together: those that hold one plainly encoded member by numpy,
the others (unknown fields, several members of which the last one wins, over-long tags) one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import reader, varint
from omnia_beam.wire.layout import DOUBLE, DOUBLE_LENGTH, INT64, MAX_INTEGER_LENGTH, MIN_INTEGER_LENGTH, UINT32, UINT64
from omnia_beam.wire.reader import Bytes
from omnia_beam.wire.strides import Octets, windows

_VALUE_DEPTH: Final = 2
"""A value lies in an item, which lies in the page."""

_MEMBER_OF: Final = {
    (1, reader.VARINT): INT64,
    (2, reader.FIXED64): DOUBLE,
    (3, reader.VARINT): UINT32,
    (4, reader.VARINT): UINT64,
}
_MASK32: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Values:
    """The flat list of values of one item.

    tags: uint8[n], the member each value holds, as its plain tag (layout.INT64, ...).
    words: uint64[n], the member's bits: a double's bits, an integer modulo 2^64 (modulo 2^32 for uint32).
    offsets: int64[n], where each entry begins in the page, for errors.
    """

    tags: npt.NDArray[np.uint8]
    words: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.int64]


def read_values(data: Bytes, buf: Octets, begins: list[int], ends: list[int]) -> Values:
    """Read entries that lie at `begins[i]:ends[i]`, without their tags and lengths. Raises WireFormatError."""
    offsets = np.array(begins, np.int64)
    sizes = np.array(ends, np.int64) - offsets
    tags, words, plain = _plain_values(buf, offsets, sizes)
    for index in np.flatnonzero(~plain).tolist():
        tag, word = read_value(data, begins[index], ends[index])
        tags[index] = tag
        words[index] = word
    return Values(tags, words, offsets)


def read_value(data: Bytes, begin: int, end: int) -> tuple[int, int]:
    """Return the plain tag and the bits of the member that one entry holds; the last one wins. Raises WireFormatError."""
    held: tuple[int, int] | None = None
    pos = begin
    while pos < end:
        number, wire_type, pos = reader.read_tag(data, pos, end)
        member = _MEMBER_OF.get((number, wire_type))
        if member is None:
            pos = reader.skip_field(data, number, wire_type, pos, end, _VALUE_DEPTH)
        elif member == DOUBLE:
            after = reader.skip_field(data, number, wire_type, pos, end, _VALUE_DEPTH)
            held = member, int.from_bytes(data[pos:after], "little")
            pos = after
        else:
            word, pos = reader.read_varint(data, pos, end)
            held = member, word & _MASK32 if member == UINT32 else word
    if held is None:
        raise WireFormatError("a value holds neither a number nor anything else that this schema knows", begin)
    return held


def _plain_values(
    buf: Octets, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Read the entries that hold one plainly encoded member, and return which ones those are."""
    entries = windows(buf, offsets, MAX_INTEGER_LENGTH)
    tags = entries[:, 0].copy()
    words = entries[:, 1:9].view("<u8")[:, 0].astype(np.uint64)
    doubles = (tags == DOUBLE) & (sizes == DOUBLE_LENGTH)
    integers = (tags == INT64) | (tags == UINT32) | (tags == UINT64)
    integers &= (sizes >= MIN_INTEGER_LENGTH) & (sizes <= MAX_INTEGER_LENGTH)

    which = np.flatnonzero(integers)
    lengths = (sizes[which] - 1).astype(np.uint8)
    numbers = words[which]
    fit = varint.cut_to_length(numbers, lengths)
    varint.fold(numbers)
    rows = entries[which]
    ninth = np.where(lengths >= 9, rows[:, 9], np.uint8(0))
    tenth = np.where(lengths >= 10, rows[:, 10], np.uint8(0))
    fit &= varint.high_bytes_fit(lengths, ninth, tenth)
    varint.add_high_bytes(numbers, ninth, tenth)
    numbers[tags[which] == UINT32] &= np.uint64(_MASK32)
    words[which] = numbers
    integers[which[~fit]] = False
    return tags, words, doubles | integers
