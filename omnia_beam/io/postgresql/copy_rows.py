"""Rows as COPY takes them in its binary form, made by numpy: without their texts all rows of one series have the same length."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Chunk
from omnia_beam.io.postgresql.table import TableForm

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What begins the binary form: its signature, no flags, no extension. [PostgreSQL documentation, COPY]"""

TRAILER: Final = b"\xff\xff"
"""What ends it."""

_PIECE_BYTES: Final = 1 << 18
_NULL: Final = -1
_LENGTH: Final = struct.Struct(">i")


def copy_rows(chunk: Chunk, form: TableForm) -> Iterator[bytes]:
    """Yield the rows of a chunk, in pieces of some 256 KB: series_id, time, value, status, and text where the table has it.

    Args:
        chunk: its times are on the grid of the table.
        form: of the table.
    """
    for _, stored_id, points in chunk.by_series():
        if not len(points.times):
            continue
        encoded = stored_id.encode()
        row = _row_type(len(encoded), text=form.text)
        step = max(1, _PIECE_BYTES // row.itemsize)
        for at in range(0, len(points.times), step):
            part = points.take(slice(at, at + step))
            rows = np.zeros(len(part.times), row)
            rows["columns"] = len(form.columns)
            rows["id_bytes"], rows["id"] = len(encoded), encoded
            rows["time_bytes"] = rows["value_bytes"] = rows["status_bytes"] = 8
            rows["time"] = form.raw_times(part.times)
            rows["value"] = np.ascontiguousarray(part.values).view(np.uint64)  # as bits: a NaN keeps its payload
            rows["status"] = part.statuses
            if form.text:
                rows["text_bytes"] = _NULL
            yield rows.tobytes() if part.texts is None or not form.text else _with_texts(rows, part.texts)


def _with_texts(rows: npt.NDArray[np.void], texts: Sequence[str | None] | npt.NDArray[np.object_]) -> bytes:
    """Return rows that end with the length of a null, with texts where they have some."""
    parts: list[bytes] = []
    for row, text in zip(rows, texts, strict=True):
        if text is None:
            parts.append(row.tobytes())
        else:
            encoded = text.encode()
            parts += (row.tobytes()[: -len(_LENGTH.pack(0))], _LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def _row_type(id_bytes: int, *, text: bool) -> np.dtype[np.void]:
    """Return the type of a row: the number of columns, then each column's length and content, big-endian.

    Of a text it has the length alone.
    """
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
            *([("text_bytes", ">i4")] if text else []),
        ]
    )
