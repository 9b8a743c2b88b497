"""An emulator for the tests of Beam's edges, with series whose points a test can tell by heart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings
from tests.io.scripted_service import Row, bits_of

SECOND = 10**9
DAY = 86_400 * SECOND
DAY_ONE = TimeRange.parse("2024-01-01", "2024-01-02")
MONTH = TimeRange.parse("2024-01-01", "2024-02-01")

STEPS = {"dense": 60, "hourly": 3_600, "daily": 86_400}
"""Seconds between the points of the series of `steady_series`, all of January 2024."""


def steady_series(month: TimeRange = MONTH) -> dict[str, Any]:
    """A point each STEPS seconds; every tenth is bad, values are the point's number."""
    made = {}
    for name, step in STEPS.items():
        times = np.arange(month.start_ns, month.end_ns, step * SECOND)
        numbers = np.arange(len(times))
        made[name] = (times, numbers * 0.25, np.where(numbers % 10, 192, 0).astype(np.uint32))
    return made


def ids_of(emulator: EmulatorThread) -> dict[str, str]:
    """Series ids by name."""
    return {series.metadata.name: series.id for series in emulator.store.listed()}


def true_points(emulator: EmulatorThread, series_ids: Sequence[str], wanted: TimeRange) -> dict[str, list[Row]]:
    """What the emulator's store holds, by brute force."""
    held = {series.id: series for series in emulator.store.listed()}
    found: dict[str, list[Row]] = {}
    for series_id in series_ids:
        points = held[series_id].points(wanted.start_ns, wanted.end_ns)
        found[series_id] = [
            (t, bits_of(v), s)
            for t, v, s in zip(points.times.tolist(), points.values.tolist(), points.statuses.tolist(), strict=True)
        ]
    return found


def service(url: str, **settings: Any) -> ServiceSettings:
    """Unpaced, impatient: a test waits for nobody."""
    with_short_retries = RetryPolicy(attempts=4, deadline_s=5, first_wait_s=0.01, max_wait_s=0.05)
    return ServiceSettings(
        url, **{"requests_per_second": None, "max_in_flight": 4, "retry": with_short_retries, **settings}
    )
