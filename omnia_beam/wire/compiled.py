"""The compiled kernel's reading of the usual layout: one pass, whatever the lengths of the rows, item by item.

A result of None always means that the general reading must be used, which finds the values or the error.
"""

from __future__ import annotations

import numpy as np

from omnia_beam.core.kernel import Kernel
from omnia_beam.wire.gather import Bits
from omnia_beam.wire.layout import DOUBLE, DOUBLE_LENGTH, HEADER_BYTES, MIN_INTEGER_LENGTH, UINT32, Shape
from omnia_beam.wire.reader import Bytes


def row_columns(kernel: Kernel, data: Bytes, begin: int, end: int, shape: Shape) -> list[Bits] | None:
    """Return the columns of a region that holds nothing but rows with the members of the first one; None for other regions.

    begin, end: byte offsets. shape: of the first row.
    """
    tags = bytes(tag for tag, _ in shape)
    # Room for the shortest possible rows; a part that is not filled is never touched and so takes no memory.
    room = (end - begin) // sum(HEADER_BYTES + (DOUBLE_LENGTH if tag == DOUBLE else MIN_INTEGER_LENGTH) for tag in tags)
    columns = tuple(np.empty(room, np.uint32 if tag == UINT32 else np.uint64) for tag in tags)
    rows = kernel.read_rows(data, begin, end, tags, columns)
    if rows < 0:
        return None
    return [Bits(tag, column[:rows]) for tag, column in zip(tags, columns, strict=True)]


def value_count(kernel: Kernel, data: Bytes, begin: int, end: int) -> int | None:
    """Return the number of values in a region that holds nothing else; None for other regions.

    The content of a value is not looked at.
    """
    count = kernel.count_values(data, begin, end)
    return None if count < 0 else count
