"""Archived values as the JSON of the service, a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from omnia_beam.emulator.common.serving.response import Buffer
from omnia_beam.emulator.pi.archive import Archive, Point
from omnia_beam.emulator.pi.events import ANNOTATED, GOOD, QUESTIONABLE, STATE, SUBSTITUTED, Events
from omnia_beam.emulator.pi.response import Fields, selected
from omnia_beam.emulator.pi.times import shown_times

_INTEGERS: Final = ("Int16", "Int32")
_ERRORS: Final = b'"Errors":[{"FieldName":"Value","Message":["Failed to retrieve the value."]}]'
_ODD: Final = {"nan": b'"NaN"', "inf": b'"Infinity"', "-inf": b'"-Infinity"'}
_BYTES: Final = pa.large_binary()
_COMMA, _END = ord(","), ord("}")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Values as JSON objects; in the Arrow array of binaries each stands behind the comma that divides it from the one before."""

    objects: Any

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Rows:
        """Return rows of these objects."""
        return cls(_binaries([b"," + text for text in texts]))

    def __len__(self) -> int:
        return len(self.objects)

    def first(self, count: int) -> Rows:
        """Return so many of the rows."""
        return Rows(self.objects.slice(0, count))

    def joined(self) -> Buffer:
        """Return the objects with commas between them; they are not copied."""
        if not len(self):
            return b""
        _, offsets, texts = self.objects.buffers()
        first, stop = self.objects.offset, self.objects.offset + len(self)
        bounds = np.frombuffer(offsets, np.int64)
        return memoryview(texts).cast("B")[int(bounds[first]) + 1 : int(bounds[stop])]

    def texts(self) -> list[bytes]:
        """Return the objects one by one."""
        return [text[1:] for text in self.objects.to_pylist()]


def rendered(
    archive: Archive, point: Point, events: Events, fields: Fields, failed: NDArray[np.bool_] | None = None
) -> Rows:
    """Return each value as a JSON object with the selected fields, or with all.

    The values that `failed` marks carry errors instead of a value.
    """
    parts = _parts(point, fields)
    marks = events.marks
    if failed is not None and failed.any():
        marks = np.where(failed, marks & ~np.uint8(GOOD), marks)
    else:
        failed = None
    middles: list[bytes | None] = [None] * 256
    for mark in np.flatnonzero(np.bincount(marks)).tolist():
        middles[mark] = _middle(mark, parts)
    ends: Any = pa.scalar(b"}", _BYTES)
    if "value" in parts:
        ends = _values_and_ends(archive, point, events)
        if failed is not None:
            ends = _replaced(ends, failed, [b"null" + (b"," + _ERRORS if "errors" in parts else b"")])
    elif failed is not None and "errors" in parts:
        ends = _replaced(_binaries([b"}"] * len(events)), failed, [(b"," if len(parts) > 1 else b"") + _ERRORS])
    time: tuple[Any, ...] = (shown_times(events.times),) if "timestamp" in parts else ()
    head = b',{"Timestamp":"' if time else b",{"
    middle = _binaries(middles).take(pa.array(marks))
    rows = Rows(pc.binary_join_element_wise(pa.scalar(head, _BYTES), *time, middle, ends, pa.scalar(b"", _BYTES)))
    if any(fields.get(name) for name in parts):
        # A field within a value is selected: rare, so that it may cost another reading of the rows.
        return Rows.of([orjson.dumps(selected(orjson.loads(row), fields)) for row in rows.texts()])
    return rows


def number_text(number: float) -> bytes:
    """Return one double as JSON."""
    odd = _ODD.get(str(number))
    return orjson.dumps(number) if odd is None else odd


