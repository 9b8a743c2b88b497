"""Decoding of the service's protobuf response to columns, exact for every legal encoding and fast for the usual one.

Rows of the usual layout are read by the compiled kernel (compiled.py) where there is one, otherwise by numpy in two
ways, each falling back to the next, never guessing:
1. rows of one length (all of one status): a strided view of the page, verified by two bitwise reductions;
2. rows that differ in the length of their short varints (statuses mixed at random), all items of a page together: row
   starts found in lockstep (rows.py), columns gathered and verified (gather.py).
Anything else is read value by value (values.py): fields in any order, unknown fields, over-long tags, several members in
one value.

A page that google.protobuf's `FromString` refuses is refused here, and a page that it accepts reads the same, with these
deliberate additions: a page is refused where a value holds no member, where `values` is not a multiple of `fields`,
where `fields` names a column twice, or where a column holds numbers of the wrong kind (columns.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from omnia_beam.core import kernel
from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import compiled, gather
from omnia_beam.wire import rows as row_starts
from omnia_beam.wire.columns import mixed_column, uniform_column
from omnia_beam.wire.edges import edge_times
from omnia_beam.wire.items import Item, top_level, walk_heads, walk_item
from omnia_beam.wire.layout import HEADER_BYTES, Shape, first_row, loosened, row_layout
from omnia_beam.wire.page import Column, ItemScan, Page, PageItem, PageScan
from omnia_beam.wire.reader import Bytes
from omnia_beam.wire.strides import Matrix, Octets, Positions
from omnia_beam.wire.values import read_values

LARGE_ITEM_ROWS: Final = 4096
FEW_ITEMS: Final = 4
"""A page with no more items than this tries each item first by itself, as rows of one length; so does a large item. A
hundred small items cost less together."""
_OFTEN_VARYING: Final = 9
"""Integers whose entry is no longer than this (the member's tag and a varint of 8 bytes) are first taken to vary from row
to row: statuses do, times (9 or 10 bytes of varint since 1972-04 and before 1970) do not."""
_ALL_VARYING: Final = 11

Columns = dict[str, Column]


def decode_page(data: bytes | bytearray | memoryview) -> Page:
    """Decode one protobuf response.

    data: the whole body, read in place, neither copied (unless it is a memoryview that is not contiguous) nor kept.
    The columns of raw data are `time` int64 (ns since the Unix epoch), `value` float64 and `status` uint32, in
    the order and with the duplicates of the page; see PageItem for others, and columns.py for what each may hold.

    Raises WireFormatError, with the byte offset, for input that is truncated, corrupt, ragged, or of the wrong kind.

        >>> page = decode_page(body)
        >>> page.items[0].times, page.items[0].values, page.continuation_token
    """
    octets = _octets(data)
    buf = np.frombuffer(octets, np.uint8)
    spans, token = top_level(octets)
    heads = walk_heads(octets, spans)
    usual = _usual_columns(octets, buf, heads)
    items: list[PageItem] = []
    for index, head in enumerate(heads):
        columns = usual.get(index)
        item = head
        if columns is None:
            item = walk_item(octets, *spans[index])
            columns = _general_columns(octets, buf, item, f"item {index} ({item.series_id!r})")
        items.append(PageItem(item.series_id, item.total_count, columns))
    return Page(tuple(items), token)


def read_continuation_token(data: bytes | bytearray | memoryview) -> str | None:
    """Return the page's continuation token, None at the end, from a walk of the top-level fields only.

    Raises WireFormatError where those are truncated or corrupt; the content of an item is not looked at.
    """
    return top_level(_octets(data))[1]


def item_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """Return the bytes of all items of a page, without its continuation token.

    Raises WireFormatError where the fields of the page are truncated or corrupt.
    """
    octets = _octets(data)
    return b"".join(octets[span[0] : span[1]] for span in top_level(octets)[0])


def scan_page(data: bytes | bytearray | memoryview) -> PageScan:
    """Return the token, and each item's id, total count, number of values and outermost times, without decoding the values.

    The result is exact in any order of the fields. Raises WireFormatError where the fields of the page or of an item are
    truncated or corrupt; the content of a value is not looked at. A scan costs about half of a decode.
    """
    octets = _octets(data)
    buf = np.frombuffer(octets, np.uint8)
    spans, token = top_level(octets)
    heads = walk_heads(octets, spans)
    shapes = dict(_shapes(octets, heads))
    counts = _usual_counts(octets, buf, heads, shapes)
    items: list[ItemScan] = []
    for index, head in enumerate(heads):
        count = counts.get(index)
        item = head
        edges: tuple[int, ...] = ()
        if count is None:
            item = walk_item(octets, *spans[index])
            count = len(item.begins)
        else:
            edges = edge_times(octets, head, shapes[index])
        items.append(ItemScan(item.series_id, item.total_count, len(item.fields), count, edges))
    return PageScan(tuple(items), token)


def _octets(data: bytes | bytearray | memoryview) -> Bytes:
    if isinstance(data, bytes | bytearray):
        return data
    view = memoryview(data)
    if not view.c_contiguous:
        return view.tobytes()
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _usual_columns(data: Bytes, buf: Octets, heads: Sequence[Item]) -> dict[int, Columns]:
    """Decode the items of the usual layout, those of the same layout together; leave the others out."""
    found: dict[int, Columns] = {}
    if kernel.COMPILED is not None:
        for index, shape in _shapes(data, heads):
            head = heads[index]
            bits = compiled.row_columns(kernel.COMPILED, data, head.at, head.end, shape)
            columns = None if bits is None else _named(head.fields, bits)
            if columns is not None:
                found[index] = columns
        return found
    uneven: list[tuple[int, Shape]] = []
    for index, shape in _shapes(data, heads):
        alone = _even_item(buf, heads, index, shape)
        if alone is not None:
            found[index] = alone
        else:
            uneven.append((index, shape))
    for (fields, shape), members in _alike(heads, uneven).items():
        found.update(_uneven_items(buf, heads, members, fields, shape))
    return found


def _usual_counts(data: Bytes, buf: Octets, heads: Sequence[Item], shapes: Mapping[int, Shape]) -> dict[int, int]:
    """Count the values of the items of the usual layout, those of the same layout together; leave the others out."""
    found: dict[int, int] = {}
    if kernel.COMPILED is not None:
        for index in shapes:
            count = compiled.value_count(kernel.COMPILED, data, heads[index].at, heads[index].end)
            if count is not None:
                found[index] = count
        return found
    uneven: list[tuple[int, Shape]] = []
    for index, shape in shapes.items():
        matrix = _even_rows(buf, heads, index, shape)
        if matrix is not None and gather.even_chain(matrix, row_layout(shape)):
            found[index] = len(matrix) * len(shape)
        else:
            uneven.append((index, shape))
    for (_, shape), members in _alike(heads, uneven).items():
        together = _count_together(buf, heads, members, shape)
        if together is not None:
            found.update(zip(members, together, strict=True))
            continue
        for index in members if len(members) > 1 else ():
            alone = _count_together(buf, heads, [index], shape)
            if alone is not None:
                found[index] = alone[0]
    return found


def _count_together(buf: Octets, heads: Sequence[Item], members: list[int], shape: Shape) -> list[int] | None:
    begins, ends = _regions(heads, members)
    layout = row_layout(shape)
    rows = row_starts.walk(buf, begins, ends, layout)
    if rows is None or not gather.chain_lengths(buf, rows, begins, ends, layout):
        return None
    counts: list[int] = (rows.counts * len(shape)).tolist()
    return counts


def _shapes(data: Bytes, heads: Sequence[Item]) -> Iterable[tuple[int, Shape]]:
    """Yield index and first row of each item whose values may be of the usual layout."""
    for index, head in enumerate(heads):
        shape = first_row(data, head.at, head.end, len(head.fields)) if head.unread else None
        if shape is not None:
            yield index, shape


_Group = tuple[tuple[str, ...], Shape]


def _alike(heads: Sequence[Item], shapes: Iterable[tuple[int, Shape]]) -> dict[_Group, list[int]]:
    """Group items that can be read together: of the same columns, of the same kinds and of the same fixed lengths."""
    groups: dict[_Group, list[int]] = {}
    for index, shape in shapes:
        groups.setdefault((tuple(heads[index].fields), loosened(shape, _OFTEN_VARYING)), []).append(index)
    return groups


def _regions(heads: Sequence[Item], members: Sequence[int]) -> tuple[Positions, Positions]:
    return (
        np.array([heads[index].at for index in members], np.int64),
        np.array([heads[index].end for index in members], np.int64),
    )


def _even_item(buf: Octets, heads: Sequence[Item], index: int, shape: Shape) -> Columns | None:
    """Decode an item whose rows are all of one length; None where they are not, or where it is better read with others."""
    matrix = _even_rows(buf, heads, index, shape)
    bits = None if matrix is None else gather.even_columns(matrix, row_layout(shape))
    return None if bits is None else _named(heads[index].fields, bits)


def _even_rows(buf: Octets, heads: Sequence[Item], index: int, shape: Shape) -> Matrix | None:
    begin, end = heads[index].at, heads[index].end
    row_bytes = sum(length + HEADER_BYTES for _, length in shape)
    if len(heads) > FEW_ITEMS and end - begin < LARGE_ITEM_ROWS * row_bytes:
        return None
    return row_starts.even_rows(buf, begin, end, row_layout(shape))


def _uneven_items(
    buf: Octets, heads: Sequence[Item], members: list[int], fields: tuple[str, ...], shape: Shape
) -> dict[int, Columns]:
    """Decode items of one group together; where that fails, each alone; leave out those that fail alone."""
    together = _uneven_together(buf, heads, members, fields, shape)
    if together is not None:
        return dict(zip(members, together, strict=True))
    found: dict[int, Columns] = {}
    looser = loosened(shape, _ALL_VARYING)
    for index in members:
        alone = _uneven_together(buf, heads, [index], fields, shape) if len(members) > 1 else None
        if alone is None and looser != shape:
            alone = _uneven_together(buf, heads, [index], fields, looser)
        if alone is not None:
            found[index] = alone[0]
    return found


def _uneven_together(
    buf: Octets, heads: Sequence[Item], members: list[int], fields: tuple[str, ...], shape: Shape
) -> list[Columns] | None:
    begins, ends = _regions(heads, members)
    layout = row_layout(shape)
    rows = row_starts.walk(buf, begins, ends, layout)
    bits = None if rows is None else gather.uneven_columns(buf, rows, begins, ends, layout)
    columns = None if bits is None else _named(fields, bits)
    if rows is None or columns is None:
        return None
    last = np.cumsum(rows.counts)
    cuts = zip((last - rows.counts).tolist(), last.tolist(), strict=True)
    return [{name: column[begin:end] for name, column in columns.items()} for begin, end in cuts]


def _named(fields: Sequence[str], bits: Sequence[gather.Bits]) -> Columns | None:
    columns: Columns = {}
    for name, column_bits in zip(fields, bits, strict=True):
        column = uniform_column(name, column_bits.tag, column_bits.words)
        if column is None:
            return None
        columns[name] = column
    return columns


def _general_columns(data: Bytes, buf: Octets, item: Item, name: str) -> Columns:
    values = read_values(data, buf, item.begins, item.ends)
    n_columns, n_values = len(item.fields), len(item.begins)
    if len(set(item.fields)) < n_columns:
        raise WireFormatError(f"{name} names a column twice: {item.fields}", item.end)
    if n_values and (not n_columns or n_values % n_columns):
        raise WireFormatError(
            f"{name} is ragged: {n_values} values are no multiple of its {n_columns} columns {item.fields}", item.end
        )
    return {
        column: mixed_column(
            column, values.tags[nth::n_columns], values.words[nth::n_columns], values.offsets[nth::n_columns], name
        )
        for nth, column in enumerate(item.fields)
    }
