"""Protobuf by hand: every legal way to write a page, as hypothesis strategies, and a plain encoder for the usual way.

It shares nothing with the product: field numbers and wire types are written out from the schema.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import strategies as st

VARINT, FIXED64, LENGTH_DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)
INT64, DOUBLE, UINT32, UINT64 = 1, 2, 3, 4
MASK64 = 2**64 - 1


def varint(value: int, over_long: int = 0) -> bytes:
    """Encode a varint with `over_long` bytes more than it needs."""
    value &= MASK64
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    groups += [0] * over_long
    return bytes([group | 0x80 for group in groups[:-1]] + [groups[-1]])


def tag(number: int, wire_type: int, over_long: int = 0) -> bytes:
    return varint(number << 3 | wire_type, over_long)


def delimited(number: int, payload: bytes, over_long_tag: int = 0, over_long_length: int = 0) -> bytes:
    return tag(number, LENGTH_DELIMITED, over_long_tag) + varint(len(payload), over_long_length) + payload


def member(kind: int, value: float | int) -> bytes:
    """Encode one member of the oneof the usual way."""
    if kind == DOUBLE:
        return tag(DOUBLE, FIXED64) + struct.pack("<d", value)
    return tag(kind, VARINT) + varint(int(value))


def usual_item(series_id: str, fields: Sequence[str], rows: Sequence[Sequence[bytes]], total: int = 0) -> bytes:
    """Encode an item as the service does: fields by number, one run of values."""
    return b"".join(
        [
            delimited(1, series_id.encode()),
            tag(2, VARINT) + varint(total),
            *(delimited(3, name.encode()) for name in fields),
            *(delimited(4, value) for row in rows for value in row),
        ]
    )


def usual_page(items: Sequence[bytes], token: str = "") -> bytes:
    return b"".join(delimited(1, item) for item in items) + (delimited(2, token.encode()) if token else b"")


def raw_row(time_ns: int, value: float, status: int) -> tuple[bytes, bytes, bytes]:
    return member(INT64, time_ns), member(DOUBLE, value), member(UINT32, status)


def raw_page(points: Sequence[tuple[int, float, int]], series_id: str = "series", token: str = "") -> bytes:
    """Encode a page of raw data of one series."""
    rows = [raw_row(*point) for point in points]
    return usual_page([usual_item(series_id, ["time", "value", "status"], rows, len(points))], token)


TIMES = st.one_of(
    st.integers(1_600_000_000 * 10**9, 1_800_000_000 * 10**9),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, -1, 1, 127, 128, 2**56 - 1, 2**56, 2**63 - 1, -(2**63)]),
)
STATUSES = st.one_of(st.sampled_from([192, 64, 0, 24, 8, 60, 127, 128]), st.integers(0, 2**32 - 1))
BITS = st.one_of(
    st.floats().map(lambda value: struct.unpack("<Q", struct.pack("<d", value))[0]),
    st.integers(0, MASK64),
    st.sampled_from([0x7FF0000000000001, 0xFFF8DEADBEEF0001, 1 << 63, 0x7FF0000000000000, 0x22_08_0A_22_08_0A_22_08]),
)


def double_bits(bits: int) -> bytes:
    return tag(DOUBLE, FIXED64) + struct.pack("<Q", bits)


def over_long(room: int) -> st.SearchStrategy[int]:
    """Padding bytes, mostly none."""
    return st.one_of(st.just(0), st.just(0), st.integers(0, room))


@st.composite
def unknown_fields(draw: st.DrawFn, known: dict[int, int], depth: int = 0) -> bytes:
    """One field that the message does not know: a foreign number, or a known number with another wire type.

    known: field number -> wire type.
    """
    number = draw(st.sampled_from([1, 2, 3, 4, 5, 15, 16, 2047, 2**29 - 1]))
    choices = [VARINT, FIXED64, LENGTH_DELIMITED, FIXED32] + ([START_GROUP] if depth < 3 else [])
    wire_type = draw(st.sampled_from([choice for choice in choices if known.get(number) != choice]))
    head = tag(number, wire_type, draw(over_long(5 - len(tag(number, wire_type)))))
    if wire_type == VARINT:
        value = varint(draw(st.integers(0, MASK64)))
        return head + value
    if wire_type == START_GROUP:
        inner = b"".join(draw(st.lists(unknown_fields({}, depth + 1), max_size=3)))
        return head + inner + tag(number, END_GROUP)
    if wire_type == LENGTH_DELIMITED:
        payload = draw(st.binary(max_size=12))
        return head + varint(len(payload), draw(over_long(4))) + payload
    size = 8 if wire_type == FIXED64 else 4
    return head + draw(st.binary(min_size=size, max_size=size))


VALUE_FIELDS = {INT64: VARINT, DOUBLE: FIXED64, UINT32: VARINT, UINT64: VARINT}
ITEM_FIELDS = {1: LENGTH_DELIMITED, 2: VARINT, 3: LENGTH_DELIMITED, 4: LENGTH_DELIMITED}
PAGE_FIELDS = {1: LENGTH_DELIMITED, 2: LENGTH_DELIMITED}


@st.composite
def odd_members(draw: st.DrawFn, kinds: Sequence[int]) -> bytes:
    """One member of the oneof, its tag or varint over-long at times."""
    kind = draw(st.sampled_from(kinds))
    if kind == DOUBLE:
        return tag(DOUBLE, FIXED64, draw(over_long(4))) + struct.pack("<Q", draw(BITS))
    if kind == INT64:
        value = draw(TIMES)
    elif kind == UINT32:
        value = draw(st.one_of(STATUSES, st.integers(0, MASK64)))
    else:
        value = draw(st.one_of(st.integers(0, 2**63 - 1), STATUSES))
    plain = varint(value)
    return tag(kind, VARINT, draw(over_long(4))) + varint(value, draw(over_long(10 - len(plain))))


@st.composite
def odd_values(draw: st.DrawFn, kinds: Sequence[int]) -> bytes:
    """One value: usually one member of `kinds`, sometimes unknown fields and other members around; the last one wins."""
    parts = [draw(odd_members(kinds))]
    if draw(st.integers(0, 9)) == 0:
        others = st.one_of(unknown_fields(VALUE_FIELDS), odd_members([INT64, DOUBLE, UINT32, UINT64]))
        parts = [*draw(st.lists(others, max_size=2)), *parts, *draw(st.lists(unknown_fields(VALUE_FIELDS), max_size=2))]
    return b"".join(parts)


KINDS_OF = {"time": [INT64, UINT64], "status": [UINT32, INT64], "value": [DOUBLE], "count": [INT64]}


@st.composite
def odd_items(draw: st.DrawFn) -> bytes:
    """An item with its fields in any order that keeps the columns and the values in theirs."""
    names = draw(
        st.lists(st.sampled_from(["time", "value", "status", "avg", "count", "größe"]), max_size=4, unique=True)
    )
    n_points = draw(st.integers(0, 8)) if names else 0
    one_kind = {name: [draw(st.sampled_from(KINDS_OF.get(name, [DOUBLE])))] for name in names}
    kinds = KINDS_OF if draw(st.booleans()) else one_kind
    values = [draw(odd_values(kinds.get(name, [DOUBLE]))) for _ in range(n_points) for name in names]
    if values and draw(st.integers(0, 7)) == 0:
        values = values[:-1] if draw(st.booleans()) else [*values[:-1], draw(odd_values([INT64, DOUBLE]))]
    streams = [
        [delimited(3, name.encode(), draw(over_long(4)), draw(over_long(4))) for name in names],
        [delimited(4, value, draw(over_long(4)), draw(over_long(4))) for value in values],
        [delimited(1, text.encode()) for text in draw(st.lists(st.text(max_size=5), max_size=2))],
        [tag(2, VARINT) + varint(total) for total in draw(st.lists(st.integers(0, MASK64), max_size=2))],
        draw(st.lists(unknown_fields(ITEM_FIELDS), max_size=2)) if draw(st.booleans()) else [],
    ]
    if draw(st.booleans()):  # the usual order
        return b"".join(streams[2] + streams[3] + streams[0] + streams[4] + streams[1])
    return b"".join(draw(interleaved(streams)))


@st.composite
def interleaved(draw: st.DrawFn, streams: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Merge streams, each keeping its own order."""
    turns = draw(st.permutations([index for index, stream in enumerate(streams) for _ in stream]))
    sources = [iter(stream) for stream in streams]
    return [next(sources[index]) for index in turns]


