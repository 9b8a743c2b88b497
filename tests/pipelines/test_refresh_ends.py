"""A refresh over real ends: files, CSV and a service are exact, and read little more than the interval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.tail.test_pairs import NAMES, CsvFolder, Held, ParquetFolder, ServiceSink, ServiceSource, Sink

HOUR = 3_600 * 10**9
T0 = parse_time("2024-01-01")
HOURS = 40 * 24
DAY_POINTS = 24 * len(NAMES)


@pytest.fixture(params=["parquet", "csv", "omnia"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[EmulatorThread, ServiceSource, Sink]]:
    with ExitStack() as stack:
        empty = dict.fromkeys(NAMES, (np.array([], np.int64), np.array([])))
        emulator = stack.enter_context(EmulatorThread(series=empty))
        names = {each.id: each.metadata.name for each in emulator.store.listed()}
        sink: Sink
        if request.param == "omnia":
            sink = ServiceSink(stack.enter_context(EmulatorThread()))
        else:
            sink = {"csv": CsvFolder, "parquet": ParquetFolder}[request.param](tmp_path, names)
        yield emulator, ServiceSource(emulator, T0), sink


@pytest.mark.long
def test_late_changed_and_deleted_points_of_the_last_day(
    ends: tuple[EmulatorThread, ServiceSource, Sink], context: RunContext, tmp_path: Path
) -> None:
    _, source, sink = ends
    held: Held = {name: {T0 + i * HOUR: float(i) for i in range(HOURS)} for name in NAMES}
    source.hold(held)

    def run(days: int, refresh: str | None = "1d") -> int:
        job = {
            "name": "job",
            "source": source.options,
            "window": {"start": format_time(T0), "end": format_time(T0 + days * 24 * HOUR)},
            "sink": sink.options,
            "state": str(tmp_path / "state"),
            **({} if refresh is None else {"refresh": refresh}),
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        summary = run_migrate(load_config(str(path), now_ns=T0 + HOURS * HOUR), context)
        assert summary.status == "complete", summary
        end = T0 + days * 24 * HOUR
        assert sink.held() == {name: {at: v for at, v in each.items() if at < end} for name, each in held.items()}
        return summary.points_read

    run(38, refresh=None)
    change(held, T0 + 38 * 24 * HOUR)
    source.hold(held)
    whole = run(38)
    change(held, T0 + 38 * 24 * HOUR)
    source.hold(held)
    assert run(38) <= 2 * DAY_POINTS  # what loses points is read once more
    assert whole > 5 * DAY_POINTS
    change(held, T0 + 39 * 24 * HOUR)
    source.hold(held)
    assert run(39) <= 3 * DAY_POINTS + 10
    assert run(39) <= DAY_POINTS
    config = load_config(str(tmp_path / "job.yaml"), now_ns=T0 + HOURS * HOUR)
    assert run_verify(config, context, source=True).details["differences"] == 0


def change(held: Held, end: int) -> None:
    """A point of each series comes late, one changes, two are deleted: all on the last day before an instant.

    Two, since of a service only the number of points is known before they are written.
    """
    for nth, points in enumerate(held.values(), 1):
        last = [at for at in points if end - 24 * HOUR <= at < end]
        points[last[-nth] + nth * 1_000] = -0.5
        points[last[-nth]] += 0.25
        for gone in (5 + nth, 9 + nth):
            del points[last[gone]]
