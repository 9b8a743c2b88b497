"""Datapoints in JSON of any layout: keys in any order, with spaces, in any form that a JSON parser accepts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from omnia_beam.core.errors import WireFormatError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.core.timestamps import parse_time
from omnia_beam.wire.json_points import NOT_FINITE
from omnia_beam.wire.page import STATUS, TIME, VALUE, Column
from omnia_beam.wire.time_texts import MAX_TEXT_BYTES, read_times

_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)
_KINDS: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a point",
    str: "a text",
    list: "an array",
    dict: "an object",
}
_NOT_FINITE: Final = {text.strip('"'): number for text, number in NOT_FINITE.items()}


def read_objects(points: list[Any], place: str) -> dict[str, Column]:
    """Return the columns of datapoints that a JSON parser made, which must all have the same keys.

    place: names the array in errors. Returns columns in the order of the first point's keys: `time` int64 ns, `status`
    uint32, every other float64. Raises WireFormatError naming the point and the key.
    """
    if not points:
        return {}
    return {key: _column(key, [point[key] for point in points], place) for key in _keys(points, place)}


def _column(key: str, found: list[Any], place: str) -> Column:
    """Return one member of all points as a column, converted at once where all are plain, otherwise one by one."""
    column = _PLAIN.get(key, _plain_numbers)(found)
    if column is not None:
        return column
    read: Callable[[Any], Any] = _READERS.get(key, _read_number)
    numbers: list[Any] = []
    for nth, member in enumerate(found):
        try:
            numbers.append(read(member))
        except ValueError as error:
            raise WireFormatError(f"{place}[{nth}].{key}: {error}") from None
    return np.array(numbers, _DTYPES.get(key, np.float64))


def _plain_times(found: list[Any]) -> Column | None:
    if set(map(type, found)) != {str}:
        return None
    lengths = np.fromiter(map(len, found), np.intp, len(found))
    if not 0 < int(lengths.min()) <= int(lengths.max()) <= MAX_TEXT_BYTES:
        return None
    try:
        texts = np.array(found, f"S{MAX_TEXT_BYTES}")
    except UnicodeEncodeError:
        return None
    return read_times(texts.view(np.uint8).reshape(len(found), MAX_TEXT_BYTES), lengths)


def _plain_statuses(found: list[Any]) -> Column | None:
    fits = set(map(type, found)) == {int} and min(found) >= 0 and max(found) <= MAX_STATUS
    return np.array(found, np.uint32) if fits else None


def _plain_numbers(found: list[Any]) -> Column | None:
    return np.fromiter(found, np.float64, len(found)) if set(map(type, found)) <= {int, float} else None


def _keys(points: list[Any], place: str) -> list[str]:
    for nth, point in enumerate(points):
        if not isinstance(point, dict):
            raise WireFormatError(f"{place}[{nth}] is {kind_of(point)}, not an object")
        if point.keys() != points[0].keys():
            differing = sorted(point.keys() ^ points[0].keys())
            raise WireFormatError(f"{place}[{nth}] and the first point differ in their keys: {differing}")
    keys = list(points[0])
    if TIME not in keys:
        raise WireFormatError(f"{place}[0] has no {TIME!r}, only {keys}")
    if not set(keys) - {TIME, STATUS}:
        raise WireFormatError(f"{place}[0] has no {VALUE!r} and no aggregate, only {keys}")
    return keys


def _read_time(found: Any) -> int:
    if not isinstance(found, str) or not _RFC3339.fullmatch(found):
        raise ValueError(f"expected a time such as '2021-02-01T09:54:05.42Z', found {kind_of(found)}")
    return parse_time(found)


def _read_status(found: Any) -> int:
    if type(found) is not int or not 0 <= found <= MAX_STATUS:
        raise ValueError(
            f"expected an integer from 0 to 2^32 - 1, found {found if type(found) is int else kind_of(found)}"
        )
    return found


def _read_number(found: Any) -> float:
    if isinstance(found, str) and found in _NOT_FINITE:
        return _NOT_FINITE[found]
    if type(found) not in (int, float):
        raise ValueError(f"expected a number, found {kind_of(found)}")
    return float(found)  # the JSON parser has refused numbers that no double can hold


_DTYPES: Final = {TIME: np.int64, STATUS: np.uint32}
_PLAIN: Final[dict[str, Callable[[list[Any]], Column | None]]] = {TIME: _plain_times, STATUS: _plain_statuses}
_READERS: Final[dict[str, Callable[[Any], Any]]] = {TIME: _read_time, STATUS: _read_status}


def kind_of(found: Any) -> str:
    """Name the kind of a value in a JSON response, without a measurement or a text of unknown length."""
    return "null" if found is None else _KINDS[type(found)]
