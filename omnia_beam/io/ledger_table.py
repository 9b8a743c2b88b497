"""The ledger as Arrow batches: one row a record, whether it comes from a segment's lines or from a snapshot's Parquet.

`record` holds the very line that was appended: a snapshot changes where a receipt lies and never what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from omnia_beam.core.receipt import Receipt
from omnia_beam.io.ledger_record import SegmentHeader, UnknownVersionError, check_version, decode_line

RECEIPT: Final = 0
"""A sink's word that series and range are stored."""
INTENT: Final = 1
"""A sink's word that it is about to replace what is stored of series and range."""
RETIRED: Final = 2
"""Files whose receipts were all replaced and have left the ledger; no series. Only in snapshots."""

_KINDS: Final = {"receipt": RECEIPT, "intent": INTENT}
_CODED: Final = pa.dictionary(pa.int32(), pa.string())

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
        pa.field("series", pa.list_(pa.field("element", _CODED, nullable=False)), nullable=False),
        pa.field("files", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False),
        pa.field("record", pa.binary(), nullable=False),
    ]
)
INDEX_COLUMNS: Final = SCHEMA.names[:9]
"""What coverage needs; the rest stays on disk until somebody asks."""


def batch_of_records(header: SegmentHeader, lines: Sequence[bytes], records: Sequence[dict[str, Any]]) -> Any:
    """Records of one segment as a batch of SCHEMA.

    Args:
        header: the segment's.
        lines: without their newlines.
        records: the same, decoded.

    Raises:
        UnknownVersionError: a record of a version or kind that this code does not know.
        ValueError: a record without its members, or with members of the wrong type.
    """
    for record in records:
        if record.get("v") != 1 or record.get("kind") not in _KINDS:
            _refuse(record)
    try:
        series = [
            [each[0] for each in record["series"]] if record["kind"] == "receipt" else record["series"]
            for record in records
        ]
        files = [record.get("files", ()) for record in records]
        count = len(records)
        columns = [
            pa.array(np.full(count, header.run, np.int64)),
            _repeated(header.writer, count),
            pa.array([record["at"] for record in records], pa.int64()),
            pa.array([_KINDS[record["kind"]] for record in records], pa.int8()),
            _repeated(header.scope.digest, count),
            pa.array([record["sink"] for record in records], pa.string()).dictionary_encode(),
            pa.array([record["start"] for record in records], pa.int64()),
            pa.array([record["end"] for record in records], pa.int64()),
            _coded_lists(series),
            pa.array(files, SCHEMA.field("files").type),
            pa.array(lines, pa.binary()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    except (KeyError, IndexError, TypeError, pa.ArrowException) as error:
        raise ValueError(f"a record that is not what a writer writes: {type(error).__name__} {error}") from error


def retired_batch(sink: str, files: Sequence[str]) -> Any:
    """Files that no receipt of the ledger names any more, as one row of SCHEMA."""
    columns = [
        pa.array([0], pa.int64()),
        _repeated("", 1),
        pa.array([0], pa.int64()),
        pa.array([RETIRED], pa.int8()),
        _repeated("", 1),
        _repeated(sink, 1),
        pa.array([0], pa.int64()),
        pa.array([0], pa.int64()),
        _coded_lists([[]]),
        pa.array([list(files)], SCHEMA.field("files").type),
        pa.array([b""], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def receipt_of_record(line: bytes) -> Receipt:
    """The receipt that a `record` holds. Raises ValueError: its checksum does not fit, or it is not one."""
    try:
        return Receipt.from_json(decode_line(line))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a receipt without a proper {error}") from error


def _refuse(record: dict[str, Any]) -> None:
    check_version(record)
    kind = record.get("kind")
    raise UnknownVersionError(
        f"it is a record of kind {kind!r}, and this omnia-beam knows {' and '.join(_KINDS)}: "
        "run the omnia-beam that wrote it, or a newer one"
    )


def _repeated(text: str, count: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text], pa.string()))


def _coded_lists(lists: Sequence[Sequence[str]]) -> Any:
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum([len(each) for each in lists], out=offsets[1:])
    values = pa.array([text for each in lists for text in each], pa.string()).dictionary_encode()
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=SCHEMA.field("series").type)
