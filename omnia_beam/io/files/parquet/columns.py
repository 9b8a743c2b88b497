"""Convert columns of foreign Parquet files to names, times, values and statuses, exactly, or refuse them by row.

All usual types of texts, numbers and times are accepted: dictionaries, views, binaries and UUIDs as names; decimals and
integers of any width as values; INT96, dates and texts as times. What a point cannot hold is refused with its row, and
whole numbers beyond 2^53 are counted.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS
from omnia_beam.io.files.csv.times import TimeForm, local_to_utc, parse_time_cell, parse_times

EXACT_INTEGER: Final = 2**53
"""Limit up to which every whole number has a float64 of its own."""

_UNIT_NS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS: Final = 86_400 * 1_000_000_000
_SHOWN: Final = 60
_WHEN: Final = "what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file that an array holds, for messages.

    Args:
        path: of the file.
        first: number of the array's first row in the file, from 1.
        kept: indexes of the rows that the array still holds; None for all.
    """

    path: str
    first: int
    kept: npt.NDArray[np.int64] | None = None

    def place(self, index: int) -> str:
        """Return the place of a row, such as `in.parquet: row 17`."""
        return f"{self.path}: row {self.first + (index if self.kept is None else int(self.kept[index]))}"

    def complaint(self, index: int, column: str, text: str) -> UsageError:
        return UsageError(f"{self.place(index)}: column {column!r}: {text}")

    def refusal(self, column: str, kind: Any, wanted: str) -> UsageError:
        """Return the error for a column whose type cannot be read."""
        cure = "convert it, or name another column"
        if pa.types.is_nested(kind):
            cure = "write its parts into columns of their own, one row per point"
        return UsageError(f"{self.path}: column {column!r} is {kind}, not {wanted}: {cure} (source.columns)")


def plain(column: Any) -> Any:
    """Return a column as one Arrow array of its own values: no chunks, no extension type, no runs, no dictionary of numbers."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # combine_chunks returns this for a column of no chunks
        array = pa.array([], array.type) if not array.num_chunks else pa.concat_arrays(array.chunks)
    kind = array.type
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(array))
    if isinstance(kind, pa.BaseExtensionType) and not _is_uuid(kind):
        return plain(array.storage)
    if pa.types.is_dictionary(kind) and not _is_textual(kind.value_type):
        return plain(array.dictionary_decode())
    return array


def has_value(array: Any) -> npt.NDArray[np.bool_]:
    """Return for each row whether it has a value."""
    valid: npt.NDArray[np.bool_] = pc.is_valid(array).to_numpy(zero_copy_only=False)
    return valid


def names_of(array: Any, column: str, rows: Rows) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return for each row the index of its name, and the names, each once.

    Raises:
        UsageError: a row has no name, a name is no text, or the column holds neither texts nor whole numbers.
    """
    kind = array.type
    of = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (_is_textual(of) or _is_uuid(of) or pa.types.is_integer(of)):
        raise rows.refusal(column, kind, "text")
    if not pa.types.is_dictionary(kind):
        array = (array.storage if _is_uuid(kind) else array).dictionary_encode()
    codes = array.indices
    texts = [_name(value, _is_uuid(of)) for value in array.dictionary.to_pylist()]
    wrong = [index for index, text in enumerate(texts) if not text]
    bad = ~has_value(codes)
    codes = codes.fill_null(0).to_numpy().astype(np.int32)
    if wrong and len(codes):
        bad |= np.isin(codes, wrong)
    if bad.any():
        at = int(bad.argmax())
        known = array.dictionary[int(codes[at])].as_py() if len(texts) and array.indices[at].is_valid else None
        text = "a row names no series" if known in (None, "", b"") else f"{known!r} is not text in UTF-8"
        raise rows.complaint(at, column, text)
    names = list(dict.fromkeys(text for text in texts if text))
    if len(names) != len(texts):  # a dictionary may hold the same name twice
        position = {name: index for index, name in enumerate(names)}
        codes = np.array([position.get(text or "", 0) for text in texts], np.int32)[codes]
    return codes, names


