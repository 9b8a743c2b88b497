"""An Omnia service: the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from omnia_beam.emulator.common.metadata import SeriesMetadata, series_id
from omnia_beam.emulator.common.points import as_points
from omnia_beam.emulator.common.source import StoredPoints
from omnia_beam.emulator.thread import EmulatorThread
from tests.io.contract.place import RECORD, Place
from tests.pipelines.conftest import Rows, rows


class OmniaPlace(Place):
    """A service, which keeps 100 ns and no NaN or infinity."""

    kind = "omnia"
    holds_nan = False
    grid_ns = 100
    steps = ("omnia_beam.io.omnia.write.send_group", "omnia_beam.ledger.dead_letters:DeadLetterFiles.put", *RECORD)
    _connection: ClassVar = {
        "credential": {"kind": "default"},
        "resource_id": "r",
        "rate": {"max_in_flight": 2},
        "retry": {"attempts": 2},
        "page_limit": 10,
        "format": "json",
        "allow_plain_http": True,
        "ca_bundle": "ca.pem",
        "subscription_key_env": "KEY",
        "timeouts": {"read_s": 5},
    }
    source_changes: ClassVar = {
        "base_url": "http://127.0.0.1:9/other",
        "environment": "test",
        "federation_source": "TSDB",
        "series": {"search": {"name": "A"}},
        "status": [192],
        **_connection,
    }
    sink_changes: ClassVar = {
        "base_url": "http://127.0.0.1:9/other",
        "environment": "test",
        "create_missing": {"facility": "G"},
        "batch_points": 10,
        "batch_bytes": 2_000,
        "nan": "drop_counted",
        "bad_status": 24,
        "bad_value": 1.5,
        "time_resolution": "truncate",
        **_connection,
    }

    sink_base: ClassVar = {"nan": "as_bad_status"}  # without it there is no bad status to change

    def open(self) -> None:
        self.emulator = EmulatorThread().start()

    def close(self) -> None:
        self.emulator.stop()

    def source(self) -> dict[str, Any]:
        return {**self._service(), "series": {"search": {"facility": "F"}}}

    def sink(self) -> dict[str, Any]:
        return {**self._service(), "create_missing": {"facility": "F", "name": "{name}"}}

    def into(self) -> dict[str, Any]:
        return {"mapping": {"by": "template", "target_name": "{name}", "target_facility": "F"}}

    def put(self, points: Mapping[str, Rows]) -> None:
        for name, each in points.items():
            values = np.ascontiguousarray(each["bits"]).view(np.float64)
            stored = StoredPoints(as_points(each["time"], values, each["status"]))
            known = self.emulator.store.named("F", name)
            if known is None:
                self.emulator.store.add(SeriesMetadata(id=series_id("F", name), name=name, facility="F"), stored)
            else:
                known.source = stored

    def held(self) -> dict[str, Rows]:
        found = {each.metadata.name: each.points() for each in self.emulator.store.listed()}
        return {
            name: rows(points.times, points.values, points.statuses)
            for name, points in found.items()
            if len(points.times)
        }

    def forget(self, name: str) -> None:
        series = self.emulator.store.named("F", name)
        assert series is not None
        self.emulator.store.remove(series)

    def spoil(self, name: str, time_ns: int) -> None:
        series = self.emulator.store.named("F", name)
        assert series is not None
        series.delete(time_ns, time_ns + 100)

    def ids(self) -> dict[str, str]:
        return {each.id: each.metadata.name for each in self.emulator.store.listed()}

    def _service(self) -> dict[str, Any]:
        return {
            "kind": "omnia",
            "base_url": self.emulator.url,
            "credential": {"kind": "anonymous"},
            "rate": {"requests_per_second": None, "max_in_flight": 4},
        }


PLACE = OmniaPlace
