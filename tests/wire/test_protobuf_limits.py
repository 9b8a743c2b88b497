"""The edges of protobuf's wire format, one by one: what google.protobuf takes, we take, and what it refuses, we refuse."""

from __future__ import annotations

import pytest

from tests.wire.encoding import (
    DOUBLE,
    END_GROUP,
    INT64,
    LENGTH_DELIMITED,
    START_GROUP,
    UINT32,
    UINT64,
    VARINT,
    delimited,
    tag,
    varint,
)
from tests.wire.test_protobuf_exact import check

pytestmark = pytest.mark.usefixtures("each_reading")


def value_page(column: str, *values: bytes) -> bytes:
    return delimited(1, delimited(3, column.encode()) + b"".join(delimited(4, value) for value in values))


@pytest.mark.parametrize("n_bytes", range(1, 13))
def test_over_long_forms(n_bytes: int) -> None:
    """Tags up to 5 bytes, lengths and values up to 10, in known and unknown fields."""
    check(value_page("count", tag(INT64, VARINT) + varint(1, n_bytes - 1)))
    check(value_page("count", tag(INT64, VARINT, n_bytes - 1) + varint(1)))
    check(tag(2, LENGTH_DELIMITED) + varint(1, n_bytes - 1) + b"A")
    check(tag(2, LENGTH_DELIMITED, n_bytes - 1) + varint(1) + b"A")
    check(tag(1, LENGTH_DELIMITED, n_bytes - 1) + varint(0, n_bytes - 1))
    check(tag(15, VARINT) + varint(1, n_bytes - 1))
    check(tag(15, VARINT, n_bytes - 1) + varint(1))
    check(tag(15, LENGTH_DELIMITED) + varint(1, n_bytes - 1) + b"A")


@pytest.mark.parametrize("last", [0, 1, 2, 3, 0x0F, 0x10, 0x1F, 0x7F])
def test_bits_beyond_the_width(last: int) -> None:
    """The last byte of the longest form holds more bits than there is room for: a value drops them, the others fail."""
    full = b"\xff" * 9 + bytes([last])
    for kind in (INT64, UINT32, UINT64):
        check(value_page("count", tag(kind, VARINT) + full))
        check(value_page("count", *[tag(kind, VARINT) + full] * 3))
        check(value_page("time", tag(kind, VARINT) + full))
        check(value_page("status", tag(kind, VARINT) + full))
    check(tag(15, VARINT) + full)
    check(b"\xf8\xff\xff\xff" + bytes([last]) + b"\x05")
    check(value_page("count", b"\x88\x80\x80\x80" + bytes([last]) + b"\x05"))
    check(b"\x12\x81\x80\x80\x80" + bytes([last]) + b"A")
    check(b"\x12\x81" + b"\x80" * 8 + bytes([last]) + b"A")
    check(b"\x7a\x81\x80\x80\x80" + bytes([last]) + b"A")


@pytest.mark.parametrize("wire_type", range(8))
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5])
def test_every_number_with_every_wire_type(number: int, wire_type: int) -> None:
    field = varint(number << 3 | wire_type) + b"\x03" + bytes(8)
    check(field)
    check(delimited(1, field))
    check(value_page("avg", field))
    check(value_page("avg", field + tag(DOUBLE, 1) + bytes(8)))


@pytest.mark.parametrize(
    "groups",
    [
        tag(15, END_GROUP),
        tag(15, START_GROUP),
        tag(15, START_GROUP) + tag(14, END_GROUP),
        tag(15, START_GROUP) + tag(14, START_GROUP) + tag(15, END_GROUP) + tag(14, END_GROUP),
        tag(15, START_GROUP) + tag(14, START_GROUP) + tag(14, END_GROUP) + tag(15, END_GROUP),
        tag(1, START_GROUP) + tag(1, END_GROUP),
        tag(15, START_GROUP) + b"\x00" + tag(15, END_GROUP),
        tag(15, START_GROUP) + delimited(2, b"\xff") + tag(15, END_GROUP),
    ],
)
def test_groups(groups: bytes) -> None:
    check(groups)
    check(delimited(1, groups))
    check(delimited(1, groups + b"\x7c"))
    check(value_page("avg", groups + tag(DOUBLE, 1) + bytes(8)))


def test_the_last_of_several_wins_everywhere() -> None:
    members = [tag(INT64, VARINT) + varint(7), tag(DOUBLE, 1) + bytes(8), tag(UINT32, VARINT) + varint(9)]
    check(value_page("avg", members[0] + members[1]))
    check(value_page("count", members[1] + members[0]))
    check(value_page("status", members[1] + members[0] + members[2]))
    check(delimited(2, b"a") + delimited(2, b"b"))
    check(delimited(2, b"a") + delimited(2, b""))
    check(delimited(2, b"\xff") + delimited(2, b"b"))
    check(delimited(1, delimited(1, b"a") + tag(2, VARINT) + b"\x01" + delimited(1, b"b") + tag(2, VARINT) + b"\x02"))


def test_items_that_repeat_each_other_in_any_order() -> None:
    """The run of `fields` of one item is recognised in the next: nothing else may be taken for a part of it."""
    value = delimited(4, tag(DOUBLE, 1) + bytes(8))
    name, series_id, total = delimited(3, b"value"), delimited(1, b"id"), tag(2, VARINT) + b"\x05"
    for parts in (
        [name, series_id, total],
        [series_id, name, total],
        [total, name, series_id],
        [name, total, name, series_id],
    ):
        item = delimited(1, b"".join(parts) + value)
        check(item + item)
        check(item + delimited(1, name + value) + delimited(1, name + name + value + value) + item)
    check(delimited(1, name + value) + delimited(1, name + delimited(3, b"avg") + value + value))
    check(delimited(1, name + value) + delimited(1, name) + delimited(1, name + series_id))


def test_a_run_of_fields_that_goes_on_behind_its_item() -> None:
    """The page's own unknown fields continue what the item began, byte for byte as in the item before."""
    one, two = delimited(3, b"avg"), delimited(3, b"max")
    value = delimited(4, tag(DOUBLE, 1) + bytes(8))
    check(delimited(1, one + two + value + value) + delimited(1, one) + two + value)
