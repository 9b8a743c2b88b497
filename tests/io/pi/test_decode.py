"""Bodies of recorded values, read by columns, against the standard library's JSON read value by value."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.io.pi.decode import decode_recorded
from omnia_beam.io.pi.values import PiPoint, ValueRules, understood
from tests.io.pi.recorded_oracle import ITEMS, LAYOUTS, NAMES, bits, row_of, rows

pytestmark = pytest.mark.usefixtures("each_reading")


@given(ITEMS, st.sampled_from(LAYOUTS))
def test_one_stream_is_read_as_the_standard_library_reads_it(items: list[Any], layout: dict[str, Any]) -> None:
    body = json.dumps({"Links": {}, "Items": items, "UnitsAbbreviation": "bar"}, **layout).encode()
    found = decode_recorded(body, ["a"])
    assert list(found) == ["a"]
    assert rows(found["a"]) == bits([row_of(each) for each in items])


@given(st.lists(st.tuples(NAMES, ITEMS), min_size=2, max_size=4), st.sampled_from(LAYOUTS))
def test_several_streams_are_read_as_the_standard_library_reads_them(
    streams: list[tuple[str, list[Any]]], layout: dict[str, Any]
) -> None:
    content = [
        {"WebId": f"w{at}", "Name": name, "Path": f"\\\\S\\{name}", "Items": items}
        for at, (name, items) in enumerate(streams)
    ]
    body = json.dumps({"Links": {}, "Items": content}, **layout).encode()
    found = decode_recorded(body, [each["WebId"] for each in content])
    assert {name: rows(values) for name, values in found.items()} == {
        each["WebId"]: bits([row_of(item) for item in each["Items"]]) for each in content
    }


@given(ITEMS.filter(bool), st.integers(0), st.sampled_from(["Errors", "WebException"]))
def test_errors_are_never_passed_over(items: list[Any], at: int, name: str) -> None:
    place = {"Items": items}
    target = place if name == "WebException" else items[at % len(items)]
    target[name] = {"Errors": ["x"]} if name == "WebException" else [{"FieldName": "Value", "Message": ["x"]}]
    with pytest.raises(IncompleteReadError):
        decode_recorded(json.dumps(place).encode(), ["a"])


@given(ITEMS.filter(bool), st.data())
def test_a_body_that_is_cut_off_is_never_read(items: list[Any], data: st.DataObject) -> None:
    body = json.dumps({"Items": items}).encode()
    with pytest.raises(WireFormatError):
        decode_recorded(body[: data.draw(st.integers(0, len(body) - 1))], ["a"])


def nearest_single(text: str) -> float:
    """The single that is nearest to a decimal, in exact arithmetic."""
    exact = Fraction(text)
    guess = np.float32(float(text))
    with np.errstate(over="ignore"):
        around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    finite = [each for each in around if np.isfinite(each)]
    return float(min(finite, key=lambda each: (abs(Fraction(float(each)) - exact), each.view(np.uint32) & 1)))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_single_comes_back_from_its_shortest_decimals_and_from_its_double(single: float) -> None:
    for shown in (str(np.float32(single)), repr(float(np.float32(single)))):
        body = b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":true,"Value":%s}]}' % shown.encode()
        values = understood(decode_recorded(body, ["a"])["a"], PiPoint("a", "a", "Float32"), ValueRules())
        assert values.points.values.view(np.uint64)[0] == np.float64(single).view(np.uint64)
        assert float(values.points.values[0]) == nearest_single(shown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b" null null",
        b"[]",
        b"{}",
        b'{"Items":null}',
        b'{"Items":[null]}',
        b'{"Items":[[]]}',
        b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":true,"Value":1}]}{"Items":[]}',
        b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":true,"Value":1}]}\n{"Items":[]}',
        b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":"true","Value":1}]}',
        b'{"Items":[{"Timestamp":1704067200,"Good":true,"Value":1}]}',
        b'{"Items":[{"Timestamp":"2024-02-30T00:00:00Z","Good":true,"Value":1}]}',
        b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":true,"Value":"\xff"}]}',
        b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":false,"Value":{"Name":"\xff","Value":1}}]}',
    ],
)
def test_what_is_no_such_response_is_refused(body: bytes) -> None:
    with pytest.raises(WireFormatError):
        decode_recorded(body, ["a"])


def test_a_stream_whose_id_is_no_text_is_refused() -> None:
    body = b'{"Items":[{"WebId":"a","Items":[]},{"WebId":"\xff","Items":[]}]}'
    with pytest.raises(WireFormatError):
        decode_recorded(body, ["a", "b"])


@pytest.mark.parametrize(("shown", "utc"), [("T01:00:00+01:00", "T00:00:00Z"), ("T00:00:00", "T00:00:00Z")])
def test_a_time_in_another_zone_is_the_same_instant(shown: str, utc: str) -> None:
    for extra in ("", '"Errors":null,'):
        body = '{"Items":[{"Timestamp":"2024-01-01%s",%s"Good":true,"Value":1}]}'
        [one, other] = (decode_recorded((body % (each, extra)).encode(), ["a"])["a"].times for each in (shown, utc))
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("shown", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(("good", "status"), [("true", 192), ("false", 0)])
def test_numbers_that_json_has_no_form_for_are_read(shown: str, quote: str, good: str, status: int) -> None:
    body = f'{{"Items":[{{"Timestamp":"2024-01-01T00:00:00Z","Good":{good},"Value":{quote}{shown}{quote}}}]}}'
    values = understood(decode_recorded(body.encode(), ["a"])["a"], PiPoint("a", "a", "Float64"), ValueRules())
    assert str(values.points.values[0]) == {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[shown]
    assert values.points.statuses.tolist() == [status]
    assert values.counted == 1


def test_a_value_beyond_a_double_is_no_number() -> None:
    body = b'{"Items":[{"Timestamp":"2024-01-01T00:00:00Z","Good":true,"Value":1e999}]}'
    with pytest.raises(WireFormatError):
        decode_recorded(body, ["a"])
