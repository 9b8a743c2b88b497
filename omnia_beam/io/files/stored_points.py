"""Read back the points that files of a job hold, with which a window that is read again is compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from omnia_beam.core.chunk import Points
from omnia_beam.core.limits import GOOD
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.files.csv.readback import read_csv_points
from omnia_beam.io.files.csv.write import CsvOptions
from omnia_beam.io.files.parquet.readback import read_points
from omnia_beam.store import within


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Files below one path. This is plain data, which can be pickled.

    Args:
        path: of the sink.
        csv: their format; None for Parquet.
    """

    path: str
    csv: CsvOptions | None = None
    replaces: ClassVar[bool] = True

    def points(self, receipts: Iterable[Receipt]) -> tuple[dict[str, Points], list[str]]:
        """Return the points of the receipts' files by stored id, ascending in time, and the files that cannot be read."""
        parts: dict[str, list[Points]] = {}
        unread = []
        for name in dict.fromkeys(name for receipt in receipts for name in receipt.files):
            found: dict[str, list[Points]] = {}
            try:
                for stored_id, points in self._read(within(self.path, name)):
                    found.setdefault(stored_id, []).append(points)
            except (FileNotFoundError, ValueError):
                unread.append(name)
                continue
            for stored_id, each in found.items():
                parts.setdefault(stored_id, []).extend(each)
        return {stored_id: Points.concat(each).by_time() for stored_id, each in parts.items()}, unread

    def _read(self, path: str) -> Iterator[tuple[str, Points]]:
        if self.csv is None:
            yield from read_points(path)
            return
        for stored_id, points in read_csv_points(path, self.csv):
            if self.csv.layout == "wide":  # it holds no statuses
                points = points._replace(statuses=np.full_like(points.statuses, GOOD))
            yield stored_id, points