def times_of(array: Any, column: str, rows: Rows, unit: str, form: TimeForm) -> npt.NDArray[np.int64]:
    """Return times as int64 ns since the Unix epoch.

    Args:
        array: timestamps, dates, whole numbers or texts.
        column: the column's name.
        rows: the rows of the array, for messages.
        unit: the unit of whole numbers.
        form: the format of texts, and the zone of times without one.

    Raises:
        UsageError: a row has no time, a time outside of what int64 ns hold, or one that the zone's clocks showed twice or never.
    """
    missing = ~has_value(array)
    if missing.any():
        raise rows.complaint(int(missing.argmax()), column, "a row has no time")
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if _is_textual(kind):
        return _text_times(_texts(array, column, rows), column, rows, form)
    if pa.types.is_timestamp(kind):
        times = _scaled(array.cast(pa.int64()).to_numpy(), _UNIT_NS[kind.unit], column, rows)
        return times if kind.tz is not None else _from_zone(times, form.zone, column, rows)
    if pa.types.is_date(kind):
        days = array.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
        return _from_zone(_scaled(days, _DAY_NS, column, rows), form.zone, column, rows)
    if pa.types.is_integer(kind):
        counts = array.to_numpy()
        if counts.dtype == np.uint64 and len(counts) and int(counts.max()) > MAX_TIME_NS:
            raise rows.complaint(int(counts.argmax()), column, f"{counts.max()} {unit} is outside {_WHEN}")
        return _scaled(counts.astype(np.int64), _UNIT_NS[unit], column, rows)
    raise rows.refusal(column, kind, "a timestamp or an integer, nor a date or a text")


def values_of(array: Any, column: str, rows: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_] | None]:
    """Return values as float64, and a mask of those that are whole numbers beyond 2^53; None where there are none.

    Decimals become the nearest float64.

    Raises:
        UsageError: the column holds no numbers.
    """
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan), None
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        return _floats(array.cast(pa.float64())), None
    if pa.types.is_decimal(kind):
        # By way of texts, because Arrow's conversion of decimals to floats is sometimes off by a bit.
        values = _floats(array.cast(pa.string()).cast(pa.float64()))
        return values, _beyond(values) if kind.scale <= 0 else None
    if not pa.types.is_integer(kind):
        raise rows.refusal(column, kind, "a number")
    if kind.bit_width < 64:
        return _floats(array.cast(pa.float64())), None
    values = _floats(array.cast(pa.float64(), safe=False))
    # The float of 2^53 + 1 is 2^53 itself, so the integers are compared.
    beyond = pc.or_(
        pc.greater(array, pa.scalar(EXACT_INTEGER, kind)),
        pc.less(array, pa.scalar(-EXACT_INTEGER if pa.types.is_signed_integer(kind) else 0, kind)),
    )
    mask = beyond.fill_null(False).to_numpy(zero_copy_only=False)
    return values, mask if mask.any() else None


def statuses_of(array: Any, column: str, rows: Rows, default: int) -> npt.NDArray[np.uint32]:
    """Return statuses as uint32; `default` where there is none.

    Raises:
        UsageError: a status is no whole number of 32 bits, or the column holds no numbers.
    """
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), default, np.uint32)
    if pa.types.is_integer(kind):
        numbers = array.fill_null(default).to_numpy() if array.null_count else array.to_numpy()
        bad = (numbers < 0) | (numbers > MAX_STATUS)
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = _floats(array.cast(pa.string()).cast(pa.float64()) if pa.types.is_decimal(kind) else array)
        numbers = np.where(np.isnan(numbers), float(default), numbers).astype(np.float64)
        bad = ~((numbers >= 0) & (numbers <= MAX_STATUS) & (numbers == np.floor(numbers)))
    else:
        raise rows.refusal(column, kind, "a whole number")
    if bad.any():
        at = int(bad.argmax())
        text = f"{numbers[at]} is not a status, a whole number of 32 bits (0 to {MAX_STATUS})"
        raise rows.complaint(at, column, text)
    statuses: npt.NDArray[np.uint32] = numbers.astype(np.uint32)
    return statuses


