"""Encoding of columns as the service's compact protobuf, a page at a time instead of a value at a time.

    message CompactDatapointsDto   { repeated CompactDatapointsItem data = 1; string continuationToken = 2; }
    message CompactDatapointsItem  { string id = 1; uint64 totalCount = 2; repeated string fields = 3;
                                     repeated CompactDataPointValue values = 4; }
    message CompactDataPointValue  { oneof value { int64 int64 = 1; double double = 2; uint32 uint32 = 3;
                                                   uint64 uint64 = 4; } }

The rows of a page are laid out in one matrix of bytes, as wide as most of them are. Rows of another width are laid out
apart and spliced in; where they are many, all rows are as wide as the widest and the bytes that a row does not use are
squeezed out. Varints are the shortest, and members of a oneof are written even where they are zero: byte for byte what
the protobuf library writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.rows import Kind, Rows
from omnia_beam.emulator.common.serving.response import Buffer

Bytes = NDArray[np.uint8]

_MEMBER_TAGS: Final = {"int64": 0x08, "double": 0x11, "uint32": 0x18, "uint64": 0x20}
_VALUES_TAG: Final = 0x22


# Constants, because making a numpy scalar costs more than the operation that uses it.
_LOW_28: Final = np.uint64(0x0FFFFFFF)
_HIGH_28: Final = np.uint64(0x00FFFFFFF0000000)
_4: Final = np.uint64(4)
_HIGH_14: Final = np.uint64(0x0FFFC0000FFFC000)
_2: Final = np.uint64(2)
_LOW_14: Final = np.uint64(0x00003FFF00003FFF)
_HIGH_7: Final = np.uint64(0x3F803F803F803F80)
_1: Final = np.uint64(1)
_LOW_7: Final = np.uint64(0x007F007F007F007F)
_MORE: Final = np.uint64(0x8080808080808080)

_TOGETHER: Final = 16_384
"""Series with fewer rows are laid out together, so that a page of a hundred short series costs little more than one."""


def encode_page(series: Sequence[Rows], token: str | None) -> list[Buffer]:
    """Return a whole `CompactDatapointsDto`, as the buffers to send one after the other."""
    parts: list[Buffer] = []
    for rows, body in zip(series, _bodies(series), strict=True):
        head = _head(rows)
        parts.append(b"\x0a" + varint(len(head) + len(body)) + head)
        parts.append(body)
    if token:
        text = token.encode()
        parts.append(b"\x12" + varint(len(text)) + text)
    return parts


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """The bytes of `repeated CompactDataPointValue values = 4`, row after row, and where each row ends.

    `ends` is None where all rows have the same `width`.
    """

    content: memoryview
    width: int
    ends: NDArray[np.intp] | None = None

    def between(self, first: int, stop: int) -> memoryview:
        """Return the bytes of the rows `first <= row < stop`."""
        return self.content[self._before(first) : self._before(stop)]

    def _before(self, row: int) -> int:
        if self.ends is None:
            return row * self.width
        return int(self.ends[row - 1]) if row else 0


def encode_rows(columns: Sequence[tuple[Kind, NDArray[Any]]]) -> EncodedRows:
    """Return rows of these columns, each value in the member of its column's kind."""
    cells = [_Cell(kind, column) for kind, column in columns]
    odd = _odd_rows(cells)
    if len(odd) * 8 > len(columns[0][1]):
        content, ends = _masked_rows(cells)
        return EncodedRows(content.data, 0, ends)
    width = sum(cell.usual_width for cell in cells)
    rows = np.empty((len(columns[0][1]), width), dtype=np.uint8)
    offset = 0
    for cell in cells:
        cell.fill(rows[:, offset : offset + cell.usual_width], cell.usual)
        offset += cell.usual_width
    flat = rows.reshape(-1).data
    if not len(odd):
        return EncodedRows(flat, width)
    return _spliced(flat, width, odd, [_Cell(kind, column[odd]) for kind, column in columns])


def _head(rows: Rows) -> bytes:
    """Return the bytes of a `CompactDatapointsItem` before its values."""
    head = [b"\x0a" + _text(rows.series_id)]
    if rows.total:
        head.append(b"\x10" + varint(rows.total))
    head.append(b"\x1a" + _text("time"))
    head.extend(b"\x1a" + _text(column.name) for column in rows.columns)
    return b"".join(head)


def _bodies(series: Sequence[Rows]) -> list[memoryview]:
    """Return the values of each series; short neighbours with the same kinds of columns are laid out together."""
    bodies: list[memoryview] = []
    for _, together in groupby(series, key=_batch_key):
        group = list(together)
        columns: list[tuple[Kind, NDArray[Any]]] = [("int64", _joined([rows.times for rows in group]))]
        for place, column in enumerate(group[0].columns):
            columns.append((column.kind, _joined([rows.columns[place].values for rows in group])))
        encoded, first = encode_rows(columns), 0
        for rows in group:
            bodies.append(encoded.between(first, first + len(rows)))
            first += len(rows)
    return bodies


