"""Return which files the ledger's receipts name, the files' stamps when they were written, and which windows they hold."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from omnia_beam.core.errors import StateError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.ledger.index import PARTIAL, Flags
from omnia_beam.ledger.ledger import Ledger, RecordedReceipt
from omnia_beam.ledger.table import RECEIPT

_STAMPED: Final = pa.schema([("files", pa.list_(pa.string())), ("stamps", pa.list_(pa.list_(pa.int64())))])


def recorded_stamps(ledger: Ledger, sink: str) -> dict[str, FileStamp | None]:
    """Return every file that a counting receipt names, with its stamp; None where the receipt has none (earlier releases).

    Where several receipts name a file, the last receipt's stamp counts. Reads from disk: a second for a million receipts.

    Raises:
        StateError: the ledger has changed since it was loaded, or a record cannot be read.
    """
    found: dict[str, tuple[tuple[int, int, str], FileStamp | None]] = {}
    for _, batch in ledger.select(_counting(ledger, sink), ["run", "writer", "at", "record"]):
        orders = zip(*(batch.column(name).to_pylist() for name in ("run", "at", "writer")), strict=True)
        for order, files, stamps in zip(orders, *_files_and_stamps(ledger, batch), strict=True):
            for place, name in enumerate(files or ()):
                if name not in found or found[name][0] < order:
                    found[name] = order, FileStamp(*stamps[place]) if stamps else None
    return {name: stamp for name, (_, stamp) in found.items()}


def receipts_of_files(ledger: Ledger, sink: str, names: Collection[str]) -> list[RecordedReceipt]:
    """Return the counting receipts that name one of these files, which have to be read again where a file is not as recorded.

    Raises:
        StateError: as `recorded_stamps`.
    """
    if not names:
        return []
    wanted = pa.array(sorted(names), pa.string())
    flags = _counting(ledger, sink)
    chosen = flags & False
    for positions, batch in ledger.select(flags, ["files"]):
        files = batch.column("files")
        rows = pc.list_parent_indices(files).filter(pc.is_in(pc.list_flatten(files), value_set=wanted))
        chosen[positions[rows.unique().to_numpy(zero_copy_only=False)]] = True
    return list(ledger.recorded(chosen))


def _counting(ledger: Ledger, sink: str) -> Flags:
    index = ledger.index
    flags: Flags = (index.kind == RECEIPT) & (index.state >= PARTIAL)
    flags &= index.sink == (index.sinks.index(sink) if sink in index.sinks else -1)
    return flags


def _files_and_stamps(ledger: Ledger, batch: Any) -> tuple[list[Any], list[Any]]:
    """Return files and stamps by record, by Arrow's JSON reader, which skips the rest of a record in C++."""
    text = b"\n".join(batch.column("record").to_pylist())
    try:
        table = pj.read_json(
            pa.BufferReader(text),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_STAMPED, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException as error:
        raise StateError(f"{ledger.state_dir.path('ledger')}: damaged: {error}") from error
    return table.column("files").to_pylist(), table.column("stamps").to_pylist()
