"""Read back what a sink's table holds of recorded windows: for verify, and for the guard of removals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import OmniaBeamError, TransientServiceError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.observer import Observation, Surplus
from omnia_beam.io.postgresql.connection import Database
from omnia_beam.io.postgresql.failure import retried
from omnia_beam.io.postgresql.names import text_array
from omnia_beam.io.postgresql.rows import query, sorted_rows
from omnia_beam.io.postgresql.table import TableForm

_THREADS: Final = 2
_AHEAD: Final = 4


@dataclass(frozen=True)
class StoredRows:
    """The rows of one table by window. It is plain data, which can be pickled.

    Args:
        database, form: of the table.
    """

    database: Database
    form: TableForm
    replaces: ClassVar[bool] = True

    def points(self, receipts: Iterable[Receipt]) -> tuple[dict[str, Points], list[str]]:
        """Return the points of the windows of receipts by stored id, ascending in time; nothing stays unread."""
        parts: dict[str, list[Points]] = {}
        for receipt in receipts:
            for stored_id, points in self.window(receipt).items():
                parts.setdefault(stored_id, []).append(points)
        return {stored_id: _by_time(Points.concat(each)) for stored_id, each in parts.items()}, []

    def window(self, receipt: Receipt) -> dict[str, Points]:
        """Return the points of the window of one receipt."""
        ids = sorted({each.target_id for each in receipt.series})
        return retried(lambda: self.read(ids, receipt.key.range))

    def read(self, stored_ids: Sequence[str], window: TimeRange, connection: Any = None) -> dict[str, Points]:
        """Return the points of some series in a range of time, by stored id.

        Args:
            stored_ids: ascending.
            window: the range.
            connection: of ADBC; None for one of its own.

        Raises:
            OmniaBeamError: the table cannot be read.
        """
        if connection is None:
            with self.database.arrow() as own:
                return self.read(stored_ids, window, own)
        form = self.form
        statement = (
            f"select {form.column_list} from {form.name.sql} where value is not null "
            f"and series_id = any({text_array(stored_ids)}) "
            f"and time >= {form.bound_sql(window.start_ns)} and time < {form.bound_sql(window.end_ns)}"
        )
        with self.database.reporting(str(form.name)):
            table = query(connection, statement)
        rows = sorted_rows(table, stored_ids, unit_ns=1, default_status=form.default_status)
        return rows.by_series(stored_ids)


@dataclass(frozen=True)
class TableDestination:
    """The table of a job, as verify reads it back.

    Args:
        stored: the rows.
    """

    stored: StoredRows
    files = None

    @property
    def is_quiet(self) -> bool:
        return True

    @property
    def holds_statuses(self) -> bool:
        return True

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """Yield for each receipt, in order, what the table holds.

        Raises:
            CredentialError, ServiceError: the database cannot be read at all.
        """
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="omnia-verify") as pool:
            for at in range(0, len(receipts), _AHEAD):
                yield from pool.map(self._observe, receipts[at : at + _AHEAD])

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """Return the stored points of some series in the window of a receipt."""
        return retried(lambda: self.stored.read(sorted(stored_ids), receipt.key.range))

    def surplus(self, live: Collection[str]) -> Surplus:
        """Return nothing: rows of other series and times belong to others."""
        return Surplus()

    def _observe(self, receipt: Receipt) -> Observation:
        try:
            found = self.stored.window(receipt)
        except TransientServiceError:
            raise
        except OmniaBeamError as error:
            return Observation(failure=str(error))
        return Observation({each: Fingerprint.of(points) for each, points in found.items()})


def _by_time(points: Points) -> Points:
    """Return points sorted by time, each time once: windows that overlap were read twice."""
    _, first = np.unique(points.times, return_index=True)
    return points.take(first)
