"""One table of an SQLite file: read by ranges, written by one committer in transactions."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from omnia_beam.beam.coders import ChunkCoder
from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.base import Accepts, Loss
from omnia_beam.io.commit import Staged, parted

REASON = "value is NaN, which SQLite stores as NULL"


def held(chunk):
    """Return what SQLite holds of a chunk, and dead letters of its NaN."""
    return parted(chunk, lambda points: np.isnan(points.values), REASON)


def as_held(chunk):
    """Return what SQLite holds of a chunk."""
    return held(chunk)[0]


ACCEPTS = Accepts(not_finite=Loss("values are NaN: they become dead letters"), as_held=as_held)


@dataclass(frozen=True)
class Table:
    """Reads and writes; plain data, since workers get a copy."""

    path: str
    name: str

    def reach(self):
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.access(folder, os.W_OK):
            raise DestinationError(f"{self.path}: cannot be written: {folder} is no folder that this user may write to")
        return f"{self.path} can be written"

    def series(self):
        return [Timeseries(id, id, "") for (id,) in self._ask("SELECT DISTINCT series_id FROM {t}")]

    def span(self):
        [(first, last)] = self._ask("SELECT min(time_ns), max(time_ns) FROM {t}") or [(None, None)]
        return None if first is None else TimeRange(first, last + 1)

    def counts(self, series_ids, requested):
        where = "SELECT count(*) FROM {t} WHERE series_id = ? AND time_ns >= ? AND time_ns < ?"
        rows = {id: self._ask(where, (id, requested.start_ns, requested.end_ns)) for id in series_ids}
        return {id: found[0][0] for id, found in rows.items() if found}

    def read(self, series_ids, requested):
        where = "SELECT time_ns, value, status FROM {t} WHERE series_id = ? AND time_ns >= ? AND time_ns < ? ORDER BY 1"
        rows = {id: self._ask(where, (id, requested.start_ns, requested.end_ns)) for id in series_ids}
        return {id: _points(found) for id, found in rows.items() if found}

    def stage(self, chunk, sink):
        good, letters = held(chunk)
        return Staged.of(good, sink, ChunkCoder().encode(good), letters)

    def commit(self, staged, placing):
        with self._open() as db:
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {self.name} (series_id TEXT, time_ns INTEGER, value, status INTEGER)"
            )
            db.execute(f"CREATE INDEX IF NOT EXISTS {self.name}_by_time ON {self.name} (series_id, time_ns)")
            for chunk in (ChunkCoder().decode(each.data) for each in staged):
                for _, id, points in chunk.by_series():
                    bounds = (id, chunk.key.range.start_ns, chunk.key.range.end_ns)
                    db.execute(f"DELETE FROM {self.name} WHERE series_id = ? AND time_ns >= ? AND time_ns < ?", bounds)  # noqa: S608  # the model admits letters only
                    rows = zip(*(column.tolist() for column in points[:3]), strict=True)
                    db.executemany(f"INSERT INTO {self.name} VALUES (?, ?, ?, ?)", ((id, *row) for row in rows))  # noqa: S608  # as above
            with placing():
                db.commit()
        return [each.receipt for each in staged]

    def _ask(self, query, values=()):
        if not os.path.exists(self.path):
            return []
        with self._open() as db:
            known = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self.name,)).fetchone()
            return db.execute(query.format(t=self.name), values).fetchall() if known else []

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self.path, timeout=30)
            try:
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise DestinationError(f"{self.path}: {error}") from error


def _points(rows):
    times, values, statuses = zip(*rows, strict=True)
    return Points(np.array(times, np.int64), np.array(values, np.float64), np.array(statuses, np.uint32))
