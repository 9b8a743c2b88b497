"""Read windows of somebody else's table as chunks, each in one query."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import IncompleteReadError, TransientServiceError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.postgresql.connection import Database
from omnia_beam.io.postgresql.failure import UnfitValueError, retried
from omnia_beam.io.postgresql.layout import TableLayout
from omnia_beam.io.postgresql.rows import (
    Rows,
    TooManyRowsError,
    doubles_of,
    joined,
    query,
    sorted_rows,
    times_of,
    without_repeats,
)

Note = Callable[[str, str, int], None]
"""A function that counts a finding: its name, the series, the points."""


@dataclass(frozen=True)
class TableRead:
    """What is read, and how. It is plain data, which can be pickled.

    Args:
        database: of the table.
        layout: of the table.
        max_chunk_points: most points of one chunk.
        inexact: ids of series whose integers beyond 2^53 may be rounded to doubles, since the job accepts it.
    """

    database: Database
    layout: TableLayout
    max_chunk_points: int
    inexact: frozenset[str] = frozenset()


class WindowReader:
    """Reads windows over one connection, which is opened when it is needed. Not for several threads.

    Args:
        task: what is read.
        note: counts repeated times and integers that no double holds.
        stopped: returns whether the run is to end, so that nothing is tried again.
    """

    def __init__(
        self,
        task: TableRead,
        note: Note = lambda finding, series_id, points: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stopped = stopped
        self._task = task
        self._note = note
        self._open = ExitStack()
        self._connection: Any = None

    def connects(self) -> bool:
        """Return whether there is a connection, or the server gives one now.

        Raises:
            CredentialError, UsageError: there will be none.
        """
        if self._connection is None:
            try:
                self._connection = self._open.enter_context(self._task.database.arrow())
            except TransientServiceError:
                return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection = None
        self._open.close()

    def read(self, key: ChunkKey) -> Generator[Chunk]:
        """Yield the chunks of a window, several where it holds more points than one may.

        Raises:
            TransientServiceError: the database did not respond for two minutes.
            CredentialError, UsageError, DestinationError: nothing can be read.
            IncompleteReadError: this window cannot be read.
        """
        spans = [key.range]
        while spans:
            span = spans.pop()
            try:
                rows = self._rows(key.series_ids, span)
            except TooManyRowsError:
                if span.duration_ns < 2:
                    raise
                spans += reversed(span.split(2))
                continue
            yield self._chunk(ChunkKey(key.series_ids, span), rows)

    def _rows(self, series_ids: Sequence[str], span: TimeRange) -> Rows:
        def once() -> Rows:
            try:
                with self._task.database.reporting(f"{self._task.layout.found.name} {span}"):
                    if self._connection is None:
                        self._connection = self._open.enter_context(self._task.database.arrow())
                    return self._wide(series_ids, span) if self._task.layout.is_wide else self._long(series_ids, span)
            except TooManyRowsError:
                raise
            except UnfitValueError as error:
                self.close()
                raise IncompleteReadError(
                    f"{error.message}: no double holds it; make a view without that row, or with another value in it"
                ) from None
            except BaseException:
                self.close()
                raise

        return retried(once, given_up=self._stopped)

    def _long(self, series_ids: Sequence[str], span: TimeRange) -> Rows:
        task, layout = self._task, self._task.layout
        most = task.max_chunk_points
        table = query(self._connection, f"{layout.points_query(series_ids, span)} limit {most + 1}", most)
        return sorted_rows(table, series_ids, unit_ns=layout.unit_ns, default_status=layout.default_status)

    def _wide(self, series_ids: Sequence[str], span: TimeRange) -> Rows:
        task, layout = self._task, self._task.layout
        most = task.max_chunk_points
        table = query(self._connection, f"{layout.rows_query(series_ids, span)} limit {most + 1}", most)
        if sum(column.length() - column.null_count for column in table.columns[1:]) > most:
            raise TooManyRowsError(f"more than {most:,} points")
        all_times = times_of(table.column(0), layout.unit_ns)
        parts: dict[int, Points] = {}
        inexact: dict[str, int] = {}
        for code, column in enumerate(table.columns[1:]):
            there = column.is_valid().to_numpy()
            values, changed = doubles_of(pc.drop_null(column))
            if changed is not None:
                inexact[series_ids[code]] = int(np.count_nonzero(changed))
            times = all_times[there]
            order = np.lexsort((values, times))
            statuses = np.full(len(times), layout.default_status, np.uint32)
            parts[code] = Points(times[order], values[order], statuses)
        rows = joined(parts)
        return Rows(rows.codes, rows.points, inexact)

    def _chunk(self, key: ChunkKey, rows: Rows) -> Chunk:
        for series_id, points in rows.inexact.items():
            self._note("integer_precision", series_id, points)
            if series_id not in self._task.inexact:
                raise IncompleteReadError(
                    f"{series_id}: {points:,} integers beyond 2^53 are none that a double holds: they would be rounded; "
                    "let them be rounded by accept: [integer_precision]"
                )
        rows, repeated = without_repeats(rows)
        if len(repeated):
            found, counts = np.unique(repeated, return_counts=True)
            for code, count in zip(found, counts, strict=True):
                self._note("duplicates", key.series_ids[code], int(count))
        return Chunk.from_columns(key, rows.codes, rows.points)