@st.composite
def odd_pages(draw: st.DrawFn) -> bytes:
    streams = [
        [
            delimited(1, item, draw(over_long(4)), draw(over_long(2)))
            for item in draw(st.lists(odd_items(), max_size=3))
        ],
        [delimited(2, token.encode()) for token in draw(st.lists(st.text(max_size=6), max_size=2))],
        draw(st.lists(unknown_fields(PAGE_FIELDS), max_size=2)),
    ]
    return b"".join(draw(interleaved(streams)))


@st.composite
def plain_pages(draw: st.DrawFn) -> bytes:
    """Pages as a service would write them, of any columns and kinds: what the fast readings are made for."""
    items: list[bytes] = []
    names = draw(st.permutations(["time", "value", "status"]))[: draw(st.integers(1, 3))]
    if draw(st.booleans()):
        names = ["time", *draw(st.permutations(["avg", "count", "max"]))]
    kinds = {name: draw(st.sampled_from(KINDS_OF.get(name, [DOUBLE]))) for name in names}
    near = draw(st.integers(-(10**18), 2 * 10**18))
    for index in range(draw(st.integers(1, 3))):
        n_points = draw(st.integers(0, 120))
        spread = draw(st.sampled_from([10**9, 10**17]))
        statuses = draw(st.sampled_from([[192], [192, 64, 0], [0, 192, 70_000, 2**32 - 1]]))
        random = draw(st.randoms(use_true_random=False))
        rows = []
        for _ in range(n_points):
            numbers = {
                "time": abs(near + random.randrange(spread))
                if kinds.get("time") == UINT64
                else near + random.randrange(spread),
                "status": random.choice(statuses),
                "count": random.choice([0, 5, 300, 2**40, -1]),
            }
            rows.append(
                [
                    double_bits(random.getrandbits(64)) if kinds[name] == DOUBLE else member(kinds[name], numbers[name])
                    for name in names
                ]
            )
        items.append(usual_item(f"series-{index}", names, rows, n_points))
    return usual_page(items, draw(st.sampled_from(["", "next"])))


@st.composite
def mutated(draw: st.DrawFn, pages: st.SearchStrategy[bytes]) -> bytes:
    """A page with some bytes flipped, inserted, deleted, doubled, or its tail cut off."""
    data = bytearray(draw(pages))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.integers(1, 9))
        what = draw(st.sampled_from(["flip", "set", "insert", "delete", "double", "cut"]))
        if what == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "set" and data:
            data[at] = draw(st.sampled_from([0, 1, 0x22, 0x0A, 0x12, 0x7F, 0x80, 0xFF]))
        elif what == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif what == "delete":
            del data[at : at + size]
        elif what == "double":
            data[at:at] = data[at : at + size]
        else:
            del data[at:]
    return bytes(data)
