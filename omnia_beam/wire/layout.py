"""The shape of one row: how the values of one point lie in the bytes, read from an item's first point.

A point of raw data is `22 0A 08 <9-byte varint>` + `22 09 11 <8 bytes>` + `22 03 18 C0 01`: per value the field tag, the
length, the member's tag, the payload. Within one response nearly every row repeats the first one's tags and lengths,
except that short varints (statuses) vary in length. A layout is a guess, never a fact: code that uses one verifies
every row against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from omnia_beam.wire.reader import Bytes

VALUES_TAG: Final = 0x22
"""Field 4 of an item, length-delimited: one entry of its flat list of values."""

# Tags of the members of the oneof.
INT64: Final = 0x08
DOUBLE: Final = 0x11
UINT32: Final = 0x18
UINT64: Final = 0x20
INTEGER_TAGS: Final = frozenset((INT64, UINT32, UINT64))

DOUBLE_LENGTH: Final = 9
"""Bytes of an entry that holds a double and nothing else: the member's tag and eight."""
MIN_INTEGER_LENGTH: Final = 2
MAX_INTEGER_LENGTH: Final = 11
"""Bytes of an entry that holds one integer and nothing else: the member's tag and 1 to 10."""
HEADER_BYTES: Final = 2
"""Bytes before an entry: the field tag and the length."""


Shape = tuple[tuple[int, int], ...]
"""Per column of a row the member's tag and the entry's length, 0 where it varies: a layout that is cheap to make and to
compare."""


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """One value of the row.

    tag: the member's tag, one of the four above.
    length: bytes of the entry, the member's tag included, in every row; 0 where it varies and each row's own length byte
        is read.
    """

    tag: int
    length: int

    @property
    def fixed(self) -> bool:
        return self.length > 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring columns whose places relative to each other are the same in every row.

    A segment ends after a column of varying length, or with the row. `offsets[i]` is where column `columns[i]` (an
    index into the row) begins, in bytes from the segment's begin; `length` counts all but the varying entry itself.
    """

    columns: tuple[int, ...]
    offsets: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class RowLayout:
    """All values of one row, in wire order."""

    columns: tuple[ColumnLayout, ...]

    @property
    def stride(self) -> int:
        """Bytes of a row, without its varying entries."""
        return sum(HEADER_BYTES + column.length for column in self.columns)

    @property
    def min_bytes(self) -> int:
        """Bytes of the shortest row of this layout."""
        return sum(HEADER_BYTES + (c.length if c.fixed else MIN_INTEGER_LENGTH) for c in self.columns)

    @property
    def max_bytes(self) -> int:
        """Bytes of the longest row of this layout."""
        return sum(HEADER_BYTES + (c.length if c.fixed else MAX_INTEGER_LENGTH) for c in self.columns)

    def segments(self) -> tuple[Segment, ...]:
        """Return the segments of the row, which is cut after each column of varying length."""
        found: list[Segment] = []
        columns: list[int] = []
        offsets: list[int] = []
        at = 0
        for index, column in enumerate(self.columns):
            columns.append(index)
            offsets.append(at)
            at += HEADER_BYTES + column.length
            if not column.fixed:
                found.append(Segment(tuple(columns), tuple(offsets), at))
                columns, offsets, at = [], [], 0
        if columns:
            found.append(Segment(tuple(columns), tuple(offsets), at))
        return tuple(found)


def first_row(data: Bytes, pos: int, end: int, n_columns: int) -> Shape | None:
    """Read tag and length of each entry of the row at `pos`; None where one does not hold one plainly encoded member.

    end: the end of the item. None is not an error: the general reading handles such a row.
    """
    shape: list[tuple[int, int]] = []
    for _ in range(n_columns):
        if pos + HEADER_BYTES + MIN_INTEGER_LENGTH > end or data[pos] != VALUES_TAG:
            return None
        length, tag = data[pos + 1], data[pos + 2]
        if tag == DOUBLE:
            plain = length == DOUBLE_LENGTH
        else:
            plain = tag in INTEGER_TAGS and MIN_INTEGER_LENGTH <= length <= MAX_INTEGER_LENGTH
        pos += HEADER_BYTES + length
        if not plain or pos > end:
            return None
        shape.append((tag, length))
    return tuple(shape)


def loosened(shape: Shape, above: int) -> Shape:
    """Return the shape with all lengths varying but those of doubles and of integers longer than `above` bytes."""
    return tuple((tag, length if tag == DOUBLE or length > above else 0) for tag, length in shape)


def row_layout(shape: Shape) -> RowLayout:
    """Return the layout of rows of a shape."""
    return RowLayout(tuple(ColumnLayout(tag, length) for tag, length in shape))
