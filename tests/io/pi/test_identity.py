"""Which series a point is: over a change of its server, of its name and of its id, and where the server hides it for a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.pi.archive import Attributes
from omnia_beam.emulator.pi.events import events_of
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from tests.io.pi.altering import Query, gateway
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points

START, END = "2024-01-01", "2024-01-02"
WINDOW = {"start": START, "end": END}
Load = Callable[..., JobConfig]


def add(emulator: EmulatorThread, name: str, first: float = 0.0, count: int = 10) -> None:
    events = events_of([(parse_time(START) + at * 10**9, first + at) for at in range(count)])
    emulator.archive.add(Attributes(name), StoredHistory(events))


def truth(emulator: EmulatorThread) -> dict[str, Any]:
    return Truth.of(emulator.archive, parse_time(START), parse_time(END)).points


def test_the_points_of_one_data_server_are_not_taken_for_those_of_another(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    names = {"AAA": ("FLOW", "LEVEL"), "BBB": ("PRESSURE", "TEMPERATURE")}
    for turn in range(2):
        for server, points in names.items():
            with EmulatorThread(["pi", "--data-server", server]) as emulator:
                for at, name in enumerate(points):
                    add(emulator, name, 100.0 * at)
                sink = {"kind": "parquet", "path": str(tmp_path / f"{server}{turn}")}
                summary = run_backfill(load(emulator.url, window=WINDOW, sink=sink), context)
                assert summary.status == "complete"
                assert "renamed_series" not in summary.details.get("findings", {})
                assert differences(stored_points(tmp_path / f"{server}{turn}"), truth(emulator)) == {}


def test_a_renamed_point_is_known_again_after_another_data_server_was_read(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    def copied(emulator: EmulatorThread, name: str) -> set[str]:
        sink = {"kind": "parquet", "path": str(tmp_path / name)}
        assert run_backfill(load(emulator.url, window=WINDOW, sink=sink), context).status == "complete"
        return set(stored_points(tmp_path / name))

    with EmulatorThread(["pi", "--data-server", "AAA"]) as first, EmulatorThread(["pi"]) as other:
        add(first, "FLOW")
        add(other, "PRESSURE")
        assert copied(first, "before") == {"FLOW"}
        assert copied(other, "between") == {"PRESSURE"}
        point = first.archive.named("FLOW")
        assert point is not None
        first.archive.change(point, {"name": "FLOW-1"})
        assert copied(first, "after") == {"FLOW"}


@pytest.mark.parametrize("times", [1, 10**9], ids=["a moment", "for good"])
def test_a_recorded_point_that_a_batch_does_not_find_is_not_gone(
    times: int, load: Load, context: RunContext, tmp_path: Path
) -> None:
    left = [times]
    hidden: list[str] = []

    def hide(path: str, query: Query, content: Any) -> Any:
        if path == "batch" and left[0] and not any("summary" in str(each) for each in content.values()):
            left[0] -= 1
            hidden.append(path)
            return {key: {"Status": 404, "Headers": {}, "Content": {"Errors": ["not found"]}} for key in content}
        return content

    with EmulatorThread(["pi"]) as emulator, gateway(emulator.url, hide) as between:
        for name in ("PT1", "PT2", "PT3"):
            add(emulator, name)
        source = {"series": {"ids": ["PT1", "PT2", "PT3"]}}
        for _ in range(2):
            summary = run_backfill(load(between.url, source=source, window=WINDOW), context)
            assert (summary.status, summary.warnings) == ("complete", ())
        assert hidden
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_names_that_only_look_the_same_are_two_points(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        for name in ("PT 1", "PT  1", "PT_1", "pt1"):
            add(emulator, name)
        source = {"series": {"ids": ["PT 1", "PT  1", "pt 1", "PT_1", "PT1", "Pt1"]}}
        summary = run_backfill(load(emulator.url, source=source, window=WINDOW), context)
        assert (summary.status, summary.series) == ("complete", 4)
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_a_point_that_was_created_again_goes_on_as_its_series(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1")
        config = load(emulator.url, window={"start": START, "end": "2024-01-01T00:00:05Z"})
        assert run_backfill(config, context).points_written == 5
        point = emulator.archive.named("PT1")
        assert point is not None
        emulator.archive.remove(point)
        add(emulator, "PT1")
        summary = run_backfill(load(emulator.url, window=WINDOW), context)
        assert (summary.status, summary.points_written) == ("complete", 5)
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_two_names_that_are_exchanged_stay_with_their_points(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1", 0.0)
        add(emulator, "PT2", 500.0)
        half = load(emulator.url, window={"start": START, "end": "2024-01-01T00:00:05Z"})
        assert run_backfill(half, context).points_written == 10
        before = truth(emulator)
        one, two = emulator.archive.named("PT1"), emulator.archive.named("PT2")
        assert one is not None
        assert two is not None
        for point, name in ((one, "PT3"), (two, "PT1"), (one, "PT2")):
            emulator.archive.change(point, {"name": name})
        summary = run_backfill(load(emulator.url, window=WINDOW), context)
        assert (summary.status, summary.details["findings"]["renamed_series"]) == ("complete", 2)
        assert differences(stored_points(tmp_path / "out"), before) == {}


def test_states_of_digital_points_that_cannot_be_read_are_told_and_stop_nothing(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    fault = ["--fault", "path=enumerationsets rate=1 status=403"]
    with EmulatorThread(["pi", *fault]) as emulator:
        emulator.archive.add_set("pump", "", {0: "Off", 1: "On"})
        events = events_of([(parse_time(START) + at * 10**9, float(at % 2)) for at in range(10)])
        emulator.archive.add(Attributes("P1", point_type="Digital", digital_set="pump"), StoredHistory(events))
        summary = run_backfill(load(emulator.url, window=WINDOW), context)
        assert summary.status == "complete"
        assert any("names of the states of digital points are not known" in each for each in summary.warnings)
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_a_damaged_memory_is_told_and_nothing_else_is_lost(
    load: Load, context: RunContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1")
        config = load(emulator.url, window=WINDOW)
        assert run_backfill(config, context).status == "complete"
        [memory] = (tmp_path / "state").rglob("pi-points")
        memory.write_bytes(b"damaged")
        assert run_backfill(config, context).status == "complete"
        assert "points that were renamed since are not recognised" in caplog.text
        caplog.clear()
        assert run_backfill(config, context).status == "complete"
        assert "damaged" not in caplog.text


def test_two_points_of_one_name_are_refused(load: Load, context: RunContext) -> None:
    def double(path: str, query: Query, content: Any) -> Any:
        if path.endswith("/points") and "nameFilter" in query:
            for each in content["Items"]:
                each["Name"] = "PT1"
        return content

    with EmulatorThread(["pi"]) as emulator, gateway(emulator.url, double) as between:
        add(emulator, "PT1")
        add(emulator, "PT2")
        with pytest.raises(UsageError, match="are both the series PT1"):
            run_backfill(load(between.url, window=WINDOW), context)