def check_int96(ns: npt.NDArray[np.int64], seconds: npt.NDArray[np.int64], column: str, rows: Rows) -> None:
    """Refuse INT96 times that int64 ns cannot hold, since Arrow lets them wrap.

    Args:
        ns, seconds: the same times, read in the two units.
    """
    bad = (seconds > MAX_TIME_NS // _UNIT_NS["s"] - 1) | (seconds <= MIN_TIME_NS // _UNIT_NS["s"])
    bad |= ns // _UNIT_NS["s"] != seconds
    if bad.any():
        raise rows.complaint(int(bad.argmax()), column, f"the time is outside {_WHEN}")


def _is_textual(kind: Any) -> bool:
    of = pa.types
    return any(
        check(kind)
        for check in (
            of.is_string,
            of.is_large_string,
            of.is_string_view,
            of.is_binary,
            of.is_large_binary,
            of.is_binary_view,
            of.is_fixed_size_binary,
        )
    )


def _is_uuid(kind: Any) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _name(value: Any, is_uuid: bool) -> str | None:
    """Return a name as text; None where the value is no text."""
    if value is None:
        return None
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        if is_uuid:
            return str(uuid.UUID(bytes=value))
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value)


def _texts(array: Any, column: str, rows: Rows) -> Any:
    """Return texts as Arrow strings."""
    try:
        if pa.types.is_fixed_size_binary(array.type):
            array = array.cast(pa.binary())
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        for index, value in enumerate(array.to_pylist()):
            if isinstance(value, bytes) and _name(value, is_uuid=False) is None:
                raise rows.complaint(index, column, "the time is not text in UTF-8") from None
        raise


def _text_times(texts: Any, column: str, rows: Rows, form: TimeForm) -> npt.NDArray[np.int64]:
    try:
        return parse_times(texts, form).earlier
    except ValueError:  # includes ArrowInvalid; one by one finds the cell, and reads some that Arrow does not
        return _one_by_one(texts.to_pylist(), lambda text: parse_time_cell(text.strip(), form)[0], column, rows, form)


def _one_by_one(
    texts: list[str], parse: Callable[[str], int], column: str, rows: Rows, form: TimeForm
) -> npt.NDArray[np.int64]:
    times = np.empty(len(texts), np.int64)
    for index, text in enumerate(texts):
        try:
            times[index] = parse(text)
        except ValueError as error:
            shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
            how = (
                f"as {form.pattern}"
                if form.pattern
                else "in RFC 3339; set source.time_format if it is written otherwise"
            )
            raise rows.complaint(index, column, f"{shown} is not a time {how} ({error})") from None
    return times


def _scaled(counts: npt.NDArray[np.int64], factor: int, column: str, rows: Rows) -> npt.NDArray[np.int64]:
    if factor > 1 and len(counts):
        bad = (counts > MAX_TIME_NS // factor) | (counts < -(-MIN_TIME_NS // factor))
        if bad.any():
            raise rows.complaint(int(bad.argmax()), column, f"the time is outside {_WHEN}")
    times: npt.NDArray[np.int64] = counts * factor
    return times


def _from_zone(times: npt.NDArray[np.int64], zone: str, column: str, rows: Rows) -> npt.NDArray[np.int64]:
    try:
        return local_to_utc(times, zone)
    except ValueError as error:
        raise rows.complaint(
            bisect_left(range(len(times)), True, key=lambda index: _fails(times[: index + 1], zone)), column, str(error)
        ) from error


def _fails(times: npt.NDArray[np.int64], zone: str) -> bool:
    try:
        local_to_utc(times, zone)
    except ValueError:
        return True
    return False


def _floats(array: Any) -> npt.NDArray[np.float64]:
    floats: npt.NDArray[np.float64] = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return floats


def _beyond(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_] | None:
    mask: npt.NDArray[np.bool_] = np.abs(values) > EXACT_INTEGER
    return mask if mask.any() else None
