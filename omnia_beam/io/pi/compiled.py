"""The compiled kernel's reading of recorded values: one pass over a body in its plain form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.kernel import Kernel
from omnia_beam.io.pi.recorded import Recorded

_GOOD, _QUESTIONABLE, _SUBSTITUTED, _SYSTEM, _WORD, _NAMED = (np.uint8(1 << bit) for bit in range(6))
"""The flags of `core/_recorded.c`."""

_SMALLEST: Final = len('{"Timestamp":"2024-01-01T00:00:00Z","Good":true,"Value":1}')
"""Bytes of the shortest value that the kernel reads."""


def recorded_columns(kernel: Kernel, body: bytes, web_ids: Sequence[str]) -> list[tuple[str, Recorded]] | None:
    """Return the values of each stream with its WebId; None where the body is not of the plain form.

    Args:
        kernel: the compiled kernel.
        body: of one stream where there is one WebId, of several otherwise.
        web_ids: the streams that were asked for.
    """
    room = len(body) // _SMALLEST + 1
    times, numbers = np.empty(room, np.int64), np.empty(room, np.float64)
    flags, offsets = np.empty(room, np.uint8), np.empty(room + 1, np.int32)
    streams = np.empty((len(web_ids), 3), np.int64)
    many = len(web_ids) > 1
    found = kernel.read_recorded(body, many, times, numbers, flags, offsets, streams)
    if found is None:
        return None
    rows, count, texts = found
    for column, size in ((times, rows), (numbers, rows), (flags, rows), (offsets, rows + 1)):
        column.resize(size, refcheck=False)  # in place: what was not filled is returned
    values = Recorded(
        times,
        numbers,
        good=flags & _GOOD != 0,
        questionable=flags & _QUESTIONABLE != 0,
        substituted=flags & _SUBSTITUTED != 0,
        system=flags & _SYSTEM != 0,
        texts=_strings(flags & _NAMED != 0, offsets, texts),
        words=flags & _WORD != 0,
    )
    if not many:
        return [(web_ids[0], values)]
    parts, first = [], 0
    for start, size, end in streams[:count].tolist():
        parts.append((body[start : start + size].decode("ascii"), values.take(slice(first, end))))
        first = end
    return parts


def _strings(named: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int32], texts: bytes) -> Any:
    """Return texts as an Arrow array, null where there is none."""
    rows = len(named)
    if not named.any():
        return pa.nulls(rows, pa.string())
    valid = pa.py_buffer(np.packbits(named, bitorder="little"))
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(texts), valid)
