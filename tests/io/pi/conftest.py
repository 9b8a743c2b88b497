"""What the tests of PI share: a job's configuration, and what the emulator's archive says that a copy must hold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.config import JobConfig
from omnia_beam.emulator.pi.archive import Archive
from omnia_beam.emulator.pi.events import GOOD, QUESTIONABLE, STATE, SUBSTITUTED
from omnia_beam.pipelines.config import load_config
from tests.pipelines.conftest import Rows, rows
from tests.wire.readings import READINGS, reading_with


@pytest.fixture(scope="module", params=READINGS)
def each_reading(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a module's tests with the compiled kernel and without it."""
    with reading_with(request.param):
        yield


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., JobConfig]:
    """Loads a job with a source of kind pi: keyword arguments go over the defaults, `source` is merged."""

    def write(url: str, *, source: dict[str, Any] | None = None, **keys: Any) -> JobConfig:
        job = {
            "name": "job",
            "source": {
                "kind": "pi",
                "base_url": url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 4},
                "retry": {"first_wait": "10ms", "max_wait": "50ms"},
                **(source or {}),
            },
            "window": {"start": "2024-01-01", "end": "2024-02-01"},
            "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
            "state": str(tmp_path / "state"),
            **keys,
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        return load_config(str(path), now_ns=time.time_ns())

    return write


@dataclass
class Truth:
    """What a copy must hold of an archive, by a loop over its events that shares nothing with the product.

    Args:
        points: by name; series without points are left out.
        same_time: by name, how many values share their time with another and are not kept.
        texts: by name, how many values are texts.
        states: by name, how many values are system states.
    """

    points: dict[str, Rows] = field(default_factory=dict)
    same_time: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls,
        archive: Archive,
        start_ns: int,
        end_ns: int,
        *,
        same_time: str = "last",
        states: dict[str, int] | None = None,
    ) -> Truth:
        truth = cls()
        for point in archive.ordered():
            found: dict[int, list[tuple[float, int]]] = {}
            events = archive.events(point.name, start_ns, end_ns)
            for row in range(len(events)):
                mark, number = int(events.marks[row]), float(events.numbers[row])
                if mark & STATE:
                    truth.states[point.name] += 1
                    value = (np.nan, (states or {}).get(archive.system_state(int(number)), 0))
                elif not mark & GOOD:
                    value = (number, 0)
                else:
                    status = 64 if mark & QUESTIONABLE else 24 if mark & SUBSTITUTED else 192
                    text = events.texts is not None and events.texts[row] is not None
                    truth.texts[point.name] += text
                    value = (np.nan if text else number, status)
                found.setdefault(int(events.times[row]), []).append(value)
            kept: list[tuple[int, float, int]] = []
            for at, values in found.items():
                if len(values) > 1 and same_time == "dead_letter":
                    truth.same_time[point.name] += len(values)
                    continue
                truth.same_time[point.name] += len(values) - 1
                kept.append((at, *values[0 if same_time == "first" else -1]))
            if kept:
                times, numbers, statuses = zip(*kept, strict=True)
                truth.points[point.name] = rows(times, numbers, statuses)
        return truth
