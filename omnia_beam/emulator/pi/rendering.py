"""Archived values as the JSON of the service, a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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
_FLAGS: Final = {"Good": GOOD, "Questionable": QUESTIONABLE, "Substituted": SUBSTITUTED, "Annotated": ANNOTATED}
_PARTS: Final = ("timestamp", "unitsabbreviation", *(name.lower() for name in _FLAGS), "value", "errors")
_MARKS: Final = 2 * STATE
"""More than any combination of marks."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Values of one point that are to be rendered; those that `failed` marks carry errors instead of a value."""

    point: Point
    events: Events
    failed: NDArray[np.bool_] | None = None

    @property
    def marks(self) -> NDArray[np.uint8]:
        """Return the marks that are shown."""
        marks = self.events.marks
        return marks if self.failed is None else np.where(self.failed, marks & ~np.uint8(GOOD), marks)


def rendered(archive: Archive, streams: Sequence[Shown], fields: Fields) -> list[Rows]:
    """Return each value of each stream as a JSON object with the selected fields, or with all."""
    parts = frozenset(name for name in _PARTS if not fields or name in fields)
    sizes = [len(each.events) for each in streams]
    codes = np.concatenate([each.marks for each in streams]) + np.repeat(_MARKS * np.arange(len(streams)), sizes)
    middles: list[bytes | None] = [None] * (_MARKS * len(streams))
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        middles[code] = _middle(streams[code // _MARKS].point, code % _MARKS, parts)
    time: tuple[Any, ...] = ()
    if "timestamp" in parts:
        time = (shown_times(np.concatenate([each.events.times for each in streams])),)
    head = pa.scalar(b',{"Timestamp":"' if time else b",{", _BYTES)
    middle = _binaries(middles).take(pa.array(codes))
    objects = pc.binary_join_element_wise(head, *time, middle, _ends(archive, streams, parts), pa.scalar(b"", _BYTES))
    starts = np.cumsum([0, *sizes]).tolist()
    found = [Rows(objects.slice(start, stop - start)) for start, stop in pairwise(starts)]
    if any(fields.get(name) for name in parts):
        # A field within a value is selected: rare, so that it may cost another reading of the rows.
        return [Rows.of([orjson.dumps(selected(orjson.loads(row), fields)) for row in rows.texts()]) for rows in found]
    return found


def number_text(number: float) -> bytes:
    """Return one double as JSON."""
    odd = _ODD.get(str(number))
    return orjson.dumps(number) if odd is None else odd


def _ends(archive: Archive, streams: Sequence[Shown], parts: frozenset[str]) -> Any:
    """Return what closes the object of each value: the value itself where it is selected, and errors."""
    failed = _joined_failed(streams) if "errors" in parts or "value" in parts else None
    if "value" not in parts:
        if failed is None:
            return pa.scalar(b"}", _BYTES)
        return _replaced(_binaries([b"}"] * len(failed)), failed, [(b"," if len(parts) > 1 else b"") + _ERRORS])
    ends = pa.concat_arrays([_values_and_ends(archive, each) for each in streams])
    is_state = np.concatenate([(each.events.marks & STATE) != 0 for each in streams])
    if is_state.any():
        codes = np.concatenate([each.events.numbers for each in streams])[is_state].astype(np.int64).tolist()
        known = {code: _state(archive.system_state(code), code, system=True) for code in set(codes)}
        ends = _replaced(ends, is_state, [known[code] for code in codes])
    if failed is not None:
        ends = _replaced(ends, failed, [b"null" + (b"," + _ERRORS if "errors" in parts else b"")])
    return ends


def _joined_failed(streams: Sequence[Shown]) -> NDArray[np.bool_] | None:
    """Return which values carry errors; None where none does."""
    if all(each.failed is None for each in streams):
        return None
    return np.concatenate(
        [np.zeros(len(each.events), bool) if each.failed is None else each.failed for each in streams]
    )


def _values_and_ends(archive: Archive, stream: Shown) -> Any:
    """Return the JSON of each value, with the end of its object: a number, a text, or an object for a state."""
    attributes, events = stream.point.attributes, stream.events
    if attributes.point_type in ("String", "Timestamp"):
        given = [None] * len(events) if events.texts is None else events.texts.tolist()
        return _binaries([orjson.dumps("" if text is None else text) + b"}" for text in given])
    if attributes.point_type == "Digital":
        codes, places = np.unique(events.numbers.astype(np.int64), return_inverse=True)
        states = [
            _state(archive.digital_state(attributes.digital_set, code), code, system=False) for code in codes.tolist()
        ]
        return _binaries([state + b"}" for state in states]).take(pa.array(places))
    return _numbers_and_ends(events.numbers, attributes.point_type)


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


def _middle(point: Point, marks: int, parts: frozenset[str]) -> bytes:
    """Return what stands between the time and the value of an object."""
    members = []
    if "unitsabbreviation" in parts:
        members.append(b'"UnitsAbbreviation":' + orjson.dumps(point.attributes.units))
    for name, bit in _FLAGS.items():
        if name.lower() in parts:
            members.append(b'"%s":%s' % (name.encode(), b"true" if marks & bit else b"false"))
    if "value" in parts:
        members.append(b'"Value":')
    timed = "timestamp" in parts
    return (b'"' if timed else b"") + (b"," if timed and members else b"") + b",".join(members)
