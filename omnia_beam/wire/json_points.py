"""The usual layout of datapoints in JSON, read without an object per point.

The layout is `{"time":"…","value":…,"status":…},{…}` in one order, without spaces: the commas alone then show where
everything is. Commas are found at once; every byte around each is compared with the first object's keys; numbers are
passed to a JSON parser as one flat list. Any other layout is left to json_objects.py, which reads all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.wire.page import STATUS, TIME, Column
from omnia_beam.wire.strides import Matrix, Octets, Positions, windows
from omnia_beam.wire.time_texts import MAX_TEXT_BYTES, read_times

_COMMA: Final = ord(",")
_QUOTE: Final = ord('"')
_SPACE: Final = ord(" ")
CHUNK_POINTS: Final = 16_384
"""Points processed at a time, so that their bytes stay in the processor's second cache."""
_MAX_NUMBER_BYTES: Final = 32
_MAX_STATUS_DIGITS: Final = 10
NOT_FINITE: Final = {'"NaN"': np.nan, '"Infinity"': np.inf, '"-Infinity"': -np.inf}
"""The quoted forms in which .NET writes the doubles that JSON cannot express."""


def read_points(text: bytes, begin: int, end: int) -> dict[str, Column] | None:
    """Read the inside of a `datapoints` array, `text[begin:end]`, not empty; None where it is not of the usual layout.

    Returns columns in the order of the keys: `time` int64 ns, `status` uint32, every other float64.
    """
    keys = _first_keys(text[begin : text.find(b"}", begin, end) + 1])
    if keys is None:
        return None
    buf = np.frombuffer(text, np.uint8)[begin:end]
    commas = np.flatnonzero(buf == _COMMA)
    n_points, rest = divmod(len(commas) + 1, len(keys))
    if rest:
        return None
    ends = np.append(commas, len(buf))
    ends[len(keys) - 1 :: len(keys)] -= 1  # without the closing brace
    columns: dict[str, Column] = {}
    for nth, key in enumerate(keys):
        begins = _begins(buf, commas, nth, b'"' + key.encode() + b'":', len(keys))
        column = None if begins is None else _read_column(buf, key, begins, ends[nth :: len(keys)])
        if column is None or len(column) != n_points:
            return None
        columns[key] = column
    return columns


def _first_keys(point: bytes) -> list[str] | None:
    """Return the keys of the first object; None where they are not plain or do not make a point."""
    try:
        first = orjson.loads(point)
    except ValueError:
        return None
    keys = list(first)
    plain = all(key.isascii() and key.isidentifier() for key in keys)
    return keys if plain and TIME in keys and len(set(keys) - {TIME, STATUS}) > 0 else None


def _begins(buf: Octets, commas: Positions, nth: int, head: bytes, n_keys: int) -> Positions | None:
    """Return where each point's `nth` member begins, after its key; None where a key is another one."""
    if nth:
        lead = b"," + head
        starts = commas[nth - 1 :: n_keys]
    else:
        lead = b"},{" + head
        starts = commas[n_keys - 1 :: n_keys] - 1
        if buf[: len(lead) - 2].tobytes() != lead[2:] or buf[-1] != ord("}"):
            return None
    if (windows(buf, starts, len(lead)) != np.frombuffer(lead, np.uint8)).any():
        return None
    starts = starts + len(lead)
    return starts if nth else np.concatenate([[len(lead) - 2], starts])


def _read_column(buf: Octets, key: str, begins: Positions, ends: Positions) -> Column | None:
    parts: list[Column] = []
    for first in range(0, len(begins), CHUNK_POINTS):
        chunk = slice(first, first + CHUNK_POINTS)
        part = _read_chunk(buf, key, begins[chunk], ends[chunk] - begins[chunk])
        if part is None:
            return None
        parts.append(part)
    return np.concatenate(parts)


def _read_chunk(buf: Octets, key: str, begins: Positions, lengths: npt.NDArray[np.intp]) -> Column | None:
    limit = {TIME: MAX_TEXT_BYTES + 2, STATUS: _MAX_STATUS_DIGITS}.get(key, _MAX_NUMBER_BYTES)
    if int(lengths.min()) < 1 or int(lengths.max()) > limit:
        return None
    texts = windows(buf, begins, int(lengths.max()))
    if key == TIME:
        return _read_time_column(buf, begins, lengths, texts)
    return _read_statuses(texts, lengths) if key == STATUS else _read_doubles(texts, lengths)


def _read_time_column(buf: Octets, begins: Positions, lengths: npt.NDArray[np.intp], texts: Matrix) -> Column | None:
    quoted = (lengths >= 2) & (texts[:, 0] == _QUOTE) & (buf[begins + lengths - 1] == _QUOTE)
    return read_times(texts[:, 1:], lengths - 2) if quoted.all() else None


def _read_statuses(texts: Matrix, lengths: npt.NDArray[np.intp]) -> Column | None:
    """Read integers from 0 to 2^32 - 1 without sign, point or leading zero; None where a text is of another form."""
    number = np.zeros(len(texts), np.uint64)
    for place in range(texts.shape[1]):
        digit = texts[:, place] - np.uint8(ord("0"))
        inside = lengths > place
        if (digit[inside] > 9).any():
            return None
        number = np.where(inside, number * np.uint64(10) + digit, number)
    if ((texts[:, 0] == ord("0")) & (lengths > 1)).any() or int(number.max()) > MAX_STATUS:
        return None
    return number.astype(np.uint32)


def _read_doubles(texts: Matrix, lengths: npt.NDArray[np.intp]) -> Column | None:
    """Read numbers by a JSON parser, which receives them padded with spaces to one flat list."""
    quoted = np.flatnonzero(texts[:, 0] == _QUOTE)
    special = [NOT_FINITE.get(texts[row, : lengths[row]].tobytes().decode("latin-1")) for row in quoted.tolist()]
    if None in special:
        return None
    width = texts.shape[1]
    padded = np.full((len(texts), width + 1), _COMMA, np.uint8)
    padded[:, :width] = texts
    np.copyto(
        padded[:, :width], np.uint8(_SPACE), where=np.arange(width, dtype=np.uint8) >= lengths.astype(np.uint8)[:, None]
    )
    padded[quoted, :width] = _SPACE
    padded[quoted, 0] = ord("0")
    first = padded[:, 0]
    if not ((first == ord("-")) | ((first >= ord("0")) & (first <= ord("9")))).all():
        return None
    try:
        numbers = orjson.loads(b"[" + padded.tobytes()[:-1] + b"]")
        column = np.fromiter(numbers, np.float64, len(texts))
    except (ValueError, TypeError, OverflowError):
        return None
    if len(numbers) != len(texts) or not np.isfinite(column).all():
        return None
    column[quoted] = special
    # .NET writes the double -0.0 as `-0`, which a JSON parser takes for the integer 0.
    minus_zero = (lengths == 2) & (texts[:, 0] == ord("-")) & (column == 0.0)
    column[minus_zero] = -0.0
    return column
