"""Encoding of columns as the service's JSON, a page at a time.

Times have seven decimals; finer ones are cut off [sdk]. JSON has no NaN and no infinities: they are sent as the
strings `"NaN"`, `"Infinity"` and `"-Infinity"`, as .NET's serialiser does where that is enabled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from omnia_beam.emulator.common.points import Times
from omnia_beam.emulator.common.rows import Rows
from omnia_beam.emulator.common.timetext import format_times


def encode_page(items: Sequence[bytes], token: str | None, *, federated: bool) -> bytes:
    """Return a whole response of encoded items. `count` is the number of its items [unknown: all samples have 1]."""
    tail = orjson.dumps({"count": len(items), "continuationToken": token, "federated": federated})
    return b'{"data":{"items":[' + b",".join(items) + b"]}," + tail[1:]


def encode_item(rows: Rows) -> bytes:
    """Return one item: `id`, `datapoints` with `time` and every column, and `totalCount` [spec]."""
    head: bytes = orjson.dumps({"id": rows.series_id} | (rows.labels or {}))[:-1] + b',"datapoints":['
    tail = b'],"totalCount":' + str(rows.total).encode() + b"}"
    if not len(rows.times):
        return head + tail
    members = [
        (column.name, _spelled(column.values) if column.kind == "uint32" else _numbers(column.values))
        for column in rows.columns
    ]
    return head + _rows(rows.times, members)[1:] + tail


def _rows(times: Times, members: Sequence[tuple[str, NDArray[np.bytes_]]]) -> bytes:
    """Return `,{"time":"…","value":…}` for every row.

    The rows come from a matrix of bytes padded with NUL, which no JSON text contains.
    """
    cells: list[bytes | NDArray[np.uint8]] = [b',{"time":"', format_times(times), b'"']
    for label, texts in members:
        cells += [f',"{label}":'.encode(), texts.view(np.uint8).reshape(len(times), -1)]
    cells.append(b"}")
    rows = np.empty((len(times), sum(len(c) if isinstance(c, bytes) else c.shape[1] for c in cells)), dtype=np.uint8)
    column = 0
    for cell in cells:
        width = len(cell) if isinstance(cell, bytes) else cell.shape[1]
        rows[:, column : column + width] = np.frombuffer(cell, np.uint8) if isinstance(cell, bytes) else cell
        column += width
    text: bytes = rows[rows != 0].tobytes()
    return text


def _numbers(column: NDArray[Any]) -> NDArray[np.bytes_]:
    """Return each number as JSON: the shortest text that reads back to the same double."""
    if not len(column):
        return np.empty(0, dtype="S1")
    texts = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    if column.dtype.kind == "f":
        for row in np.flatnonzero(~np.isfinite(column)).tolist():
            value = float(column[row])
            texts[row] = b'"NaN"' if value != value else b'"Infinity"' if value > 0 else b'"-Infinity"'
    return np.array(texts)


def _spelled(column: NDArray[Any]) -> NDArray[np.bytes_]:
    """Return whole numbers as JSON, each distinct one converted once: few are distinct."""
    distinct, which = np.unique(column, return_inverse=True)
    return np.array([str(number).encode() for number in distinct.tolist()], dtype="S10")[which]