def _batch_key(rows: Rows) -> Any:
    return id(rows) if len(rows) >= _TOGETHER else tuple(column.kind for column in rows.columns)


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def varint(number: int) -> bytes:
    """Return one unsigned number as a varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Cell:
    """The share of each row that belongs to one column: `22 <length> <member tag> <payload>`.

    `lengths` holds the payload's length per row, None where all have the same; `usual` is the commonest length.
    """

    def __init__(self, kind: Kind, column: NDArray[Any]) -> None:
        self.kind = kind
        self.lengths: NDArray[np.uint8] | None = None
        if kind == "double":
            self.column: NDArray[Any] = column.astype("<f8", copy=False).view(np.uint64)
            self.usual = self.longest = 8
        else:
            self.column = column.astype(np.int64, copy=False).view(np.uint64)
            self.longest, self.lengths = _varint_lengths(self.column)
            self.usual = self.longest if self.lengths is None else int(np.bincount(self.lengths).argmax())
        self.usual_width = 3 + self.usual

    def fill(self, cells: Bytes, payload: int, lengths: NDArray[np.uint8] | None = None) -> None:
        """Write the cells of all rows for payloads of this length, or of each row's own length."""
        cells[:, 0] = _VALUES_TAG
        cells[:, 1] = payload + 1 if lengths is None else lengths + 1
        cells[:, 2] = _MEMBER_TAGS[self.kind]
        if self.kind == "double":
            _words(cells, 3)[:] = self.column
        elif lengths is None and payload == 9:
            _words(cells, 3)[:] = _spread(self.column)
            cells[:, 11] = self.column >> np.uint64(56)
        else:
            last = payload - 1 if lengths is None else lengths - 1
            for place in range(payload):
                group = (self.column >> np.uint64(7 * place)).astype(np.uint8) & np.uint8(0x7F)
                cells[:, 3 + place] = group | np.where(place < last, np.uint8(0x80), np.uint8(0))


def _odd_rows(cells: Sequence[_Cell]) -> NDArray[np.intp]:
    """Return the rows in which a payload does not have its usual length, ascending."""
    odd = [np.flatnonzero(cell.lengths != cell.usual) for cell in cells if cell.lengths is not None]
    if not odd:
        return np.empty(0, dtype=np.intp)
    return odd[0] if len(odd) == 1 else np.unique(np.concatenate(odd))


def _masked_rows(cells: Sequence[_Cell]) -> tuple[Bytes, NDArray[np.intp]]:
    """Return rows of any lengths, one after the other, and where each ends."""
    count = len(cells[0].column)
    widths = [3 + cell.longest for cell in cells]
    rows = np.empty((count, sum(widths)), dtype=np.uint8)
    keep = np.ones(rows.shape, dtype=bool)
    offset = 0
    for cell, width in zip(cells, widths, strict=True):
        cell.fill(rows[:, offset : offset + width], cell.longest, cell.lengths)
        if cell.lengths is not None:
            for place in range(int(cell.lengths.min()), cell.longest):
                keep[:, offset + 3 + place] = cell.lengths > place
        offset += width
    return rows[keep], np.cumsum(keep.sum(axis=1))


def _spliced(flat: memoryview, width: int, odd: NDArray[np.intp], cells: Sequence[_Cell]) -> EncodedRows:
    """Return rows of the usual width with the few odd ones in their places, such as a few bad points among good ones.

    Joining slices copies at memory speed, where a mask over all rows would cost a nanosecond a byte.
    """
    odd_bytes, odd_ends = _masked_rows(cells)
    odd_flat = odd_bytes.data
    run_starts = np.flatnonzero(np.diff(odd, prepend=-2) != 1)
    run_stops = np.append(run_starts[1:], len(odd))
    pieces: list[memoryview] = []
    usual_from = odd_from = 0
    for first, stop, odd_to in zip(
        odd[run_starts].tolist(), (odd[run_stops - 1] + 1).tolist(), odd_ends[run_stops - 1].tolist(), strict=True
    ):
        pieces.append(flat[usual_from * width : first * width])
        pieces.append(odd_flat[odd_from:odd_to])
        usual_from, odd_from = stop, odd_to
    pieces.append(flat[usual_from * width :])
    widths = np.full(len(flat) // width, width, dtype=np.intp)
    widths[odd] = np.diff(odd_ends, prepend=0)
    return EncodedRows(memoryview(b"".join(pieces)), 0, np.cumsum(widths))


def _varint_lengths(column: NDArray[np.uint64]) -> tuple[int, NDArray[np.uint8] | None]:
    """Return the longest varint of the column, and the length of each, or None where all are equal."""
    if not len(column):
        return 1, None
    shortest, longest = _varint_length(int(column.min())), _varint_length(int(column.max()))
    if shortest == longest:
        return longest, None
    lengths = np.full(len(column), shortest, dtype=np.uint8)
    for length in range(shortest, longest):
        lengths += column >= np.uint64(1 << (7 * length))
    return longest, lengths


def _varint_length(number: int) -> int:
    return max(1, -(-number.bit_length() // 7))


def _spread(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the low 56 bits of each number as eight bytes of seven bits, every one with its continuation bit."""
    low = numbers & _LOW_28
    high = numbers & _HIGH_28
    high <<= _4
    low |= high
    high = low & _HIGH_14
    high <<= _2
    low &= _LOW_14
    low |= high
    high = low & _HIGH_7
    high <<= _1
    low &= _LOW_7
    low |= high
    low |= _MORE
    return low


def _words(cells: Bytes, offset: int) -> NDArray[np.uint64]:
    """Return a view of eight bytes of each row as one little-endian word to write to."""
    return cells[:, offset : offset + 8].view("<u8")[:, 0]


def _text(text: str) -> bytes:
    encoded = text.encode()
    return varint(len(encoded)) + encoded
