"""Protobuf's wire format, one field at a time: the exact reading that the vectorised paths fall back to.

The rules are those of google.protobuf's C parser (upb), probed with protobuf 6.33: a tag is a varint of at most 5 bytes
and 32 bits, a length or a value one of at most 10 bytes whose bits above the 64th are dropped (and no length reaches
2^31); over-long forms within those sizes are legal. Field number 0, wire types 6 and 7, an end of group without its
start, and groups nested deeper than the parser's 100 levels are errors. A known field number with another wire type
is an unknown field. Strings must be UTF-8.

Functions take the page's bytes and a position, and return the value and the position after it. `end` is the end of the
enclosing message: nothing reads past it. All raise WireFormatError with the byte offset.
"""

from __future__ import annotations

from typing import Final

from omnia_beam.core.errors import WireFormatError

Bytes = bytes | bytearray | memoryview
"""Anything that indexes to ints 0..255; memoryviews are one-dimensional, of format B."""

VARINT: Final = 0
FIXED64: Final = 1
LENGTH_DELIMITED: Final = 2
START_GROUP: Final = 3
END_GROUP: Final = 4
FIXED32: Final = 5

MAX_DEPTH: Final = 100
"""Nested messages and groups that upb follows, the page itself not counted."""

_MAX_TAG: Final = 2**32 - 1
_MAX_LENGTH: Final = 2**31 - 1
_MASK64: Final = 2**64 - 1


def read_varint(data: Bytes, pos: int, end: int) -> tuple[int, int]:
    """Return an unsigned 64-bit varint and the position after it."""
    return _varint(data, pos, end, 10, "varint")


def read_tag(data: Bytes, pos: int, end: int) -> tuple[int, int, int]:
    """Return field number, wire type and the position after the tag."""
    if pos < end and data[pos] < 0x80:
        tag, after = data[pos], pos + 1
    else:
        tag, after = _varint(data, pos, end, 5, "field tag")
        if tag > _MAX_TAG:
            raise WireFormatError("field tag above 32 bits: the page is corrupt", pos)
    number, wire_type = tag >> 3, tag & 7
    if number == 0:
        raise WireFormatError("field number 0: the page is corrupt", pos)
    if wire_type > FIXED32:
        raise WireFormatError(f"wire type {wire_type} does not exist: the page is corrupt", pos)
    return number, wire_type, after


def read_length(data: Bytes, pos: int, end: int) -> tuple[int, int]:
    """Return where a length-delimited payload begins and ends; it lies within `end`."""
    if pos < end and data[pos] < 0x80:
        length, begin = data[pos], pos + 1
    else:
        length, begin = _varint(data, pos, end, 10, "length")
    if length > _MAX_LENGTH or begin + length > end:
        raise WireFormatError(
            f"length {length} runs past the end of its message, {end - begin} bytes on: the page is truncated or corrupt",
            pos,
        )
    return begin, begin + length


def read_string(data: Bytes, pos: int, end: int, what: str) -> tuple[str, int]:
    """Return a string field's text and the position after it; `what` names it in errors."""
    begin, stop = read_length(data, pos, end)
    try:
        return str(data[begin:stop], "utf-8"), stop
    except UnicodeDecodeError as error:
        raise WireFormatError(f"{what} is not UTF-8", begin + error.start) from None


def skip_field(data: Bytes, number: int, wire_type: int, pos: int, end: int, depth: int) -> int:
    """Return the position after an unknown field whose tag ends at `pos`.

    depth: messages and groups around the field, the page itself not counted.
    """
    if wire_type == VARINT:
        return read_varint(data, pos, end)[1]
    if wire_type == LENGTH_DELIMITED:
        return read_length(data, pos, end)[1]
    if wire_type == START_GROUP:
        return _skip_group(data, number, pos, end, depth)
    if wire_type == END_GROUP:
        raise WireFormatError(f"end of group {number} without its start: the page is corrupt", pos)
    after = pos + (8 if wire_type == FIXED64 else 4)
    if after > end:
        raise WireFormatError("fixed-size field runs past the end of its message: the page is truncated", pos)
    return after


def _skip_group(data: Bytes, number: int, pos: int, end: int, depth: int) -> int:
    """Return the position after the group's end tag, found in a loop, so that only MAX_DEPTH bounds the depth."""
    open_groups = [number]
    while open_groups:
        if depth + len(open_groups) > MAX_DEPTH:
            raise WireFormatError(f"groups nested deeper than {MAX_DEPTH} levels: the page is corrupt", pos)
        inner, wire_type, after = read_tag(data, pos, end)
        if wire_type == START_GROUP:
            open_groups.append(inner)
            pos = after
        elif wire_type == END_GROUP:
            if inner != open_groups.pop():
                raise WireFormatError(f"group ends as {inner}, not as it started: the page is corrupt", pos)
            pos = after
        else:
            pos = skip_field(data, inner, wire_type, after, end, depth)
    return pos


def _varint(data: Bytes, pos: int, end: int, max_bytes: int, what: str) -> tuple[int, int]:
    value = 0
    stop = min(end, pos + max_bytes)
    for index in range(pos, stop):
        byte = data[index]
        value |= (byte & 0x7F) << (7 * (index - pos))
        if byte < 0x80:
            return value & _MASK64, index + 1
    if stop == end:
        raise WireFormatError(f"{what} runs past the end of its message: the page is truncated", pos)
    raise WireFormatError(f"{what} longer than {max_bytes} bytes: the page is corrupt", pos)
