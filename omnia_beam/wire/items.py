"""The fields of a page and of its items, walked one by one; the content of the values is read elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import reader
from omnia_beam.wire.layout import VALUES_TAG
from omnia_beam.wire.reader import LENGTH_DELIMITED, VARINT, Bytes

_FIELDS_TAG = 0x1A
_ITEM_DEPTH = 1


@dataclass(slots=True)
class Item:
    """An item's fields in the order in which they were read: of `id` and `totalCount` the last one wins.

    at, end: where the walk stopped, and the item's end.
    begins, ends: where each entry of `values` lies that was walked, without its tag and length.
    """

    at: int
    end: int
    series_id: str = ""
    total_count: int = 0
    fields: list[str] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def unread(self) -> bool:
        """Whether everything after the walk's stop may be values, of columns that are named, each once."""
        return not self.begins and bool(self.fields) and len(set(self.fields)) == len(self.fields)


@dataclass(slots=True)
class _FieldsMemo:
    """The run of `fields` before the values of an item: in a response for many series, each item repeats it."""

    octets: bytes = b""
    names: tuple[str, ...] = ()


def top_level(data: Bytes) -> tuple[list[tuple[int, int]], str | None]:
    """Return where each item's payload begins and ends, and the page's token. Raises WireFormatError."""
    spans: list[tuple[int, int]] = []
    token = ""
    pos, end = 0, len(data)
    while pos < end:
        number, wire_type, pos = reader.read_tag(data, pos, end)
        if number == 1 and wire_type == LENGTH_DELIMITED:
            begin, pos = reader.read_length(data, pos, end)
            spans.append((begin, pos))
        elif number == 2 and wire_type == LENGTH_DELIMITED:
            token, pos = reader.read_string(data, pos, end, "the continuation token")
        else:
            pos = reader.skip_field(data, number, wire_type, pos, end, 0)
    return spans, token or None


def walk_heads(data: Bytes, spans: list[tuple[int, int]]) -> list[Item]:
    """Walk each item's fields up to its first value and return the items. Raises WireFormatError."""
    memo = _FieldsMemo()
    return [_walk_head(data, begin, end, memo) for begin, end in spans]


def walk_item(data: Bytes, begin: int, end: int) -> Item:
    """Walk all of an item's fields and record where its values lie. Raises WireFormatError."""
    item = Item(begin, end)
    pos = begin
    while pos < end:
        # Nearly all fields are short values, for which this branch saves two calls.
        if data[pos] == VALUES_TAG and pos + 1 < end and data[pos + 1] < 0x80:
            begin = pos + 2
            pos = begin + data[pos + 1]
            if pos > end:
                raise WireFormatError("a value runs past the end of its item: the page is truncated or corrupt", begin)
            item.begins.append(begin)
            item.ends.append(pos)
        else:
            pos = _walk_field(data, pos, end, item)
    item.at = pos
    return item


def _walk_head(data: Bytes, begin: int, end: int, memo: _FieldsMemo) -> Item:
    item = Item(begin, end)
    pos, run = begin, -1
    while pos < end and data[pos] != VALUES_TAG:
        if data[pos] != _FIELDS_TAG:
            run = -1
        elif not item.fields:
            run = pos
            after = pos + len(memo.octets)
            if memo.octets and after < end and data[pos:after] == memo.octets and data[after] == VALUES_TAG:
                item.fields = list(memo.names)
                pos = after
                continue
        pos = _walk_field(data, pos, end, item)
    if run >= 0:
        memo.octets, memo.names = bytes(data[run:pos]), tuple(item.fields)
    item.at = pos
    return item


def _walk_field(data: Bytes, pos: int, end: int, item: Item) -> int:
    number, wire_type, pos = reader.read_tag(data, pos, end)
    if number == 4 and wire_type == LENGTH_DELIMITED:
        begin, pos = reader.read_length(data, pos, end)
        item.begins.append(begin)
        item.ends.append(pos)
    elif number == 1 and wire_type == LENGTH_DELIMITED:
        item.series_id, pos = reader.read_string(data, pos, end, "an item's id")
    elif number == 2 and wire_type == VARINT:
        item.total_count, pos = reader.read_varint(data, pos, end)
    elif number == 3 and wire_type == LENGTH_DELIMITED:
        name, pos = reader.read_string(data, pos, end, "the name of a column")
        item.fields.append(name)
    else:
        pos = reader.skip_field(data, number, wire_type, pos, end, _ITEM_DEPTH)
    return pos
