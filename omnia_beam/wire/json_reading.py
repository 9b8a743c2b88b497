"""Decoding of the service's JSON response to columns.

`{"data": {"items": [{"id": …, "datapoints": [{"time": …, "value": …, "status": …}]}]}, "continuationToken": …}` [sdk]. The
arrays of datapoints are first cut out of the text, so that the rest is small and may be of any shape. Each array is then
read at once (json_points.py), or, where its layout is not the usual one, object by object (json_objects.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire.json_objects import kind_of, read_objects
from omnia_beam.wire.json_points import read_points
from omnia_beam.wire.page import Column, Page, PageItem

_OPENING: Final = b'"datapoints":[{'
_STAND_IN: Final = "cut out: "
_MINUS_ZERO: Final = re.compile(rb"-0[^.eE0-9]")


def decode_json_page(data: bytes | bytearray | memoryview) -> Page:
    """Decode one JSON response, raw data or aggregates.

    data: the whole body, UTF-8.
    The columns of raw data are `time` int64 (ns since the Unix epoch, UTC; up to nine decimals, exact), `value` float64
    (exact; "NaN", "Infinity" and "-Infinity" in quotes too, as .NET writes them) and `status` uint32 where the points
    have one; every other key is a float64 column (JSON does not distinguish 5 from 5.0). An item without points has no
    columns. `total_count` is None: JSON responses carry none.

    Raises WireFormatError naming the place, for text that is not JSON, for another shape, for a null or missing value,
    for points of one item that differ in their keys.

        >>> decode_json_page(b'{"data":{"items":[{"id":"a","datapoints":[{"time":"1970-01-01T00:00:01Z","value":2}]}]}}')
    """
    text = data if isinstance(data, bytes) else bytes(data)
    return _decode_cut(text) or _page(_load(text), {})


@dataclass(frozen=True, slots=True)
class _Head:
    """One item of the response, its datapoints unread."""

    series_id: str
    points: list[Any]
    place: str


def _decode_cut(text: bytes) -> Page | None:
    """Read the arrays apart from the rest; None where one is not of the usual layout or is not in an item."""
    cut = _cut(text)
    if cut is None:
        return None
    rest, insides = cut
    columns: dict[str, dict[str, Column]] = {}
    for stand_in, (begin, end) in insides.items():
        found = read_points(text, begin, end)
        if found is None:
            return None
        columns[stand_in] = found
    response = _load(rest)
    stood_in = [point for head in _heads(response) for point in head.points]
    return _page(response, columns) if stood_in == list(columns) else None


def _cut(text: bytes) -> tuple[bytes, dict[str, tuple[int, int]]] | None:
    """Replace the inside of each array of datapoints by a placeholder; None where there is none, or one is ambiguous.

    Inside a JSON string the quotes of the opening would be escaped, so the opening can only be a key, unless the key itself
    holds an escaped quote; the byte before the opening shows that.
    """
    rest: list[bytes] = []
    insides: dict[str, tuple[int, int]] = {}
    pos = 0
    while (at := text.find(_OPENING, pos)) >= 0:
        begin = at + len(_OPENING) - 1
        end = text.find(b"]", begin)
        if end < 0 or text[at - 1 : at] == b"\\":
            return None
        stand_in = f"{_STAND_IN}{len(insides)}"
        rest += [text[pos:begin], b'"' + stand_in.encode() + b'"']
        insides[stand_in] = begin, end
        pos = end
    whole = b"".join([*rest, text[pos:]])
    unmistakable = insides and whole.count(_STAND_IN.encode()) == len(insides)
    return (whole, insides) if unmistakable else None


def _load(text: bytes) -> Any:
    """Parse a JSON text; `-0`, which is how .NET writes the double -0.0, keeps its sign."""
    try:
        response = orjson.loads(text)
        if _MINUS_ZERO.search(text):
            response = json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))
    except (ValueError, RecursionError) as error:
        raise WireFormatError(f"the response is not JSON: {error}") from None
    return response


def _page(response: Any, cut: dict[str, dict[str, Column]]) -> Page:
    """Return the page; `cut` holds the columns of the points that a placeholder replaces."""
    items: list[PageItem] = []
    for head in _heads(response):
        known = cut.get(head.points[0]) if cut and head.points else None
        columns = read_objects(head.points, f"{head.place}.datapoints") if known is None else known
        items.append(PageItem(head.series_id, None, columns))
    token = response.get("continuationToken")
    if token is not None and not isinstance(token, str):
        raise WireFormatError(f"continuationToken is {kind_of(token)}, not a text")
    return Page(tuple(items), token or None)


def _heads(response: Any) -> list[_Head]:
    items = _member(_member(response, "data", dict, "the response"), "items", list, "data")
    places = [f"data.items[{nth}]" for nth in range(len(items))]
    return [
        _Head(_member(item, "id", str, place), _member(item, "datapoints", list, place), place)
        for item, place in zip(items, places, strict=True)
    ]


def _member(holder: Any, key: str, kind: type, place: str) -> Any:
    if not isinstance(holder, dict):
        raise WireFormatError(f"{place} is {kind_of(holder)}, not an object")
    if not isinstance(holder.get(key), kind):
        found = kind_of(holder[key]) if key in holder else "missing"
        raise WireFormatError(f"{key!r} in {place} is {found}; expected {kind_of(kind())}")
    return holder[key]
