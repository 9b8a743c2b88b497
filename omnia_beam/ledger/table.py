"""Convert ledger records to Arrow batches: one row for each record, from a segment's lines or a snapshot's Parquet.

`record` holds the line that was appended, byte for byte: a snapshot changes where a receipt is stored and never its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from omnia_beam.core.receipt import Receipt
from omnia_beam.ledger.record import FORMAT, SegmentHeader, UnknownVersionError, check_version, decode_line

RECEIPT: Final = 0
"""Kind of a record by which a sink confirms that series and range are stored."""
INTENT: Final = 1
"""Kind of a record by which a sink announces that it will replace what is stored of series and range."""
RETIRED: Final = 2
"""Kind of a record of files whose receipts were all replaced and have left the ledger; it has no series. Only in snapshots."""

_KINDS: Final = ("receipt", "intent")  # in the order of the numbers above
_CODED: Final = pa.dictionary(pa.int32(), pa.string())
_STRINGS: Final = pa.list_(pa.field("element", pa.string(), nullable=False))
_REQUIRED: Final = ("v", "kind", "at", "start", "end", "sink", "ids")
_MEMBERS: Final = pa.schema(
    [
        ("v", pa.int64()),
        ("kind", pa.string()),
        ("at", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("sink", pa.string()),
        ("ids", _STRINGS),
        ("files", _STRINGS),
    ]
)

SCHEMA: Final = pa.schema(
    [
        pa.field("run", pa.int64(), nullable=False),
        pa.field("writer", _CODED, nullable=False),
        pa.field("at", pa.int64(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("scope", _CODED, nullable=False),
        pa.field("sink", _CODED, nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("series", _STRINGS, nullable=False),
        pa.field("files", _STRINGS, nullable=False),
        pa.field("record", pa.binary(), nullable=False),
    ]
)
MEMORY_POOL: Final = pa.system_memory_pool()
"""Memory pool for loading, which takes much memory for short times; Arrow's own pools keep twice as much of it as malloc."""

INDEX_COLUMNS: Final = SCHEMA.names[:9]
"""Columns that coverage needs; the others stay on disk until they are requested."""


def batch_of_records(header: SegmentHeader, lines: Sequence[bytes]) -> Any:
    """Return records of one segment as a batch of SCHEMA.

    Args:
        header: the segment's header.
        lines: lines without their newlines, whose checksums match.

    Raises:
        UnknownVersionError: a record is of a version or kind that this code does not know.
        ValueError: a record lacks members, or has members of the wrong type.
    """
    if lines and not lines[0].startswith(b"{"):  # Arrow's reader ends the whole process where a text begins with `null`
        raise ValueError("a line that is no record")
    try:
        table = parsed(b"\n".join(lines))
    except pa.ArrowException as error:
        raise ValueError(f"a record that is not what a writer writes: {error}") from error
    if table.num_rows != len(lines):
        raise ValueError("a line that is not one record")
    kinds = pc.index_in(table.column("kind"), value_set=pa.array(_KINDS))
    if kinds.null_count or not pc.all(pc.equal(table.column("v"), FORMAT)).as_py():
        for line in lines:
            _refuse_unknown(line)
    if any(table.column(name).null_count for name in _REQUIRED):
        raise ValueError("a record without all its members")
    files = pc.if_else(table.column("files").is_valid(), table.column("files"), pa.scalar([], _STRINGS))
    columns = [
        pa.array(np.full(len(lines), header.run, np.int64)),
        _repeated(header.writer, len(lines)),
        table.column("at"),
        kinds.cast(pa.int8()),
        _repeated(header.scope.digest, len(lines)),
        table.column("sink").dictionary_encode(),
        table.column("start"),
        table.column("end"),
        table.column("ids"),
        files,
        pa.array(lines, pa.binary()),
    ]
    return pa.table(columns, schema=SCHEMA).combine_chunks().to_batches()[0]


def retired_batch(sink: str, files: Sequence[str]) -> Any:
    """Return files that no receipt of the ledger names any more as one row of SCHEMA."""
    columns = [
        pa.array([0], pa.int64()),
        _repeated("", 1),
        pa.array([0], pa.int64()),
        pa.array([RETIRED], pa.int8()),
        _repeated("", 1),
        _repeated(sink, 1),
        pa.array([0], pa.int64()),
        pa.array([0], pa.int64()),
        pa.array([[]], _STRINGS),
        pa.array([list(files)], _STRINGS),
        pa.array([b""], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def receipt_of_record(line: bytes) -> Receipt:
    """Return the receipt that a `record` holds.

    Raises:
        ValueError: its checksum does not match, or it is no receipt.
    """
    data = decode_line(line)
    try:
        series = [[series_id, *rest] for series_id, rest in zip(data["ids"], data["series"], strict=True)]
        return Receipt.from_json({**data, "series": series})
    except (KeyError, TypeError) as error:
        raise ValueError(f"a receipt without a proper {error}") from error


def parsed(text: bytes) -> Any:
    """Parse lines with Arrow, which costs a hundred times less Python than decoding each line; other members are skipped."""
    return pj.read_json(
        pa.BufferReader(text),
        memory_pool=MEMORY_POOL,
        read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),  # one block, so that no line is cut
        parse_options=pj.ParseOptions(explicit_schema=_MEMBERS, unexpected_field_behavior="ignore"),
    )


def _refuse_unknown(line: bytes) -> None:
    data = decode_line(line)
    check_version(data)
    if data.get("kind") not in _KINDS:
        raise UnknownVersionError(
            f"it is a record of kind {data.get('kind')!r}, and this omnia-beam knows {' and '.join(_KINDS)}: "
            "run the omnia-beam that wrote it, or a newer one"
        )


def _repeated(text: str, count: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text], pa.string()))
