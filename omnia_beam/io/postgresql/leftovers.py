"""Remove what a dead run has committed without a receipt: windows that were empty before it wrote them.

Before a transaction that fills empty windows is committed, its windows and its number are noted in the state,
`runs/RUN-table-NAME.json`. Where the ledger has no receipt of them later, the run died between the commit and the receipt, and the
rows that still carry the number (`xmin`) are its own: the source may show others by now. Rows of others stay.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import StateError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.ledger.job import JobRun, RunState
from omnia_beam.ledger.ledger import Ledger

if TYPE_CHECKING:
    import psycopg

_NOTE: Final = "-table-"


def note_windows(run: RunState, chunks: Iterable[Chunk], transaction: str) -> None:
    """Note windows that are about to be filled.

    Args:
        run: holds the lease.
        chunks: of the windows.
        transaction: its number, as rows carry it in `xmin`.

    Raises:
        StateError: the state cannot be written.
    """
    windows = [
        [list(each.key.series_ids), list(each.series_ids), each.key.range.start_ns, each.key.range.end_ns]
        for each in chunks
        if each.num_points
    ]
    if windows:
        note = {"sink": run.sink, "windows": windows, "transaction": transaction}
        run.state_dir.write(f"runs/{run.run_id}{_NOTE}{uuid.uuid4().hex[:12]}.json", json.dumps(note).encode())


def noted_files(run: JobRun) -> list[str]:
    """Return the names of all notes in the state, of this run and of earlier ones."""
    return [f"runs/{each.name}" for each in run.state_dir.list("runs") if _NOTE in each.name]


def remove_leftovers(connection: psycopg.Connection[Any], form: TableForm, run: JobRun, names: Sequence[str]) -> int:
    """Delete the rows of noted windows that have no receipt, forget the notes, and return the number of rows.

    Args:
        connection: each statement is a transaction of its own.
        form: of the table.
        run: holds the lease.
        names: of the notes.

    Raises:
        StateError: the state or the ledger cannot be read.
    """
    ledger = run.reload()
    removed = 0
    for name in names:
        data = run.state_dir.read(name)
        note = {"windows": []} if data is None else _read(name, data)
        for source_ids, stored_ids, start_ns, end_ns in note["windows"]:
            left = _without_receipt(ledger, source_ids, TimeRange(start_ns, end_ns))
            lost = [stored for source, stored in zip(source_ids, stored_ids, strict=True) if source in left]
            if lost and note.get("sink") == run.sink:
                run.fence.check()
                condition = "series_id = any(%s) and time >= %s and time < %s"
                values: tuple[Any, ...] = (lost, form.bound(start_ns), form.bound(end_ns))
                if "transaction" in note:  # earlier releases did not note it
                    condition, values = f"{condition} and xmin::text = %s", (*values, note["transaction"])
                table = form.name.sql_beside_parameters
                removed += connection.execute(f"delete from {table} where {condition}".encode(), values).rowcount
        run.state_dir.delete(name)
    return removed


def _without_receipt(ledger: Ledger, series_ids: Sequence[str], window: TimeRange) -> set[str]:
    """Return the series of which no receipt, under any configuration, covers a part of a window."""
    return {
        each
        for each in series_ids
        if not any(ledger.coverage(scope, each).intersect(window) for scope in ledger.known_scopes)
    }


def _read(name: str, data: bytes) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise StateError(f"{name} in the state: cannot be understood: {error}") from error
    return note
