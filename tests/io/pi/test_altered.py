"""Responses that are partial, doubled or of another form: what arrives is exact, or its window is named."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import IncompleteReadError, NotTheServiceError
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.pi.archive import Attributes
from omnia_beam.emulator.pi.events import events_of
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_backfill
from tests.io.pi.altering import Alter, Gateway, Query, gateway
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import differences, stored_points

START, END = "2024-01-01", "2024-01-02"
WINDOW = {"start": START, "end": END}
PLANT = ["pi", "--synthetic", "dense:series=6,days=3,step=60s", "--max-items", "5000"]
Load = Callable[..., JobConfig]


def copied(
    alter: Alter, load: Load, context: RunContext, out: Path, plant: list[str] = PLANT, **source: Any
) -> tuple[Summary, dict[str, str], Gateway]:
    """Copy a plant behind a gateway; return the summary, and the differences between its archive and the copy."""
    with EmulatorThread(plant) as emulator, gateway(emulator.url, alter) as between:
        summary = run_backfill(load(between.url, source=source, window=WINDOW), context)
        truth = Truth.of(emulator.archive, parse_time(START), parse_time(END)).points
        return summary, differences(stored_points(out / "out"), truth), between


def recorded(change: Callable[[list[dict[str, Any]]], None], *, streams: bool = True) -> Alter:
    """Changes the list of streams of a response with several, or the list of values of each stream."""

    def alter(path: str, query: Query, content: Any) -> Any:
        if path.endswith("/recorded"):
            if streams and path.startswith("streamsets"):
                change(content["Items"])
            elif not streams:
                for each in content["Items"] if path.startswith("streamsets") else [content]:
                    change(each["Items"])
        return content

    return alter


def rename(streams: list[dict[str, Any]]) -> None:
    for each in streams:
        each["WebId"] = each["WebId"].lower()


def fail(stream: dict[str, Any]) -> None:
    stream["WebException"] = {"Errors": ["The archive stopped."], "StatusCode": 500}
    del stream["Items"][len(stream["Items"]) // 2 :]


def other_values(streams: list[dict[str, Any]]) -> None:
    streams.append({**copy.deepcopy(streams[0]), "WebId": "F1DPother", "Name": "other"})


STREAMS = {
    "the first stream is left out": lambda streams: streams.pop(0),
    "all streams are left out": lambda streams: streams.clear(),
    "a stream comes twice": lambda streams: streams.append(copy.deepcopy(streams[0])),
    "a stream comes twice, the second time empty": lambda streams: streams.append({**streams[0], "Items": []}),
    "a stream that was not asked for": other_values,
    "a stream without values": lambda streams: streams[1].pop("Items"),
    "a stream whose values are null": lambda streams: streams[1].update(Items=None),
    "a stream that broke off": lambda streams: fail(streams[0]),
    "a stream with an error": lambda streams: streams[2].update(Errors=["The point cannot be read."], Items=[]),
    "names in another case": rename,
    "streams in another order": lambda streams: random.Random(1).shuffle(streams),
    "a stream without its WebId": lambda streams: streams[0].pop("WebId"),
}


@pytest.mark.parametrize("what", STREAMS)
def test_a_response_of_several_streams_is_not_trusted(
    what: str, load: Load, context: RunContext, tmp_path: Path
) -> None:
    summary, wrong, _ = copied(recorded(STREAMS[what]), load, context, tmp_path)
    assert (summary.status, wrong) == ("complete", {})


def null_errors(values: list[dict[str, Any]]) -> None:
    for each in values:
        each |= {"Errors": None, "WebException": None}


def swap(values: list[dict[str, Any]]) -> None:
    if len(values) > 3:
        values[1], values[2] = values[2], values[1]


def with_value(**members: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Changes members of the third value; None of a member removes it."""

    def change(values: list[dict[str, Any]]) -> None:
        if len(values) > 3:
            for name, value in members.items():
                values[2].pop(name) if value is ... else values[2].update({name: value})

    return change


