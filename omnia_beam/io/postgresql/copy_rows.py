"""Rows as COPY takes them in its binary form, made by numpy: all rows of one series have the same length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from omnia_beam.core.chunk import Chunk
from omnia_beam.io.postgresql.table import TableForm

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What begins the binary form: its signature, no flags, no extension. [PostgreSQL documentation, COPY]"""

TRAILER: Final = b"\xff\xff"
"""What ends it."""

_PIECE_BYTES: Final = 1 << 18


def copy_rows(chunk: Chunk, form: TableForm) -> Iterator[bytes]:
    """Yield the rows of a chunk, in pieces of some 256 KB: series_id, time, value, status.

    Args:
        chunk: its times are on the grid of the table.
        form: of the table.
    """
    for _, stored_id, points in chunk.by_series():
        if not len(points.times):
            continue
        encoded = stored_id.encode()
        row = _row_type(len(encoded))
        step = max(1, _PIECE_BYTES // row.itemsize)
        for at in range(0, len(points.times), step):
            part = points.take(slice(at, at + step))
            rows = np.zeros(len(part.times), row)
            rows["columns"] = 4
            rows["id_bytes"], rows["id"] = len(encoded), encoded
            rows["time_bytes"] = rows["value_bytes"] = rows["status_bytes"] = 8
            rows["time"] = form.raw_times(part.times)
            rows["value"] = np.ascontiguousarray(part.values).view(np.uint64)  # as bits: a NaN keeps its payload
            rows["status"] = part.statuses
            yield rows.tobytes()


def _row_type(id_bytes: int) -> np.dtype[np.void]:
    """Return the type of a row: the number of columns, then each column's length and content, big-endian."""
    return np.dtype(
        [
            ("columns", ">i2"),
            ("id_bytes", ">i4"),
            ("id", f"V{id_bytes}"),
            ("time_bytes", ">i4"),
            ("time", ">i8"),
            ("value_bytes", ">i4"),
            ("value", ">u8"),
            ("status_bytes", ">i4"),
            ("status", ">i8"),
        ]
    )