def _values_and_ends(archive: Archive, point: Point, events: Events) -> Any:
    """Return the JSON of each value, with the end of its object: a number, a text, or an object for a state."""
    kind = point.attributes.point_type
    if kind in ("String", "Timestamp"):
        given = [None] * len(events) if events.texts is None else events.texts.tolist()
        ends = _binaries([orjson.dumps("" if text is None else text) + b"}" for text in given])
    elif kind == "Digital":
        codes, places = np.unique(events.numbers.astype(np.int64), return_inverse=True)
        names = [archive.digital_state(point.attributes.digital_set, code) for code in codes.tolist()]
        states = [_state(name, code, system=False) for name, code in zip(names, codes.tolist(), strict=True)]
        ends = _binaries([state + b"}" for state in states]).take(pa.array(places))
    else:
        ends = _numbers_and_ends(events.numbers, kind)
    is_state = (events.marks & STATE) != 0
    if is_state.any():
        codes = events.numbers[is_state].astype(np.int64).tolist()
        known = {code: _state(archive.system_state(code), code, system=True) for code in set(codes)}
        ends = _replaced(ends, is_state, [known[code] for code in codes])
    return ends


def _numbers_and_ends(numbers: NDArray[np.float64], kind: str) -> Any:
    """Return numbers as JSON: those of Float32 as the shortest decimals of the single, NaN and infinities as texts."""
    if not len(numbers):
        return _binaries([])
    column: NDArray[Any] = numbers
    if kind in _INTEGERS:
        column = numbers.astype(np.int64)
    elif kind in ("Float32", "Float16"):
        with np.errstate(over="ignore"):
            column = numbers.astype(np.float32)
    text = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)
    # `[1,2]` with ends in place of what divides the numbers: each then stands directly behind the one before.
    ended = np.frombuffer(text, np.uint8).copy()
    ended[-1] = _COMMA
    places = np.flatnonzero(ended == _COMMA)
    ended[places] = _END
    bounds = np.concatenate([[1], places + 1])
    ends = pa.LargeBinaryArray.from_buffers(_BYTES, len(numbers), [None, pa.py_buffer(bounds), pa.py_buffer(ended)])
    odd = ~np.isfinite(numbers)
    return _replaced(ends, odd, [_ODD[str(number)] for number in numbers[odd].tolist()]) if odd.any() else ends


def _replaced(ends: Any, which: NDArray[np.bool_], texts: list[bytes]) -> Any:
    """Return values with others in some places: one text for each of these, or one for all."""
    texts = texts * int(which.sum()) if len(texts) == 1 else texts
    return pc.replace_with_mask(ends, pa.array(which), _binaries([text + b"}" for text in texts]))


def _binaries(texts: Sequence[bytes | None]) -> Any:
    return pa.array(texts, _BYTES)


def _state(name: str, code: int, *, system: bool) -> bytes:
    return orjson.dumps({"Name": name, "Value": code, "IsSystem": system})


def _parts(point: Point, fields: Fields) -> dict[str, bytes]:
    """Return the fields that are written, with the fixed text of the unit."""
    parts = dict.fromkeys(("timestamp", "good", "questionable", "substituted", "annotated", "value", "errors"), b"")
    parts["unitsabbreviation"] = b'"UnitsAbbreviation":' + orjson.dumps(point.attributes.units)
    return {name: text for name, text in parts.items() if not fields or name in fields}


def _middle(marks: int, parts: dict[str, bytes]) -> bytes:
    """Return what stands between the time and the value of an object."""
    members = [parts["unitsabbreviation"]] if "unitsabbreviation" in parts else []
    for name, bit in (
        ("Good", GOOD),
        ("Questionable", QUESTIONABLE),
        ("Substituted", SUBSTITUTED),
        ("Annotated", ANNOTATED),
    ):
        if name.lower() in parts:
            members.append(b'"%s":%s' % (name.encode(), b"true" if marks & bit else b"false"))
    if "value" in parts:
        members.append(b'"Value":')
    timed = "timestamp" in parts
    return (b'"' if timed else b"") + (b"," if timed and members else b"") + b",".join(members)
