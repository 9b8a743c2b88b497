"""What a JSON answer of another shape is refused with, and the choice between the two formats."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import decode_body, decode_json_page, decode_page
from tests.wire.encoding import raw_page


def compact(response: Any) -> bytes:
    return json.dumps(response, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"<html>", "the response is not JSON: "),
        (b"", "the response is not JSON: "),
        (b"[]", "the response is an array, not an object"),
        (b"{}", "'data' in the response is missing; expected an object"),
        (b'{"data":{"items":null}}', "'items' in data is null; expected an array"),
        (b'{"data":{"items":[{"datapoints":[]}]}}', "'id' in data.items[0] is missing; expected a text"),
        (b'{"data":{"items":[{"id":"a"}]}}', "'datapoints' in data.items[0] is missing; expected an array"),
        (b'{"data":{"items":[]},"continuationToken":5}', "continuationToken is an integer, not a text"),
    ],
)
def test_a_wrong_shape_is_named(text: bytes, says: str) -> None:
    with pytest.raises(WireFormatError) as caught:
        decode_json_page(text)
    assert says in str(caught.value)
    assert caught.value.offset is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (
            {"time": "1970-01-01T00:00:00Z", "value": None, "status": 0},
            "items[0].datapoints[1].value: expected a number, found null",
        ),
        (
            {"time": "1970-01-01T00:00:00Z", "status": 0},
            "datapoints[1] and the first point differ in their keys: ['value']",
        ),
        ({"time": "1970-01-01", "value": 1, "status": 0}, "datapoints[1].time: expected a time such as"),
        (
            {"time": "1970-13-01T00:00:00Z", "value": 1, "status": 0},
            "datapoints[1].time: '1970-13-01T00:00:00Z' is not a time",
        ),
        (
            {"time": "1970-01-01T00:00:00Z", "value": 1, "status": 192.0},
            "datapoints[1].status: expected an integer from 0",
        ),
        ({"time": "1970-01-01T00:00:00Z", "value": 1, "status": -5}, "found -5"),
        (7, "data.items[0].datapoints[1] is an integer, not an object"),
    ],
)
def test_a_wrong_point_is_named(second: Any, says: str) -> None:
    first = {"time": "1970-01-01T00:00:00Z", "value": 3.14159, "status": 192}
    with pytest.raises(WireFormatError) as caught:
        decode_json_page(compact({"data": {"items": [{"id": "a", "datapoints": [first, second]}]}}))
    assert says in str(caught.value)
    assert "3.14159" not in str(caught.value)


def test_decode_body_takes_either_format() -> None:
    points = [(10**9, 2.5, 192)]
    by_protobuf = decode_body(raw_page(points, "a"), "protobuf").items[0]
    by_json = decode_body(
        b'{"data":{"items":[{"id":"a","datapoints":[{"time":"1970-01-01T00:00:01Z","value":2.5,"status":192}]}]}}',
        "json",
    ).items[0]
    assert by_protobuf.total_count == 1
    assert by_json.total_count is None
    assert by_json.columns == by_protobuf.columns
    assert decode_page(raw_page(points, "a")).items[0].columns == by_protobuf.columns
