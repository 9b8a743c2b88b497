"""The recipe of docs/tail.md for event messages, as it is printed there: the same sinks, whatever comes twice or broken."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from omnia_beam.beam.execution import run_here
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.transforms.decode_events import DecodeEvents
from tests.pipelines.conftest import emulated_points, rows, stored_points

PAGE = Path(__file__).parents[2] / "docs" / "tail.md"
NAMES = ("first", "second")
START = parse_time("2024-01-31T23:59:58Z")
SECOND = 10**9


def recipe() -> dict[str, Any]:
    """What the page's program defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def message(points: dict[str, list[tuple[int, float, int]]]) -> bytes:
    items = [
        {"id": series_id, "datapoints": [{"time": format_time(t), "value": v, "status": s} for t, v, s in found]}
        for series_id, found in points.items()
    ]
    return json.dumps({"schema": "equinor/plant/schemas/ingest/datapoints_v2", "data": {"items": items}}).encode()


def test_the_recipe_feeds_both_sinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with EmulatorThread(series={name: ([], []) for name in NAMES}) as emulator:
        a, b = (series.id for series in emulator.store.listed())
        over_new_year = message({a: [(START + n * SECOND, n / 3, 192) for n in range(5)], b: [(START, -0.0, 0)]})
        same_time = message({a: [(START + 9 * SECOND, 1.5, 192)]})
        other_value = message({b: [(START + 9 * SECOND, 2.5, 64)]})
        service = ServiceSettings(base_url=emulator.url)
        messages = [over_new_year, same_time, other_value, over_new_year, b"{}", same_time]

        def build(pipeline: Any) -> None:
            bad = recipe()["copy_events"](pipeline | beam.Create(messages), service)
            assert_that(bad | beam.Reshuffle() | beam.Map(lambda each: each.message), equal_to([b"{}"]))

        run_here(build, pipeline_options(None, []), RunBoard())
        expected = {
            a: rows(
                [*(START + n * SECOND for n in range(5)), START + 9 * SECOND], [*(n / 3 for n in range(5)), 1.5], 192
            ),
            b: rows([START, START + 9 * SECOND], [-0.0, 2.5], [0, 64]),
        }
        for found in (stored_points(tmp_path / "events"), emulated_points(emulator, START, START + 60 * SECOND)):
            assert found.keys() == expected.keys()
            assert all((found[each] == expected[each]).all() for each in expected)
    assert {each.parent.name for each in (tmp_path / "events").rglob("*.parquet")} == {"month=01", "month=02"}
    assert len(list((tmp_path / "events").rglob("*.parquet"))) == 4


def test_messages_of_the_same_series_and_time_have_files_of_their_own(tmp_path: Path) -> None:
    from omnia_beam import WriteToParquet

    messages = [message({"a": [(START, value, 192)]}) for value in (1.0, 2.0, 1.0)]

    def build(pipeline: Any) -> None:
        _ = pipeline | beam.Create(messages) | DecodeEvents() | WriteToParquet(str(tmp_path), unclaimed="by_content")

    run_here(build, pipeline_options(None, []), RunBoard())
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    with pytest.raises(ValueError, match="unclaimed is refuse or by_content"):
        WriteToParquet(str(tmp_path), unclaimed="keep")
