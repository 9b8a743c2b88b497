"""Values rendered a column at a time, against the standard library's JSON of each value."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.emulator.pi.archive import Archive, Attributes, Point
from omnia_beam.emulator.pi.events import ANNOTATED, GOOD, QUESTIONABLE, STATE, SUBSTITUTED, Events
from omnia_beam.emulator.pi.rendering import Shown, number_text, rendered
from omnia_beam.emulator.pi.response import read_fields, selected
from omnia_beam.emulator.pi.times import shown_time

ERRORS = [{"FieldName": "Value", "Message": ["Failed to retrieve the value."]}]
MEMBERS = ["Timestamp", "UnitsAbbreviation", "Good", "Questionable", "Substituted", "Annotated", "Value", "Errors"]
TIMES = st.integers(0, 4 * 10**9).map(lambda second: second * 10**9) | st.integers(0, 4 * 10**16).map(lambda n: n * 100)
NUMBERS = {
    "Float64": st.floats(),
    "Float32": st.floats(width=32),
    "Int32": st.integers(-(2**31), 2**31 - 1).map(float),
    "Digital": st.integers(0, 3).map(float),
    "String": st.just(0.0),
}
ROWS = {
    kind: st.lists(
        st.tuples(
            TIMES, numbers, st.sampled_from([0, GOOD, GOOD | QUESTIONABLE, SUBSTITUTED, GOOD | ANNOTATED, STATE])
        ),
        max_size=6,
    )
    for kind, numbers in NUMBERS.items()
}


@pytest.fixture(scope="module")
def archive() -> Archive:
    found = Archive("EMU")
    found.add_set("MODES", states={0: "Off", 1: "On", 2: 'a "third"'})
    for kind in NUMBERS:
        found.add(Attributes(kind, kind, units="°C", digital_set="MODES"))
    return found


def shown(archive: Archive, point: Point, events: Events, row: int, failed: bool) -> dict[str, Any]:
    """One value as an object, by a description of the service alone."""
    marks, number, kind = int(events.marks[row]), float(events.numbers[row]), point.attributes.point_type
    value: Any = number
    if marks & STATE:
        value = {"Name": archive.system_state(int(number)), "Value": int(number), "IsSystem": True}
    elif kind == "Digital":
        value = {"Name": archive.digital_state("MODES", int(number)), "Value": int(number), "IsSystem": False}
    elif kind == "String":
        value = events.texts[row] if events.texts is not None else ""
    elif not math.isfinite(number):
        value = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    elif kind == "Int32":
        value = int(number)
    flags = {"Good": GOOD, "Questionable": QUESTIONABLE, "Substituted": SUBSTITUTED, "Annotated": ANNOTATED}
    found = {
        "Timestamp": shown_time(int(events.times[row])),
        "UnitsAbbreviation": "°C",
        **{name: bool(marks & bit) and not (failed and name == "Good") for name, bit in flags.items()},
        "Value": None if failed else value,
    }
    return {**found, "Errors": ERRORS} if failed else found


def same(kind: str, found: Any, expected: Any) -> bool:
    """Whether two objects have the same members in the same order; singles are shown by their shortest decimals."""
    if kind == "Float32" and isinstance(expected.get("Value"), float):
        found, expected = ({**each, "Value": float(np.float32(each["Value"]))} for each in (found, expected))
    return json.dumps(found) == json.dumps(expected)


@st.composite
def values(draw: st.DrawFn, kind: str) -> tuple[Events, np.ndarray | None]:
    """Values of a point of this type, and which of them carry errors."""
    rows = [(at, 246.0 if marks & STATE else number, marks) for at, number, marks in draw(ROWS[kind])]
    times, numbers, marks = (list(each) for each in zip(*rows, strict=True)) if rows else ([], [], [])
    texts = np.array([draw(st.text(max_size=4)) for _ in rows], object) if kind == "String" else None
    events = Events(np.array(times, np.int64), np.array(numbers, np.float64), np.array(marks, np.uint8), texts)
    failed = np.array([draw(st.booleans()) for _ in rows], bool) if draw(st.booleans()) else None
    return events, failed


@given(
    st.lists(st.sampled_from(list(NUMBERS)).flatmap(lambda kind: st.tuples(st.just(kind), values(kind))), min_size=1),
    st.sets(st.sampled_from(MEMBERS)) | st.just({"Value.Name", "Good"}),
)
def test_columns_are_rendered_as_the_values_one_by_one(
    archive: Archive, drawn: list[tuple[str, tuple[Events, np.ndarray | None]]], members: set[str]
) -> None:
    streams = []
    for kind, (events, failed) in drawn:
        point = archive.named(kind)
        assert point is not None
        streams.append(Shown(point, events, failed))
    fields = read_fields(";".join(sorted(members)))
    for (kind, (events, failed)), found in zip(drawn, rendered(archive, streams, fields), strict=True):
        texts, point = found.texts(), archive.named(kind)
        assert point is not None
        assert len(found) == len(texts) == len(events)
        for row, text in enumerate(texts):
            whole = shown(archive, point, events, row, failed is not None and bool(failed[row]))
            assert same(kind, json.loads(text), selected(whole, fields))
        assert bytes(found.joined()) == b",".join(texts)
        half = len(found) // 2
        assert bytes(found.first(half).joined()) == b",".join(texts[:half])


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.1, b"0.1"), (-0.0, b"-0.0"), (1e300, b"1e+300"), (math.nan, b'"NaN"'), (-math.inf, b'"-Infinity"')],
)
def test_a_number_as_json(number: float, text: bytes) -> None:
    assert number_text(number) == text
