"""The first and the last time of an item, read from two of its rows: enough to see that a response is of another range."""

from __future__ import annotations

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import reader
from omnia_beam.wire.items import Item
from omnia_beam.wire.layout import HEADER_BYTES, INT64, Shape, first_row
from omnia_beam.wire.page import TIME
from omnia_beam.wire.reader import Bytes

_WRAP = 1 << 64


def edge_times(data: Bytes, head: Item, shape: Shape) -> tuple[int, ...]:
    """Return the times of the first and the last row, ns; the first alone where rows differ in length.

    A time that is returned is no estimate: it is in the item. A time that cannot be read directly is left out.
    """
    if TIME not in head.fields:
        return ()
    row_bytes = sum(HEADER_BYTES + length for _, length in shape)
    places = [head.at]
    last = head.end - row_bytes
    if last > head.at and (last - head.at) % row_bytes == 0 and first_row(data, last, head.end, len(shape)) == shape:
        places.append(last)
    times = (_time_at(data, place, head, shape) for place in places)
    return tuple(time for time in times if time is not None)


def _time_at(data: Bytes, row: int, head: Item, shape: Shape) -> int | None:
    place = head.fields.index(TIME)
    tag, length = shape[place]
    if tag != INT64:
        return None
    begin = row + sum(HEADER_BYTES + each for _, each in shape[:place]) + HEADER_BYTES
    try:
        word, after = reader.read_varint(data, begin + 1, begin + length)
    except WireFormatError:
        return None
    if after != begin + length:
        return None
    return word - _WRAP if word >> 63 else word
