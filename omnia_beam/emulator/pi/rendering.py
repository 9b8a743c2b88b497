"""Archived values as the JSON of the service, a column at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from omnia_beam.emulator.pi.archive import Archive, Point
from omnia_beam.emulator.pi.events import ANNOTATED, GOOD, QUESTIONABLE, STATE, SUBSTITUTED, Events
from omnia_beam.emulator.pi.response import Fields, selected
from omnia_beam.emulator.pi.times import shown_times

_INTEGERS: Final = ("Int16", "Int32")
_VALUE_ERROR: Final = b'[{"FieldName":"Value","Message":["Failed to retrieve the value."]}]'
_ODD: Final = {"nan": b'"NaN"', "inf": b'"Infinity"', "-inf": b'"-Infinity"'}


def rendered(
    archive: Archive, point: Point, events: Events, fields: Fields, failed: NDArray[np.bool_] | None = None
) -> list[bytes]:
    """Return each value as a JSON object with the selected fields, or with all.

    The values that `failed` marks carry errors instead of a value.
    """
    texts = value_texts(archive, point, events)
    parts = _parts(point, fields)
    marks = events.marks
    if failed is not None and failed.any():
        marks = np.where(failed, marks & ~np.uint8(GOOD), marks)
        for row in np.flatnonzero(failed).tolist():
            texts[row] = b"null" + (b',"Errors":' + _VALUE_ERROR if "errors" in parts else b"")
    else:
        failed = None
    rows = _rows(events, marks, texts, parts)
    if failed is not None and "value" not in parts and "errors" in parts:
        for row in np.flatnonzero(failed).tolist():
            rows[row] = rows[row][:-1] + (b"," if len(rows[row]) > 2 else b"") + b'"Errors":' + _VALUE_ERROR + b"}"
    if any(fields.get(name) for name in parts):
        # A field within a value is selected: rare, so that it may cost another reading of the rows.
        return [orjson.dumps(selected(orjson.loads(row), fields)) for row in rows]
    return rows


def _rows(events: Events, marks: NDArray[np.uint8], texts: list[bytes], parts: dict[str, bytes]) -> list[bytes]:
    """Return the objects: a text before the time, one for each combination of marks, the value and the end."""
    timed, valued = "timestamp" in parts, "value" in parts
    flags = {mark: _flags(mark, parts) for mark in np.unique(marks).tolist()}
    middles = {
        mark: (b'"' if timed else b"")
        + (b"," if timed and flag else b"")
        + flag
        + (b',"Value":' if valued and (timed or flag) else b'"Value":' if valued else b"")
        for mark, flag in flags.items()
    }
    between = [middles[mark] for mark in marks.tolist()]
    if not timed:
        ends = texts if valued else [b""] * len(texts)
        return [b"{%b%b}" % row for row in zip(between, ends, strict=True)]
    times = shown_times(events.times)
    if not valued:
        return [b'{"Timestamp":"%b%b}' % row for row in zip(times, between, strict=True)]
    return [b'{"Timestamp":"%b%b%b}' % row for row in zip(times, between, texts, strict=True)]


def value_texts(archive: Archive, point: Point, events: Events) -> list[bytes]:
    """Return the JSON of each value: a number, a text, or an object for a digital or a system state."""
    texts = _plain_texts(archive, point, events)
    states = np.flatnonzero(events.marks & STATE)
    if len(states):
        known: dict[int, bytes] = {}
        for row in states.tolist():
            code = int(events.numbers[row])
            if code not in known:
                known[code] = _state(archive.system_state(code), code, system=True)
            texts[row] = known[code]
    return texts


def _plain_texts(archive: Archive, point: Point, events: Events) -> list[bytes]:
    kind = point.attributes.point_type
    if kind in ("String", "Timestamp"):
        given = [None] * len(events) if events.texts is None else events.texts.tolist()
        return [orjson.dumps("" if text is None else text) for text in given]
    if kind == "Digital":
        name_of: Callable[[int], str] = lambda code: archive.digital_state(point.attributes.digital_set, code)  # noqa: E731 - used twice below
        codes = events.numbers.astype(np.int64).tolist()
        known = {code: _state(name_of(code), code, system=False) for code in set(codes)}
        return [known[code] for code in codes]
    return number_texts(events.numbers, kind)


def number_texts(numbers: NDArray[np.float64], kind: str) -> list[bytes]:
    """Return numbers as JSON: those of Float32 as the shortest decimals of the single, NaN and infinities as texts."""
    if not len(numbers):
        return []
    column: NDArray[Any] = numbers
    if kind in _INTEGERS:
        column = numbers.astype(np.int64)
    elif kind in ("Float32", "Float16"):
        with np.errstate(over="ignore"):
            column = numbers.astype(np.float32)
    column = np.ascontiguousarray(column)
    texts = orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    for row in np.flatnonzero(~np.isfinite(numbers)).tolist():
        texts[row] = _ODD[str(float(numbers[row]))]
    return texts


def _state(name: str, code: int, *, system: bool) -> bytes:
    return orjson.dumps({"Name": name, "Value": code, "IsSystem": system})


def _parts(point: Point, fields: Fields) -> dict[str, bytes]:
    """Return the fields that are written, with the fixed text of the unit."""
    parts = dict.fromkeys(("timestamp", "good", "questionable", "substituted", "annotated", "value", "errors"), b"")
    parts["unitsabbreviation"] = b'"UnitsAbbreviation":' + orjson.dumps(point.attributes.units)
    return {name: text for name, text in parts.items() if not fields or name in fields}


def _flags(marks: int, parts: dict[str, bytes]) -> bytes:
    members = [parts["unitsabbreviation"]] if "unitsabbreviation" in parts else []
    for name, bit in (
        ("Good", GOOD),
        ("Questionable", QUESTIONABLE),
        ("Substituted", SUBSTITUTED),
        ("Annotated", ANNOTATED),
    ):
        if name.lower() in parts:
            members.append(b'"%s":%s' % (name.encode(), b"true" if marks & bit else b"false"))
    return b",".join(members)
