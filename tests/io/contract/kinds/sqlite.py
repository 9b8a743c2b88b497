"""The example of a kind of another package."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tests.io.contract.place import RECORD, Place
from tests.pipelines.conftest import Rows, rows


class SqlitePlace(Place):
    """A table, which holds infinities and no NaN."""

    kind = "sqlite"
    source_changes: ClassVar = {"path": "elsewhere.db", "table": "other"}
    sink_changes: ClassVar = {"path": "elsewhere.db", "table": "other"}

    steps = (
        "omnia_beam_sqlite.table:Table.stage",
        "omnia_beam.io.commit_step.note_staged",
        "omnia_beam_sqlite.table:Table.commit",
        "omnia_beam.ledger.dead_letters:DeadLetterFiles.put",
        *RECORD,
        "omnia_beam.ledger.state_dir:StateDir.delete",
    )

    def source(self) -> dict[str, Any]:
        return {"kind": "sqlite", "path": str(self.folder / "points.db")}

    def sink(self) -> dict[str, Any]:
        return self.source()

    def put(self, points: Mapping[str, Rows]) -> None:
        db = sqlite3.connect(self.folder / "points.db")
        db.execute("CREATE TABLE IF NOT EXISTS points (series_id TEXT, time_ns INTEGER, value, status INTEGER)")
        for name, each in points.items():
            db.execute("DELETE FROM points WHERE series_id = ?", (name,))
            for time, bits, status in each.tolist():
                value = float(np.uint64(bits).view(np.float64))
                db.execute("INSERT INTO points VALUES (?, ?, ?, ?)", (name, time, value, status))
        db.commit()
        db.close()

    def held(self) -> dict[str, Rows]:
        db = sqlite3.connect(self.folder / "points.db")
        known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone()
        found = db.execute("SELECT * FROM points").fetchall() if known else []
        db.close()
        names = sorted({row[0] for row in found})
        return {name: rows(*zip(*(row[1:] for row in found if row[0] == name), strict=True)) for name in names}

    def forget(self, name: str) -> None:
        db = sqlite3.connect(self.folder / "points.db")
        db.execute("DELETE FROM points WHERE series_id = ?", (name,))
        db.commit()
        db.close()

    def spoil(self, name: str, time_ns: int) -> None:
        db = sqlite3.connect(self.folder / "points.db")
        db.execute("UPDATE points SET value = value + 1 WHERE series_id = ? AND time_ns = ?", (name, time_ns))
        db.commit()
        db.close()

    def holds(self, points: Rows) -> Rows:
        return points[~np.isnan(points["bits"].view(np.float64))]


PLACE = SqlitePlace
