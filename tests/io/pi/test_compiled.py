"""The kernel's reading of recorded values: what it takes, what it leaves to others, and that all of them agree to the bit."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnia_beam.core import kernel
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.io.pi import compiled, decode
from omnia_beam.io.pi.recorded import Recorded
from tests.io.pi.recorded_oracle import ITEMS, LAYOUTS, NAMES, TIMES, bits, row_of, rows
from tests.wire.readings import reading_with

COMPILED = kernel.COMPILED
pytestmark = pytest.mark.skipif(COMPILED is None, reason="this installation has no compiled kernel")

TIME = "2024-01-01T00:00:00Z"
PLAIN_TEXTS = st.text("abcÅ°日\U0001f600 :,{}[]", max_size=8)
PLAIN_VALUES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**31), 2**31)
    | PLAIN_TEXTS
    | st.fixed_dictionaries(
        {"Name": PLAIN_TEXTS, "Value": st.integers(-(2**31) + 1, 2**31 - 1)}, optional={"IsSystem": st.booleans()}
    )
)
FLAGS = {"Good": st.booleans(), "Questionable": st.booleans(), "Substituted": st.booleans()}
PLAIN_ITEM = st.fixed_dictionaries(
    {"Timestamp": TIMES, "UnitsAbbreviation": NAMES, **FLAGS, "Annotated": st.booleans(), "Value": PLAIN_VALUES}
)


@st.composite
def plain_items(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Values in one order of members, many of which differ from the one before in time and value alone."""
    found = draw(st.lists(PLAIN_ITEM, max_size=4))
    order = draw(st.permutations(list(found[0]))) if found else []
    repeated = draw(st.integers(1, 3))
    return [
        {name: ({**each, **draw(changes)} if at else each)[name] for name in order}
        for each in found
        for at in range(repeated)
        for changes in [st.fixed_dictionaries({"Timestamp": TIMES, "Value": PLAIN_VALUES})]
    ]


def one(body: bytes) -> Recorded | None:
    assert COMPILED is not None
    found = compiled.recorded_columns(COMPILED, body, ["a"])
    return None if found is None else found[0][1]


def item(**members: Any) -> str:
    return json.dumps({"Timestamp": TIME, "Good": True, "Value": 1, **members})


def body_of(*items: str, **others: Any) -> bytes:
    more = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in others.items())
    return f'{{"Links":{{}},"Items":[{",".join(items)}]{more}}}'.encode()


def outcome(reading: str, body: bytes, web_ids: list[str]) -> Any:
    """What a way to read makes of a body: the rows of its streams, or the error."""
    with reading_with(reading):
        try:
            return [(name, rows(values)) for name, values in decode.decode_recorded(body, web_ids).items()]
        except OmniaBeamError as error:
            return type(error), str(error)


def test_the_kernel_is_asked_first() -> None:
    body = body_of(item(), item(Value="x", Good=False))
    found = one(body)
    assert found is not None
    assert rows(found) == rows(decode.decode_recorded(body, ["a"])["a"])
    assert outcome("compiled", body, ["a"]) == outcome("numpy", body, ["a"])


@given(plain_items(), st.sampled_from(LAYOUTS))
def test_the_plain_form_is_taken_and_read_as_by_the_standard_library(
    items: list[Any], layout: Mapping[str, Any]
) -> None:
    body = json.dumps({"Links": {}, "Items": items, "UnitsAbbreviation": "°C"}, **{**layout, "ensure_ascii": False})
    found = one(body.encode())
    assert found is not None
    assert rows(found) == bits([row_of(each) for each in items])
    found.texts.validate(full=True)


@given(st.lists(plain_items(), min_size=2, max_size=4), st.sampled_from(LAYOUTS))
def test_streams_are_told_apart(streams: list[list[Any]], layout: Mapping[str, Any]) -> None:
    assert COMPILED is not None
    content = [
        {"WebId": f"w{at}", "Name": "x", "Path": r"\\S\x", "Links": {"Self": "…"}, "Items": items}
        for at, items in enumerate(streams)
    ]
    body = json.dumps({"Items": content}, **{**layout, "ensure_ascii": False}).encode()
    found = compiled.recorded_columns(COMPILED, body, [each["WebId"] for each in content])
    assert found is not None
    assert [(name, rows(values)) for name, values in found] == [
        (each["WebId"], bits([row_of(item) for item in each["Items"]])) for each in content
    ]
    assert compiled.recorded_columns(COMPILED, body, ["w0"]) is None
    if len(streams) > 2:
        assert compiled.recorded_columns(COMPILED, body, ["w0", "w1"]) is None  # more than were asked for


