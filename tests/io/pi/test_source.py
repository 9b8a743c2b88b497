"""What a source of kind pi does beside moving points: names, limits, metadata, refusals, the steps of check, verify."""

from __future__ import annotations

import csv
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import SelectionError, UsageError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.pi.archive import Attributes
from omnia_beam.emulator.pi.events import State, events_of
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.check import run_check
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points

Load = Callable[..., JobConfig]
T0 = parse_time("2024-01-01")
WINDOW = {"start": "2024-01-01", "end": "2024-01-02"}
BASIC = {"kind": "basic", "username_env": "PI_USER", "password_env": "PI_PASSWORD"}


def add(emulator: EmulatorThread, name: str, events: list[tuple[Any, ...]], **attributes: Any) -> None:
    emulator.archive.add(Attributes(name, **attributes), StoredHistory(events_of(events)))


def line(count: int = 10) -> list[tuple[int, float]]:
    return [(T0 + at * 1_000_000_000, at / 2) for at in range(count)]


def truth(emulator: EmulatorThread, window: dict[str, str] = WINDOW, **how: Any) -> dict[str, Any]:
    return Truth.of(emulator.archive, parse_time(window["start"]), parse_time(window["end"]), **how).points


def test_names_are_found_in_any_case_with_blanks_and_from_files(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(["pi"]) as emulator:
        for name in ("Pump 1 speed", "27PT-0001", "æøå+&#%", "UNWANTED"):
            add(emulator, name, line())
        (tmp_path / "tags.csv").write_text("source,unit\nÆØÅ+&#%,bar\n", encoding="utf-8")
        series = {"ids": ["pump 1 SPEED"], "ids_file": str(tmp_path / "tags.csv"), "search": {"name": "27*"}}
        assert run_backfill(load(emulator.url, source={"series": series}, window=WINDOW), context).status == "complete"
        expected = truth(emulator)
        del expected["UNWANTED"]
        assert differences(stored_points(tmp_path / "out"), expected) == {}


def test_a_search_is_paged_to_its_end_and_looks_at_descriptions(load: Load, context: RunContext) -> None:
    with EmulatorThread(["pi", "--max-items", "7"]) as emulator:
        for at in range(40):
            add(emulator, f"PT{at:02}", line(2), descriptor="Pressure [bar]" if at % 2 else "other")
        search = [{"name": "PT*", "description": "*[BAR]"}]
        config = load(emulator.url, source={"series": {"search": search}}, window=WINDOW)
        assert run_backfill(config, context).series == 20


def test_a_name_that_does_not_exist_is_named(load: Load, context: RunContext) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1", line())
        for ids, told in ((["PT1", "PT2"], "EMU has no point PT2"), (["A", "B"], "has no 2 points: A, B")):
            with pytest.raises(SelectionError, match=told):
                run_backfill(load(emulator.url, source={"series": {"ids": ids}}, window=WINDOW), context)
        with pytest.raises(SelectionError, match="NOPE is not among the data servers of the PI Web API: EMU"):
            run_backfill(load(emulator.url, source={"data_server": "NOPE"}, window=WINDOW), context)


@pytest.mark.parametrize("ids", [["PT1"], ["PT9"]])
def test_a_renamed_point_stays_one_series(ids: list[str], load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1", line())
        half = {"start": "2024-01-01", "end": "2024-01-01T00:00:05Z"}
        assert (
            run_backfill(load(emulator.url, source={"series": {"ids": ["PT1"]}}, window=half), context).points_written
            == 5
        )
        point = emulator.archive.named("PT1")
        assert point is not None
        emulator.archive.change(point, {"name": "PT9"})
        config = load(emulator.url, source={"series": {"ids": ids}}, window=WINDOW)
        summary = run_backfill(config, context)
        assert (summary.status, summary.points_written) == ("complete", 5)
        assert summary.details["findings"]["renamed_series"] == 1
        assert {name: len(rows) for name, rows in stored_points(tmp_path / "out").items()} == {"PT1": 10}
        add(emulator, "PT1", line(3))
        with pytest.raises(UsageError, match="are both the series PT1"):
            run_backfill(load(emulator.url, source={"series": {"ids": ["PT1"]}}, window=WINDOW), context)


def test_a_point_that_is_gone_keeps_what_is_stored(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1", line())
        add(emulator, "PT2", line())
        config = load(emulator.url, source={"series": {"ids": ["PT1", "PT2"]}}, window=WINDOW)
        assert run_backfill(config, context).status == "complete"
        before = stored_points(tmp_path / "out")
        point = emulator.archive.named("PT1")
        assert point is not None
        emulator.archive.remove(point)
        first = run_backfill(config, context)
        assert (first.status, first.points_kept) == ("incomplete", 10)
        second = run_backfill(config, context)
        assert (second.status, second.points_kept) == ("complete", 10)
        assert any("no longer has 1 point" in each for each in second.warnings)
        assert differences(stored_points(tmp_path / "out"), before) == {}


def test_both_ends_are_cut_half_open(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi", "--rounding", "none"]) as emulator:
        add(emulator, "PT1", [(T0 + at * 100, float(at)) for at in range(100)])
        window = {"start": "2024-01-01T00:00:00.000001001Z", "end": "2024-01-01T00:00:00.000004Z"}
        assert run_backfill(load(emulator.url, window=window), context).points_written == 29
        found = stored_points(tmp_path / "out")["PT1"]["time"] - T0
        assert (found.min(), found.max()) == (1_100, 3_900)


def test_the_page_limit_is_found(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi", "--synthetic", "dense:series=3,days=2,step=10s", "--max-items", "999"]) as emulator:
        config = load(emulator.url, window=WINDOW)
        steps: list[str] = []
        run_check(config, context, lambda step: steps.append(f"{step.name}: {step.found}"))
        assert "up to 999 values at once" in steps[-3] + steps[-2] + steps[-1]
        assert run_backfill(config, context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


@pytest.mark.parametrize(("in_flight", "requests"), [(1, 2), (8, 6)])
def test_the_more_responses_are_under_way_the_fewer_values_each_has(
    in_flight: int, requests: int, load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(["pi", "--synthetic", "dense:series=3,days=1,step=1s"]) as emulator:
        rate = {"requests_per_second": None, "max_in_flight": in_flight}
        summary = run_backfill(load(emulator.url, source={"rate": rate}, window=WINDOW), context)
        assert (summary.status, summary.points_written) == ("complete", 3 * 86_400)
        assert sum(emulator.stats()["requests"]["GET /streamsets/recorded"].values()) == requests


@pytest.mark.parametrize("counts", [True, False])
def test_without_counts_the_density_is_learned(counts: bool, load: Load, context: RunContext, tmp_path: Path) -> None:
    arguments = ["pi", "--synthetic", "mixed:series=10,days=2,step=10s", "--max-items", "2000"]
    faults = [] if counts else ["--fault", "path=/summary rate=1 status=501"]
    with EmulatorThread([*arguments, *faults]) as emulator:
        config = load(emulator.url, source={"counts": counts}, window=WINDOW)
        assert run_backfill(config, context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_a_server_without_batches_is_asked_one_by_one(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi", "--fault", "path=/batch rate=1 status=403"]) as emulator:
        for at in range(5):
            add(emulator, f"PT{at}", line())
        config = load(emulator.url, source={"series": {"ids": [f"pt{at}" for at in range(5)]}}, window=WINDOW)
        assert run_backfill(config, context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_csrf_and_basic_credentials(
    load: Load, context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_USER", "reader")
    monkeypatch.setenv("PI_PASSWORD", "a-secret-of-some-length")
    with EmulatorThread(["pi", "--auth", "basic", "--csrf"]) as emulator:
        for name in ("PT1", "PT2"):
            add(emulator, name, line())
        credential = {"kind": "basic", "username_env": "PI_USER", "password_env": "PI_PASSWORD"}
        config = load(emulator.url, source={"credential": credential}, window=WINDOW)
        assert run_backfill(config, context).status == "complete"
        assert emulator.stats()["requests"]
        assert "a-secret-of-some-length" not in repr(config)


def test_a_status_map_for_pi_codes_is_refused(load: Load) -> None:
    with pytest.raises(UsageError, match="gives Omnia's statuses already"):
        load("http://127.0.0.1:1/piwebapi", mapping={"by": "same_id", "status_map": "pi"})


def test_a_status_map_in_a_mapping_file_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("source,target_id,status_map\nPT1,x,pi\n", encoding="utf-8")
    config = load("http://127.0.0.1:1/piwebapi", mapping={"file": str(tmp_path / "map.csv")})
    with pytest.raises(UsageError, match="row of PT1: status_map pi does not fit"):
        Job.of(config)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"base_url": "http://pi.example.com/piwebapi", "credential": BASIC}, "use https"),
        ({"credential": {"kind": "managed_identity"}}, "OAuth resource"),
        ({"series": {"ids": ["PT*"]}}, "is a pattern"),
        ({"states": {"Bad": 0, "bad ": 8}}, "are one state"),
        ({"series": {}}, "selects nothing"),
    ],
)
def test_mistakes_in_the_configuration_are_named(source: dict[str, Any], told: str, load: Load) -> None:
    with pytest.raises(UsageError, match=told):
        load("https://pi.example.com/piwebapi", source=source)


def test_metadata_names_types_units_and_states(load: Load) -> None:
    with EmulatorThread(["pi"]) as emulator:
        emulator.archive.add_set("pump", "", {0: "Off", 1: "On"})
        add(emulator, "P1", [(T0, 1.0)], point_type="Digital", digital_set="Pump", descriptor="A pump")
        add(emulator, "T1", line(), units="bar", step=True)
        [pump, other] = Job.of(load(emulator.url)).source.describe()
        assert (pump.description, other.unit, other.step) == ("A pump", "bar", True)
        assert (pump.value_type, pump.states, other.value_type) == ("digital", {0: "Off", 1: "On"}, "float32")


def test_states_and_units_stand_beside_the_points(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        emulator.archive.add_set("pump", "", {0: "Off", 1: "På"})
        add(emulator, "P1", [(T0, 1.0)], point_type="Digital", digital_set="PUMP", descriptor="A pump; two states")
        add(emulator, "T1", line(), units="bar", step=True)
        assert run_backfill(load(emulator.url, window=WINDOW), context).status == "complete"
        with (tmp_path / "out" / "_series-job.csv").open(encoding="utf-8", newline="") as file:
            pump, other = csv.DictReader(file)
        assert json.loads(pump["states"]) == {"0": "Off", "1": "På"}
        assert (pump["series_id"], pump["description"], pump["value_type"]) == ("P1", "A pump; two states", "digital")
        assert (other["unit"], other["step"], other["value_type"], other["states"]) == ("bar", "true", "float32", "")


def test_texts_stop_the_run_unless_they_are_accepted(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(
            emulator,
            "S1",
            [(T0, "open"), (T0 + 10**9, State("Bad Input")), (T0 + 2 * 10**9, "closed")],
            point_type="String",
        )
        with pytest.raises(UsageError, match="text_values: S1"):
            run_backfill(load(emulator.url, window=WINDOW), context)
        summary = run_backfill(load(emulator.url, window=WINDOW, accept=["text_values"]), context)
        assert summary.details["found"]["text_values"] == {"S1": 2}
        assert [int(each) for each in stored_points(tmp_path / "out")["S1"]["status"]] == [192, 0, 192]


def test_texts_and_names_of_states_are_kept_where_the_sink_keeps_texts(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(["pi"]) as emulator:
        events = [(T0, "open"), (T0 + 10**9, State("Bad Input")), (T0 + 2 * 10**9, "")]
        add(emulator, "S1", events, point_type="String")
        add(emulator, "F1", [(T0, 1.5), (T0 + 10**9, State("Shutdown"))])
        sink = {"kind": "parquet", "path": str(tmp_path / "out"), "text": True}
        assert run_backfill(load(emulator.url, window=WINDOW, sink=sink), context).status == "complete"
        table = pa.concat_tables([pq.ParquetFile(each).read() for each in (tmp_path / "out").rglob("*.parquet")])
        assert table.sort_by([("series_id", "ascending"), ("time", "ascending")])["text"].to_pylist() == [
            None,
            "Shutdown",
            "open",
            "Bad Input",
            "",
        ]


def test_more_values_at_one_time_than_accepted_stop_the_run(load: Load, context: RunContext) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1", [(T0, float(at)) for at in range(20)])
        accept = [{"same_time": {"series": ["PT*"], "at_most": 10}}]
        summary = run_backfill(load(emulator.url, window=WINDOW, accept=accept), context)
        assert summary.status == "incomplete"
        assert "at most 10 points accepted, 19 found" in summary.details["stopped"]


def test_verify_reads_the_source_again(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi", "--synthetic", "mixed:series=6,days=2,step=60s"]) as emulator:
        config = load(emulator.url, window=WINDOW)
        assert run_backfill(config, context).status == "complete"
        assert run_verify(config, context).status == "complete"
        assert run_verify(config, context, source=True).status == "complete"
        [first, *_] = sorted((tmp_path / "out").rglob("*.parquet"))
        first.unlink()
        assert run_verify(config, context, source=True, repair=True).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_refresh_follows_late_values(load: Load, context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(["pi"]) as emulator:
        add(emulator, "PT1", line())
        config = load(emulator.url, window=WINDOW, refresh="1d")
        assert run_backfill(config, context).status == "complete"
        point = emulator.archive.named("PT1")
        assert point is not None
        point.stored().write(events_of([(T0 + 5 * 10**8, 77.0)]), "Insert")
        assert run_backfill(config, context).status == "complete"
        assert differences(stored_points(tmp_path / "out"), truth(emulator)) == {}


def test_a_window_that_is_read_again_asks_for_its_quiet_series_once(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(["pi", "--max-items", "1000"]) as emulator:
        add(emulator, "BUSY", [(T0 + at * 8_000_000_000, at / 2) for at in range(10_000)])
        for at in range(20):
            add(emulator, f"QUIET{at}", line(1))
        config = load(emulator.url, window=WINDOW, refresh="100000d")
        assert run_backfill(config, context).status == "complete"
        for at in range(10):
            point = emulator.archive.named(f"QUIET{at}")
            assert point is not None
            point.history = StoredHistory(events_of([]))
        before = sum(emulator.stats()["requests"]["GET /streams/{webId}/recorded"].values())
        summary = run_backfill(config, context)
        asked = sum(emulator.stats()["requests"]["GET /streams/{webId}/recorded"].values()) - before
        assert (summary.status, summary.points_kept) == ("incomplete", 10)
        assert asked <= before + 15
        assert {len(rows) for name, rows in stored_points(tmp_path / "out").items() if name != "BUSY"} == {1}


@pytest.mark.parametrize("kinds", [["Float32", "Float64", "Int32"], ["Digital"], ["String"]])
def test_plain_requests_and_the_product_agree_across_pages(
    kinds: list[str], load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(["pi", "--max-items", "50"]) as emulator:
        emulator.archive.add_set("states", "", {0: "Off", 1: "On", 2: "Fault"})
        for kind in kinds:
            values: list[Any] = [
                float(at % 3) if kind == "Digital" else at if kind == "Int32" else at / 3 for at in range(331)
            ]
            values = [f"text {at}" for at in range(331)] if kind == "String" else values
            values[7::40] = [State("Shutdown") for _ in values[7::40]]
            events = [(T0 + at * 250_000_000, value) for at, value in enumerate(values)]
            add(emulator, kind, events, point_type=kind, digital_set="states" if kind == "Digital" else "")
        window = {"start": "2024-01-01T00:00:01Z", "end": "2024-01-01T00:01:10Z"}
        assert run_backfill(load(emulator.url, window=window, accept=["text_values"]), context).status == "complete"
        stored = stored_points(tmp_path / "out")
        for kind in kinds:
            plain = pages_of(emulator, kind, window)
            found = stored[kind]
            assert [each["Timestamp"] for each in plain] == [shown(at) for at in found["time"].tolist()]
            for item, value, status in zip(
                plain, found["bits"].view("float64").tolist(), found["status"].tolist(), strict=True
            ):
                if isinstance(item["Value"], dict) and item["Value"]["IsSystem"]:
                    assert (value != value, status) == (True, 0)
                elif isinstance(item["Value"], str):
                    assert (value != value, status) == (True, 192)
                else:
                    number = item["Value"]["Value"] if isinstance(item["Value"], dict) else item["Value"]
                    assert (value == pytest.approx(number, rel=1e-7), status) == (True, 192)


def pages_of(emulator: EmulatorThread, name: str, window: dict[str, str]) -> list[dict[str, Any]]:
    """All values of a half-open range, by plain requests that go on at the last time of a full page."""

    def get(resource: str, **params: str) -> Any:
        with urllib.request.urlopen(f"{emulator.url}/{resource}?{urlencode(params)}") as response:
            return json.load(response)

    web_id = get("points", path=f"\\\\EMU\\{name}")["WebId"]
    found: list[dict[str, Any]] = []
    start = window["start"]
    while True:
        items = get(f"streams/{web_id}/recorded", startTime=start, endTime=window["end"], maxCount="50")["Items"]
        if len(items) < 50:
            return [each for each in [*found, *items] if each["Timestamp"] != window["end"]]
        start = items[-1]["Timestamp"]
        found += [each for each in items if each["Timestamp"] != start]


def shown(time_ns: int) -> str:
    from omnia_beam.core.timestamps import format_time

    text = format_time(time_ns, 7)
    return text[:-1].rstrip("0").rstrip(".") + "Z"
