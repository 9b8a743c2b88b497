"""Answers that contradict what the plan counted or the ledger recorded: never complete, and never at the cost of good points."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.pipelines.run import run_backfill
from tests.io.emulated import ids_of, steady_series
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.support.spoiler import RunReach, Said, Spoil, Spoiler
from tests.wire.timeseries_pb2 import CompactDatapointsDto

WEEK = TimeRange.parse("2024-01-01", "2024-01-08")
NAMES = ("daily", "dense", "hourly")


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(series=steady_series()) as emulator:
        yield emulator


@pytest.fixture
def gateway(emulator: EmulatorThread) -> Iterator[Spoiler]:
    with Spoiler(emulator.url) as gateway:
        yield gateway


def thinned(keep: Callable[[str, int], bool], *, totals: bool) -> Callable[[Said], Said]:
    """Cut points, or whole series, out of an answer; protobuf or JSON, with what is left counted or not at all."""

    def spoil(said: Said) -> Said:
        if "json" in said.content_type:
            response = json.loads(said.body)
            for item in response["data"]["items"]:
                item["datapoints"] = [p for n, p in enumerate(item["datapoints"]) if keep(item["id"], n)]
            response["data"]["items"] = [item for item in response["data"]["items"] if item["datapoints"]]
            return Said(json.dumps(response).encode())
        page, thin = CompactDatapointsDto.FromString(said.body), CompactDatapointsDto()
        thin.continuationToken = page.continuationToken
        for item in page.data:
            rows = [item.values[at : at + 3] for at in range(0, len(item.values), 3)]
            kept = [row for n, row in enumerate(rows) if keep(item.id, n)]
            if kept:
                copy = thin.data.add(id=item.id, fields=item.fields, totalCount=len(kept) if totals else 0)
                copy.values.extend(value for row in kept for value in row)
        return Said(thin.SerializeToString(), content_type=said.content_type)

    return spoil


def on_data(change: Callable[[Said], Said]) -> Spoil:
    return lambda asked: change(asked.response()) if asked.is_data else None


def steadily(kind: str, left_out: str) -> Spoil:
    if kind == "a series left out":
        return on_data(thinned(lambda series_id, _: series_id != left_out, totals=False))
    if kind == "fewer, without a total":
        return on_data(thinned(lambda series_id, n: series_id != left_out or n % 3 > 0, totals=False))
    if kind == "fewer, with a false total":
        return on_data(thinned(lambda series_id, n: series_id != left_out or n % 3 > 0, totals=True))
    if kind == "nothing":
        return lambda asked: Said(b"", content_type=asked.response().content_type) if asked.is_data else None
    return lambda asked: _another_week(asked) if asked.is_data else None


def _another_week(asked: RunReach) -> Said:
    """The answer to the same question of another time."""
    said = asked.response()
    if "json" in said.content_type:
        return Said(said.body.replace(b"2024-01-", b"2024-02-"))
    page = CompactDatapointsDto.FromString(said.body)
    for item in page.data:
        for at in range(0, len(item.values), 3):
            item.values[at].int64 += 30 * 86_400 * 10**9
    return Said(page.SerializeToString(), content_type=said.content_type)


KINDS = ["a series left out", "fewer, without a total", "fewer, with a false total", "nothing", "another week"]


@pytest.fixture
def run(
    load: Callable[..., Any], gateway: Spoiler, context: RunContext, tmp_path: Path
) -> Callable[..., tuple[str, dict[str, str]]]:
    """Runs the backfill of a week: its status, and what then differs from the source."""

    def run(emulator: EmulatorThread, format: str = "protobuf", **keys: Any) -> tuple[str, dict[str, str]]:
        source = {"format": format, "page_limit": 1_000, **keys.pop("source", {})}
        window = {"start": "2024-01-01", "end": "2024-01-08"}
        config = load(gateway.url, source=source, window=window, max_chunk_points=4_000, **keys)
        summary = run_backfill(config, context)
        true = emulated_points(emulator, WEEK.start_ns, WEEK.end_ns)
        return summary.status, differences(stored_points(tmp_path / "out"), true)

    return run


Run = Callable[..., tuple[str, dict[str, str]]]


@pytest.mark.parametrize("format", ["protobuf", pytest.param("json", marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [pytest.param("dense", marks=pytest.mark.long), "daily"])
def test_a_run_that_is_lied_to_is_not_complete_and_the_next_one_mends_it(
    run: Run, emulator: EmulatorThread, gateway: Spoiler, kind: str, format: str, name: str
) -> None:
    gateway.spoil = steadily(kind, ids_of(emulator)[name])
    status, _ = run(emulator, format)
    assert status == "incomplete"
    status, wrong = run(emulator, format)
    assert status == "incomplete"
    assert wrong
    gateway.spoil = None
    assert run(emulator, format) == ("complete", {})
    assert run(emulator, format) == ("complete", {})


@pytest.mark.parametrize("format", ["protobuf", pytest.param("json", marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["a series left out", "nothing", "another week", "fewer, without a total"])
def test_a_refresh_gives_nothing_good_away(
    run: Run, emulator: EmulatorThread, gateway: Spoiler, kind: str, format: str
) -> None:
    assert run(emulator, format) == ("complete", {})
    gateway.spoil = steadily(kind, ids_of(emulator)["hourly"])
    for _ in range(2):  # the second finds a window that was announced as to be replaced
        status, wrong = run(emulator, format, refresh="3d")
        assert (status, wrong) == ("incomplete", {})
    gateway.spoil = None
    assert run(emulator, format, refresh="3d") == ("complete", {})


def test_a_refresh_is_not_taken_in_by_silence_on_both_questions(
    run: Run, emulator: EmulatorThread, gateway: Spoiler
) -> None:
    assert run(emulator) == ("complete", {})
    gateway.spoil = lambda asked: Said(b"", content_type="application/protobuf") if "/data" in asked.path else None
    assert run(emulator, refresh="3d") == ("incomplete", {})


@pytest.mark.parametrize("format", ["protobuf", "json"])
def test_points_that_are_deleted_after_they_were_counted_are_no_contradiction(
    run: Run, emulator: EmulatorThread, gateway: Spoiler, format: str
) -> None:
    target = ids_of(emulator)["dense"]
    done: list[bool] = []

    def delete_once_counted(asked: RunReach) -> Said | None:
        if "/data" not in asked.path or done:
            return None
        done.append(True)
        counted = asked.response()
        with OmniaClient(emulator.url) as client:
            client.delete_data(target, "2024-01-02", "2024-01-05")
        return counted

    gateway.spoil = delete_once_counted
    assert run(emulator, format) == ("complete", {})
    assert done


def test_what_the_plan_counted_costs_no_request_where_it_comes(
    load: Callable[..., Any], gateway: Spoiler, context: RunContext
) -> None:
    asked: list[str] = []
    gateway.spoil = lambda each: asked.append(each.path) if "/data" in each.path else None
    summary = run_backfill(load(gateway.url, window={"start": "2024-01-01", "end": "2024-01-08"}), context)
    assert summary.status == "complete"
    assert len(asked) == 1 + 1  # the count, and all points in one request