DAMAGE = st.lists(
    st.tuples(st.integers(0), st.sampled_from(["replace", "insert", "remove", "cut", "repeat"]), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)
BYTES = b'"\\{}[]:,0123456789eE+-.tfnu \n\xc3\xff\x00ZT'


def damaged(body: bytes, damage: list[tuple[int, str, int]]) -> bytes:
    for place, kind, byte in damage:
        at = place % (len(body) + 1)
        new = bytes([BYTES[byte % len(BYTES)] if byte < 200 else byte])
        body = {
            "replace": body[:at] + new + body[at + 1 :],
            "insert": body[:at] + new + body[at:],
            "remove": body[:at] + body[at + 1 :],
            "cut": body[:at],
            "repeat": body[:at] + body[max(0, at - byte % 60) : at] + body[at:],
        }[kind]
    return body


@given(ITEMS | plain_items(), st.sampled_from(LAYOUTS), DAMAGE)
def test_of_a_damaged_body_all_ways_to_read_make_the_same(
    items: list[Any], layout: Mapping[str, Any], damage: list[tuple[int, str, int]]
) -> None:
    body = damaged(json.dumps({"Items": items, "UnitsAbbreviation": "bar"}, **layout).encode(), damage)
    assert outcome("compiled", body, ["a"]) == outcome("numpy", body, ["a"])


@given(st.lists(ITEMS | plain_items(), min_size=2, max_size=3), st.sampled_from(LAYOUTS), DAMAGE)
def test_of_damaged_streams_all_ways_to_read_make_the_same(
    streams: list[Any], layout: Mapping[str, Any], damage: list[tuple[int, str, int]]
) -> None:
    content = [{"WebId": f"w{at}", "Name": "x", "Items": items} for at, items in enumerate(streams)]
    body = damaged(json.dumps({"Items": content}, **layout).encode(), damage)
    web_ids = [f"w{at}" for at in range(len(streams))]
    assert outcome("compiled", body, web_ids) == outcome("numpy", body, web_ids)


@given(plain_items().filter(bool))
def test_a_body_that_is_cut_anywhere_is_not_taken(items: list[Any]) -> None:
    body = json.dumps({"Items": items}, ensure_ascii=False).encode()
    assert one(body) is not None
    for size in range(len(body)):
        assert one(body[:size]) is None


def number_bits(text: str) -> int:
    found = one(body_of(item(Value=0).replace('"Value": 0', f'"Value": {text}')))
    assert found is not None, text
    return int(found.numbers.view(np.uint64)[0])


@given(
    st.booleans(),
    st.integers(0, 10**20) | st.integers(2**53 - 3, 2**54 + 3) | st.integers(2**63 - 3, 2**64 + 3),
    st.integers(0, 25),
    st.none() | st.integers(-45, 45),
    st.sampled_from(["e", "E"]),
    st.sampled_from(["", "+"]),
)
@example(False, 9_007_199_254_740_993, 0, None, "e", "")  # between two doubles: the even one
@example(False, 9_007_199_254_740_995, 0, 0, "e", "")
@example(False, 9_007_199_254_740_993, 0, 22, "e", "+")
@example(False, 1, 0, -45, "e", "")
@example(True, 0, 3, None, "e", "")
def test_decimals_become_the_nearest_double(
    negative: bool, digits: int, point: int, power: int | None, mark: str, plus: str
) -> None:
    text = f"{digits:0{point + 1}d}"
    if point:
        text = f"{text[:-point]}.{text[-point:]}"
    if power is not None:
        text += f"{mark}{plus if power >= 0 else ''}{power}"
    text = ("-" if negative else "") + text
    assert number_bits(text) == struct.unpack("<Q", struct.pack("<d", float(text)))[0]


@given(st.integers(0, 2**64 - 1))
def test_doubles_come_back_from_their_shortest_and_their_exact_decimals(pattern: int) -> None:
    number = struct.unpack("<d", struct.pack("<Q", pattern))[0]
    if np.isfinite(number):
        assert number_bits(repr(number)) == pattern
        assert number_bits(f"{number:.17e}") == pattern
        assert number_bits(f"{number:.800e}") == pattern


@pytest.mark.parametrize("text", ["01", "1.", ".5", "+1", "-", "1e", "1e+", "0x10", "1_0", "1e999", "-1e999", "--1"])
def test_what_is_no_number_is_not_taken(text: str) -> None:
    assert one(body_of(item(Value=0).replace('"Value": 0', f'"Value": {text}'))) is None


@pytest.mark.parametrize(
    "time",
    [
        "2024-01-01T00:00:00+00:00",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00.0123456789Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T24:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "1677-12-31T00:00:00Z",
        "2262-01-01T00:00:00Z",
        "2024-01-0aT00:00:00Z",
        "",
    ],
)
def test_times_of_another_form_are_left_to_others(time: str) -> None:
    assert one(body_of(item(Timestamp=time))) is None
    assert one(body_of(item(), item(Timestamp=time))) is None


@pytest.mark.parametrize("day", ["1678-01-01", "1900-02-28", "2000-02-29", "2024-02-29", "2024-12-31", "2261-12-31"])
def test_days_are_those_of_the_calendar(day: str) -> None:
    found = one(body_of(item(Timestamp=f"{day}T23:59:59.123456789Z")))
    assert found is not None
    assert found.times.tolist() == [int(np.datetime64(f"{day}T23:59:59.123456789", "ns").astype(np.int64))]


STATE = {"Name": "Shutdown", "Value": 254, "IsSystem": True}


@pytest.mark.parametrize(
    "text",
    [
        item(Value='a"b'),  # an escape
        item(Value=True),
        item(Value=None, Good=False),
        item(Value=[1]),
        item(Value={"Name": "x"}),
        item(Value={"Value": 1}),
        item(Value={**STATE, "Value": 1.5}),
        item(Value={**STATE, "Value": 2**31}),
        item(Value={**STATE, "Name": None}),
        item(Value={**STATE, "IsSystem": None}),
        item(Value={**STATE, "Other": 1}),
        item(Good=None),
        item(Questionable=None),
        item(Errors=[]),
        item(Errors=[{"FieldName": "Value"}]),
        item(State=STATE),
        item(Text="x"),
        item(Other={}),
        item(Other=[]),
        item()[:-1] + ', "Good": true}',
        item()[:-1] + ', "Value": 1}',
        item()[:-1] + f', "Timestamp": "{TIME}"}}',
        item()[:-1] + ", }",
        item()[:-1] + r', "\u0047ood": true}',
        json.dumps({"Timestamp": TIME, "Good": True}),
        json.dumps({"Timestamp": TIME, "Value": 1}),
        json.dumps({"Good": True, "Value": 1}),
        "{}",
        "null",
    ],
)
def test_what_is_not_plain_is_left_to_others(text: str) -> None:
    assert one(body_of(text)) is None
    assert one(body_of(item(), text)) is None
    assert one(body_of(text, item())) is None


@pytest.mark.parametrize(
    "others",
    [
        {"Errors": ["x"]},
        {"WebException": {"Errors": ["x"]}},
        {"Links": {"Errors": ["x"]}},
        {"Links": [[{"a": {"WebException": 1}}]]},
        {"Items": []},
    ],
)
def test_a_response_that_tells_of_errors_is_left_to_others(others: Mapping[str, Any]) -> None:
    assert one(body_of(item(), **others)) is None


def test_members_that_mean_nothing_are_passed_over() -> None:
    others = {"Links": {"First": "a\\b\u1234", "n": [1, -2.5e3, None, True, False, {}, []]}, "Errors": None}
    found = one(body_of(item(Other="x\ny", Annotated=None, Errors=None), **others))
    assert found is not None
    assert len(found) == 1


def test_nothing_is_nested_without_end() -> None:
    assert one(body_of(item(), Links=json.loads("[" * 15 + "]" * 15))) is not None
    assert one(body_of(item())[:-1] + b',"Links":' + b"[" * 100_000 + b"]" * 100_000 + b"}") is None


def arrays(rows: int, streams: int = 1) -> list[np.ndarray]:
    return [
        np.zeros(rows, np.int64),
        np.zeros(rows),
        np.zeros(rows, np.uint8),
        np.zeros(rows + 1, np.int32),
        np.zeros(3 * streams, np.int64),
    ]


def test_more_rows_than_room_are_not_read() -> None:
    assert COMPILED is not None
    body = body_of(item(), item(), item())
    assert COMPILED.read_recorded(body, False, *arrays(3)) == (3, 0, b"")
    assert COMPILED.read_recorded(body, False, *arrays(2)) is None
    assert COMPILED.read_recorded(body_of(), False, *arrays(0)) == (0, 0, b"")
    for short in range(4):
        columns = arrays(3)
        columns[short] = columns[short][:-1]
        assert COMPILED.read_recorded(body, False, *columns) is None


def test_arrays_that_make_no_sense_are_refused() -> None:
    assert COMPILED is not None
    columns = arrays(3)
    with pytest.raises(ValueError, match="offsets"):
        COMPILED.read_recorded(body_of(), False, *columns[:3], np.zeros(0, np.int32), columns[4])
    with pytest.raises(BufferError):
        COMPILED.read_recorded(body_of(), False, b"12345678", *columns[1:])  # type: ignore[arg-type]  # cannot be written
    with pytest.raises(ValueError, match="contiguous"):
        COMPILED.read_recorded(body_of(), False, columns[0][::2], *columns[1:])
