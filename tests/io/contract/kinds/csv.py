"""CSV files, long."""

from __future__ import annotations

from collections.abc import Mapping
from csv import DictReader
from typing import Any, ClassVar

import numpy as np

from omnia_beam.core.timestamps import format_time, parse_time
from tests.io.contract.place import RECORD, Place
from tests.pipelines.conftest import Rows, rows


class CsvPlace(Place):
    """A folder of CSV files. A NaN has no payload there."""

    kind = "csv"
    source_changes: ClassVar = {
        "path": "elsewhere",
        "include": ["A"],
        "exclude": ["A"],
        "status": [192],
        "default_status": 0,
        "facility": "F",
        "timezone": "Europe/Oslo",
        "series_from": "{series}.csv",
        "layout": "long",
        "delimiter": ",",
        "decimal": ",",
        "encoding": "latin-1",
        "missing": ["-"],
        "time_column": "time",
        "series_column": "series_id",
        "value_column": "value",
        "status_column": "status",
        "time_format": "epoch_ms",
        "dst_fold": "order",
        "skip_rows": 1,
        "skip_after_header": 1,
        "skip_footer": 1,
        "comment": "#",
        "thousands": " ",
        "values": {"Bad": 0},
        "status_words": {"Good": 192},
        "status_suffix": ".q",
        "quality_columns": {"a": "b"},
    }
    steps = ("omnia_beam.io.files.write.write_durably", *RECORD)
    sink_changes: ClassVar = {
        "path": "elsewhere",
        "layout": "wide",
        "delimiter": ";",
        "compression": "gzip",
        "text": True,
    }

    def source(self) -> dict[str, Any]:
        return {"kind": "csv", "path": str(self.folder / "*.csv")}

    def sink(self) -> dict[str, Any]:
        return {"kind": "csv", "path": str(self.folder)}

    def put(self, points: Mapping[str, Rows]) -> None:
        for name, each in points.items():
            lines = [
                f"{format_time(time)},{name},{float(np.uint64(bits).view(np.float64))!r},{status}"
                for time, bits, status in each.tolist()
            ]
            (self.folder / f"{name}.csv").write_text("\n".join(["time,series_id,value,status", *lines]) + "\n")

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.csv").unlink()

    def spoil(self, name: str, time_ns: int) -> None:
        for file in self.folder.rglob("*.csv"):
            file.unlink()

    def held(self) -> dict[str, Rows]:
        found: dict[str, list[tuple[int, float, int]]] = {}
        for file in sorted(self.folder.rglob("[!_]*.csv")):
            for row in DictReader(file.open()):
                point = parse_time(row["time"]), float(row["value"]), int(row["status"])
                found.setdefault(row["series_id"], []).append(point)
        return {name: rows(*zip(*points, strict=True)) for name, points in found.items()}

    def holds(self, points: Rows) -> Rows:
        plain = points.copy()
        plain["bits"][np.isnan(points["bits"].view(np.float64))] = np.float64("nan").view(np.uint64)
        return plain


PLACE = CsvPlace
