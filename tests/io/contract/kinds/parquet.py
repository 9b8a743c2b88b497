"""Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.io.files.options import ParquetColumns
from tests.io.contract.place import RECORD, Place
from tests.pipelines.conftest import Rows, stored_points


class ParquetPlace(Place):
    """A folder of Parquet files."""

    kind = "parquet"
    source_changes: ClassVar = {
        "path": "elsewhere",
        "include": ["A"],
        "exclude": ["A"],
        "status": [192],
        "default_status": 0,
        "facility": "F",
        "timezone": "Europe/Oslo",
        "series_from": "{series}.parquet",
        "columns": ParquetColumns(value="v"),
        "time_unit": "ms",
        "time_format": "%Y",
    }
    steps = ("omnia_beam.io.files.write.write_durably", *RECORD)
    sink_changes: ClassVar = {"path": "elsewhere", "compression": "gzip", "compression_level": 3, "text": True}

    def source(self) -> dict[str, Any]:
        return {"kind": "parquet", "path": str(self.folder / "*.parquet")}

    def sink(self) -> dict[str, Any]:
        return {"kind": "parquet", "path": str(self.folder)}

    def put(self, points: Mapping[str, Rows]) -> None:
        for name, each in points.items():
            columns = {
                "series_id": pa.array([name] * len(each), pa.string()),
                "time": pa.array(each["time"]).cast(pa.timestamp("ns", tz="UTC")),
                "value": pa.array(np.ascontiguousarray(each["bits"]).view(np.float64)),
                "status": pa.array(np.ascontiguousarray(each["status"])),
            }
            pq.write_table(pa.table(columns), self.folder / f"{name}.parquet")

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.parquet").unlink()

    def spoil(self, name: str, time_ns: int) -> None:
        for file in self.folder.rglob("*.parquet"):
            file.unlink()

    def held(self) -> dict[str, Rows]:
        return stored_points(self.folder)


PLACE = ParquetPlace