FORMS = {"errors that are null": null_errors, "a value that is true": with_value(Annotated=True)}
WRONG = {
    "two values in the wrong order": swap,
    "a value without a time": with_value(Timestamp=...),
    "a time that is none": with_value(Timestamp="yesterday"),
    "a time of the next day": with_value(Timestamp="2024-01-03T00:00:00Z"),
    "a value without Good": with_value(Good=...),
    "a value without Value": with_value(Value=...),
    "a good value that is null": with_value(Value=None),
    "a list of values": with_value(Value=[1.0, 2.0]),
    "an object that is no state": with_value(Value={"Latitude": 1}),
    "a state whose code is a text": with_value(Value={"Name": "Bad", "Value": "x", "IsSystem": True}),
    "errors in place of a value": with_value(Good=False, Value={"Errors": ["Failed."]}),
    "errors beside a value": with_value(Good=False, Value=None, Errors=[{"FieldName": "Value", "Message": ["x"]}]),
    "a value that is null": lambda values: values.__setitem__(slice(0, 1), [None] if values else []),
}


@pytest.mark.parametrize("what", FORMS)
def test_a_form_that_says_the_same_is_read(what: str, load: Load, context: RunContext, tmp_path: Path) -> None:
    summary, wrong, _ = copied(recorded(FORMS[what], streams=False), load, context, tmp_path)
    assert (summary.status, wrong) == ("complete", {})


@pytest.mark.parametrize("what", WRONG)
def test_a_value_that_says_something_else_fails_its_window(
    what: str, load: Load, context: RunContext, tmp_path: Path
) -> None:
    summary, wrong, _ = copied(recorded(WRONG[what], streams=False), load, context, tmp_path)
    named = {series for each in summary.details["failures"] for series in each["series"]}
    assert summary.status == "incomplete"
    assert set(wrong) == named
    assert set(wrong.values()) == {"missing"}


def at_most(limit: int) -> Alter:
    """Cuts every response off after so many values of a stream, whatever was asked for, without a word."""

    def alter(path: str, query: Query, content: Any) -> Any:
        if path.endswith("/recorded"):
            for each in content["Items"] if path.startswith("streamsets") else [content]:
                del each["Items"][limit:]
        return content

    return alter


