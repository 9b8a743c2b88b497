"""The contract of a source: what is asked for arrives, all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.check import run_check
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.series_list import run_series
from tests.io.contract.place import DAY, Place, cases_at, special_points
from tests.pipelines.conftest import Rows, differences, rows

pytestmark = pytest.mark.parametrize("kind", cases_at("source"))


def named(place: Place, found: Mapping[str, Rows]) -> dict[str, Rows]:
    names = place.ids()
    return {names.get(series_id, series_id): points for series_id, points in found.items()}


def test_special_points_and_both_ends_of_a_range_arrive_to_the_last_bit(
    kind: str, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext
) -> None:
    source, sink = make(kind), make("parquet")
    points = {name: source.holds(each) for name, each in special_points(source.grid_ns).items()}
    source.put(points)
    start, end = int(points["A"]["time"][2]), int(points["A"]["time"][-1])  # the first inside, the last outside
    inside = {name: each[(each["time"] >= start) & (each["time"] < end)] for name, each in points.items()}
    window = {"start": format_time(start), "end": format_time(end)}
    # A chunk of three points cuts windows in the middle, and a page is full several times.
    summary = run_migrate(job(source, sink, window=window, max_chunk_points=3), context)
    assert summary.status == "complete"
    assert differences(named(source, sink.held()), {name: each for name, each in inside.items() if len(each)}) == {}
    assert summary.points_read == summary.points_written == sum(map(len, inside.values()))
    again = run_migrate(job(source, sink, window=window, max_chunk_points=3), context)
    assert (again.status, again.points_read, again.windows_done) == ("complete", 0, 0)


def test_a_range_without_points_is_covered(
    kind: str, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext
) -> None:
    source, sink = make(kind), make("parquet")
    source.put({"A": rows([0, DAY], [1.0, 2.0], [192, 192])})
    window = {"start": format_time(100), "end": format_time(DAY)}
    summary = run_migrate(job(source, sink, window=window), context)
    assert (summary.status, summary.points_read) == ("complete", 0)
    assert summary.windows_done == summary.windows_planned > 0
    assert sink.held() == {}


def test_of_points_at_one_time_one_arrives(
    kind: str, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext
) -> None:
    source, sink = make(kind), make("parquet")
    source.put({"A": rows([0, 100, 100, 200], [1.0, 2.0, 2.5, 3.0], [192, 64, 64, 0])})
    held = source.held()["A"]  # a service may keep one of them only
    summary = run_migrate(job(source, sink), context)
    (found,) = sink.held().values()
    assert found["time"].tolist() == [0, 100, 200]
    assert summary.status == "complete"
    assert summary.duplicates == len(held) - 3
    assert np.isin(found, held).all()


def test_check_and_series_look_at_it(
    kind: str, make: Callable[..., Place], job: Callable[..., JobConfig], context: RunContext
) -> None:
    source, sink = make(kind), make("parquet")
    source.put({"A": rows([0], [1.0], [192]), "B": rows([0], [1.0], [192])})
    before = sorted(path for path in source.folder.parent.parent.rglob("*"))
    config = job(source, sink)
    checked = run_check(config, context, lambda step: None)
    assert checked.error is None
    steps = [step["name"] for step in checked.summary.details["steps"]]
    assert steps[0] == "configuration"
    assert steps[-2:] == ["destination", "state"]
    assert run_series(config, context, "table").summary.series == 2
    after = sorted(path for path in source.folder.parent.parent.rglob("*") if path.name != "job.yaml")
    assert after == before, "check writes nothing"
