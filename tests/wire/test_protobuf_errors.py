"""What is refused beyond what google.protobuf refuses, and what the error says to whoever reads it."""

from __future__ import annotations

import pickle

import pytest

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import decode_page, read_continuation_token, scan_page
from tests.wire import encoding, timeseries_pb2
from tests.wire.encoding import (
    DOUBLE,
    INT64,
    UINT32,
    UINT64,
    delimited,
    double_bits,
    member,
    tag,
    usual_item,
    usual_page,
)

pytestmark = pytest.mark.usefixtures("each_reading")

NOW = 1_700_000_000 * 10**9
RAW = ["time", "value", "status"]
GOOD = [member(INT64, NOW), member(DOUBLE, 1.5), member(UINT32, 192)]
GOOD_ROW_BYTES = 28


def refused(data: bytes) -> WireFormatError:
    """Decode a page that google.protobuf parses, and return why it is refused."""
    timeseries_pb2.CompactDatapointsDto.FromString(data)
    with pytest.raises(WireFormatError) as caught:
        decode_page(data)
    assert str(caught.value).endswith(f"(byte offset {caught.value.offset})")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value


@pytest.mark.parametrize("n_good", [0, 3, 5000])
@pytest.mark.parametrize(
    ("column", "culprit", "says"),
    [
        (0, member(DOUBLE, 1.0), "column 'time' holds a double"),
        (0, member(UINT64, 2**63), f"column 'time' holds a uint64, {2**63}"),
        (1, member(INT64, 5), "column 'value' holds an int64, 5"),
        (1, member(UINT32, 5), "column 'value' holds a uint32, 5"),
        (2, member(DOUBLE, 192.0), "column 'status' holds a double"),
        (2, member(INT64, -1), "column 'status' holds an int64, -1"),
        (2, member(UINT64, 2**32), f"column 'status' holds a uint64, {2**32}"),
    ],
)
def test_a_number_of_the_wrong_kind(n_good: int, column: int, culprit: bytes, says: str) -> None:
    row = [*GOOD[:column], culprit, *GOOD[column + 1 :]]
    data = usual_page([usual_item("a", RAW, []), usual_item("b", RAW, [*[GOOD] * n_good, row, GOOD])])
    error = refused(data)
    assert f"item 1 ('b'), point {n_good}: {says}" in str(error)
    assert error.offset == data.rindex(culprit)


@pytest.mark.parametrize("n_points", [1, 5000])
def test_a_whole_column_of_the_wrong_kind(n_points: int) -> None:
    row = [member(INT64, NOW), member(DOUBLE, 1.5), member(DOUBLE, 192.0)]
    assert "point 0: column 'status' holds a double" in str(
        refused(usual_page([usual_item("a", RAW, [row] * n_points)]))
    )


def test_an_aggregate_of_two_kinds() -> None:
    rows = [[member(INT64, NOW), member(INT64, 3)], [member(INT64, NOW), member(DOUBLE, 3.0)]]
    error = refused(usual_page([usual_item("a", ["time", "count"], rows)]))
    assert "point 1: column 'count' holds a double; its first point holds an int64" in str(error)


@pytest.mark.parametrize("n_good", [0, 5000])
def test_a_ragged_list(n_good: int) -> None:
    data = usual_page([usual_item("a", RAW, [*[GOOD] * n_good, GOOD[:2]])])
    assert f"item 0 ('a') is ragged: {3 * n_good + 2} values are no multiple of its 3 columns" in str(refused(data))


def test_values_without_columns() -> None:
    assert "is ragged: 3 values are no multiple of its 0 columns" in str(
        refused(usual_page([usual_item("a", [], [GOOD])]))
    )


def test_a_column_named_twice() -> None:
    rows = [[GOOD[0], GOOD[1], GOOD[1]]]
    assert "names a column twice" in str(refused(usual_page([usual_item("a", ["time", "value", "value"], rows)])))


@pytest.mark.parametrize("empty", [b"", tag(9, encoding.VARINT) + b"\x05"], ids=["nothing", "an unknown field"])
@pytest.mark.parametrize("n_good", [1, 5000])
def test_a_value_without_a_member(empty: bytes, n_good: int) -> None:
    data = usual_page([usual_item("a", RAW, [*[GOOD] * n_good, [GOOD[0], empty, GOOD[2]]])])
    error = refused(data)
    assert "a value holds" in str(error)
    assert error.offset == data.rindex(delimited(4, GOOD[0]) + delimited(4, empty)) + len(delimited(4, GOOD[0])) + 2


def test_a_page_cut_short_says_where() -> None:
    data = usual_page([usual_item("a", RAW, [GOOD] * 5000)])
    for read in (decode_page, scan_page, read_continuation_token):
        with pytest.raises(WireFormatError, match="truncated or corrupt") as caught:
            read(data[:-1])
        assert caught.value.offset == 1  # the item's length, which promises more than there is


def test_text_that_is_not_utf8_says_which() -> None:
    with pytest.raises(WireFormatError, match="the continuation token is not UTF-8"):
        read_continuation_token(delimited(2, b"ab\xff"))
    with pytest.raises(WireFormatError, match="an item's id is not UTF-8"):
        decode_page(usual_page([delimited(1, b"\xed\xa0\x80")]))
    with pytest.raises(WireFormatError, match="the name of a column is not UTF-8"):
        scan_page(usual_page([delimited(3, b"\xc0\x80")]))


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><html>", b'{"data":{"items":[]}}', b"\x1f\x8b\x08\x00\x00", b"upstream connect error"]
)
def test_bodies_that_are_something_else(body: bytes) -> None:
    with pytest.raises(WireFormatError):
        decode_page(body)


@pytest.mark.parametrize(("around", "limit"), [(0, 100), (1, 99), (2, 98)], ids=["page", "item", "value"])
def test_groups_as_deep_as_google_protobuf_follows(around: int, limit: int) -> None:
    def nested(depth: int) -> bytes:
        groups = tag(15, encoding.START_GROUP) * depth + tag(15, encoding.END_GROUP) * depth
        if around == 0:
            return groups
        if around == 1:
            return delimited(1, groups)
        return delimited(1, delimited(3, b"value") + delimited(4, groups + member(DOUBLE, 1.0)))

    timeseries_pb2.CompactDatapointsDto.FromString(nested(limit))
    decode_page(nested(limit))
    with pytest.raises(WireFormatError, match="deeper than 100"):
        decode_page(nested(limit + 1))
    with pytest.raises(WireFormatError, match="deeper than 100"):
        decode_page(nested(100_000))


def test_no_measurement_is_printed() -> None:
    rows = [[member(INT64, NOW), double_bits(0x400921FB54442D18), member(DOUBLE, 3.141592653589793)]]
    assert "3.14" not in str(refused(usual_page([usual_item("a", RAW, rows)])))