@pytest.mark.long
def test_a_limit_that_the_server_does_not_tell_is_found_by_its_counts(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    summary, wrong, between = copied(at_most(200), load, context, tmp_path)
    assert (summary.status, wrong) == ("complete", {})
    assert len(between.requests) < 200


def nothing(path: str, query: Query, content: Any) -> Any:
    for each in content["Items"] if path.startswith("streamsets") else [content]:
        each["Items"] = []
    return content


def test_values_that_the_plan_saw_and_that_do_not_come_fail_their_windows_without_counts_too(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    looked: list[str] = []

    def later(path: str, query: Query, content: Any) -> Any:
        if not path.endswith("/recorded") or query["startTime"] == query["endTime"]:
            return content
        looked.append(path)
        return content if len(looked) == 1 else nothing(path, query, content)

    summary, wrong, _ = copied(later, load, context, tmp_path, counts=False)
    assert (summary.status, len(wrong)) == ("incomplete", 6)
    assert "sent 1,000 values or more when the window was planned, and sends 0 now" in json.dumps(summary.details)


def test_an_empty_response_is_asked_for_again_without_counts_too(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    left = [0, 0]  # the first look, and the reading

    def twice(path: str, query: Query, content: Any) -> Any:
        return nothing(path, query, content) if path.startswith("streamsets") and left and not left.pop() else content

    summary, wrong, _ = copied(twice, load, context, tmp_path, counts=False)
    assert not left
    assert (summary.status, wrong) == ("complete", {})


def test_points_that_the_server_does_not_count_are_told(
    load: Load, context: RunContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str, query: Query, content: Any) -> Any:
        if path == "batch":
            return {key: {**each, "Status": 501} for key, each in content.items()}
        return content

    summary, wrong, _ = copied(refuse, load, context, tmp_path)
    assert (summary.status, wrong) == ("complete", {})
    assert "the data server does not count the values of 6 points (dense-" in caplog.text


def test_a_point_that_is_deleted_while_it_is_read_is_named_and_the_others_arrive(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(PLANT) as emulator:
        gone = emulator.archive.ordered()[2]

        def delete(path: str, query: Query, content: Any) -> Any:
            if path == "batch" and "Count" in json.dumps(content) and emulator.archive.named(gone.name) is not None:
                emulator.archive.remove(gone)  # as soon as it has been counted
            return content

        with gateway(emulator.url, delete) as between:
            summary = run_backfill(load(between.url, window=WINDOW), context)
        truth = Truth.of(emulator.archive, parse_time(START), parse_time(END)).points
        assert len(truth) == 5
        assert differences(stored_points(tmp_path / "out"), truth) == {}
        assert summary.status == "incomplete"
        assert {name for each in summary.details["failures"] for name in each["series"]} == {gone.name}


def test_a_point_that_is_renamed_while_it_is_read_arrives_under_its_former_name(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(PLANT) as emulator:
        truth = Truth.of(emulator.archive, parse_time(START), parse_time(END)).points
        renamed = emulator.archive.ordered()[2]

        def rename(path: str, query: Query, content: Any) -> Any:
            if path == "batch" and renamed.name != "OTHER":
                emulator.archive.change(renamed, {"name": "OTHER"})
            return content

        with gateway(emulator.url, rename) as between:
            assert run_backfill(load(between.url, window=WINDOW), context).status == "complete"
        assert renamed.name == "OTHER"
        assert differences(stored_points(tmp_path / "out"), truth) == {}


def plant_of(emulator: EmulatorThread, count: int) -> None:
    for at in range(count):
        events = events_of([(parse_time(START) + each * 10**9, float(at)) for each in range(3)])
        emulator.archive.add(Attributes(f"PT{at:03}"), StoredHistory(events))


def found_series(alter: Alter, load: Load, count: int = 25, **series: Any) -> list[str]:
    with EmulatorThread(["pi", "--max-items", "10"]) as emulator:
        plant_of(emulator, count)
        with gateway(emulator.url, alter) as between:
            config = load(between.url, source={"series": series or {"search": {"name": "PT*"}}}, window=WINDOW)
            return [each.id for each in Job.of(config).source.describe()]


def listed(change: Callable[[int, list[Any]], None]) -> Alter:
    def alter(path: str, query: Query, content: Any) -> Any:
        if path.endswith("/points") and "nameFilter" in query:
            change(int(query["startIndex"][0]), content["Items"])
        return content

    return alter


@pytest.mark.parametrize(
    "change",
    [
        lambda start, items: items.clear() if start else None,
        lambda start, items: items.pop(0) if start else None,
        lambda start, items: items.reverse() if start else None,
        lambda start, items: items.append(items[0]),
    ],
    ids=["a page is empty", "the list moved", "another order", "a point twice"],
)
def test_a_list_of_points_whose_pages_do_not_fit_together_is_not_taken_for_whole(
    change: Callable[[int, list[Any]], None], load: Load
) -> None:
    with pytest.raises(IncompleteReadError, match=r"the list of points like PT\* changed while it was read"):
        found_series(listed(change), load)


def test_pages_that_are_shorter_than_asked_for_are_not_the_end(load: Load) -> None:
    def change(start: int, items: list[Any]) -> None:
        del items[4:]

    assert found_series(listed(change), load) == [f"PT{at:03}" for at in range(25)]


def test_a_name_that_a_batch_does_not_find_is_asked_for_alone(load: Load) -> None:
    def alter(path: str, query: Query, content: Any) -> Any:
        if path == "batch":
            return {key: {"Status": 404, "Headers": {}, "Content": {"Errors": ["x"]}} for key in content}
        return content

    assert found_series(alter, load, ids=["PT001", "pt002", "PT003"]) == ["PT001", "PT002", "PT003"]


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.popitem(),
        lambda found: next(iter(found.values())).update(Content="The server is too busy."),
        lambda found: next(iter(found.values())).update(Content={"Errors": ["x"]}),
        lambda found: next(iter(found.values())).update(Content={"WebException": {"Errors": ["x"]}}),
        lambda found: next(iter(found.values())).update(Status=503),
        lambda found: found.clear(),
    ],
    ids=["one is missing", "a text", "errors in a 200", "broken off in a 200", "one failed", "all are missing"],
)
def test_what_a_batch_does_not_bring_is_asked_for_alone(change: Callable[[Any], None], load: Load) -> None:
    def alter(path: str, query: Query, content: Any) -> Any:
        if path == "batch":
            change(content)
        return content

    assert found_series(alter, load, ids=["PT001", "pt002", "PT003"]) == ["PT001", "PT002", "PT003"]


@pytest.mark.parametrize("name", ["WebId", "Name", "Id"])
def test_a_point_that_lacks_what_every_point_has_is_named(name: str, load: Load) -> None:
    def alter(path: str, query: Query, content: Any) -> Any:
        if path == "points":
            del content[name]
        return content

    with pytest.raises(NotTheServiceError, match=f"without {name}"):
        found_series(alter, load, ids=["PT001"])
