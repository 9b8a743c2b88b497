"""Recorded, current, interpolated and summarised values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Pi

Start = Callable[..., Pi]

T0, T5 = "2023-11-14T22:13:20Z", "2023-11-14T22:13:25Z"
GOOD_FLAGS = {"Good": True, "Questionable": False, "Substituted": False, "Annotated": False}


def numbers(items: list[dict[str, Any]]) -> list[Any]:
    return [item["Value"] for item in items]


def test_recorded_values_in_full(pi: Start) -> None:
    client = pi()
    body = client.get(f"/streams/{client.web_id('STEADY')}/recorded", startTime=T0, endTime="2023-11-14T22:13:21Z")
    first = {"Timestamp": T0, "UnitsAbbreviation": "bar", **GOOD_FLAGS, "Value": 0.0}
    second = {**first, "Timestamp": "2023-11-14T22:13:21Z", "Value": 0.5}
    assert body == {"Links": {}, "Items": [first, second], "UnitsAbbreviation": "bar"}


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (T0, T5, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]),  # both ends belong to it
        ("2023-11-14T22:13:20.0000001Z", "2023-11-14T22:13:24.9999999Z", [0.5, 1.0, 1.5, 2.0]),
        (T5, T0, [2.5, 2.0, 1.5, 1.0, 0.5, 0.0]),
        (T0, T0, [0.0]),
        ("2023-11-14T22:13:20.5Z", "2023-11-14T22:13:20.6Z", []),
        ("1970-01-01", "1971-01-01", []),
        ("2023-11-14T23:13:20+01:00", "2023-11-14T22:13:21Z", [0.0, 0.5]),
        ("14-Nov-23 22:13:20", "14-Nov-23 22:13:21", [0.0, 0.5]),
    ],
)
def test_ends_of_recorded_values(pi: Start, start: str, end: str, expected: list[float]) -> None:
    assert numbers(pi().recorded("STEADY", start, end)) == expected


@pytest.mark.parametrize(
    ("boundary", "start", "end", "expected"),
    [
        ("Outside", "2023-11-14T22:13:21.5Z", "2023-11-14T22:13:22.5Z", [0.5, 1.0, 1.5]),
        ("outside", "2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z", [0.5, 1.0]),
        ("Outside", "1970-01-01", "2023-11-14T22:13:20.5Z", [0.0, 0.5]),
        ("Interpolated", "2023-11-14T22:13:21.5Z", "2023-11-14T22:13:22.5Z", [0.75, 1.0, 1.25]),
        ("Interpolated", "2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z", [0.5, 1.0]),
        ("Interpolated", "2023-11-14T22:13:22.5Z", "2023-11-14T22:13:21.5Z", [1.25, 1.0, 0.75]),
        ("Interpolated", "2030-01-01", "2030-01-02", [1249.5, 1249.5]),
        ("Interpolated", "1970-01-01", "1970-01-02", ["No Data", "No Data"]),
    ],
)
def test_boundaries(pi: Start, boundary: str, start: str, end: str, expected: list[Any]) -> None:
    items = pi().recorded("STEADY", start, end, boundaryType=boundary)
    assert [each["Name"] if isinstance(each, dict) else each for each in numbers(items)] == expected


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("boundary", ["Inside", "Outside", "Interpolated"])
def test_a_full_page_has_the_first_values_of_the_whole(pi: Start, boundary: str, backwards: bool) -> None:
    client = pi()
    ends = ["2023-11-14T22:13:21.5Z", "2023-11-14T22:13:26.5Z"]
    start, end = reversed(ends) if backwards else ends
    whole = client.recorded("STEADY", start, end, boundaryType=boundary)
    assert len(whole) == {"Inside": 5, "Outside": 7, "Interpolated": 7}[boundary]
    for size in range(1, len(whole) + 2):
        page = client.recorded("STEADY", start, end, boundaryType=boundary, maxCount=size)
        assert page == whole[:size]


def test_max_count_truncates_without_a_word_and_is_limited(pi: Start) -> None:
    client = pi("--max-items", "1500")
    path = f"/streams/{client.web_id('STEADY')}/recorded"
    whole = {"startTime": T0, "endTime": "2023-11-15"}
    assert len(client.get(path, **whole)["Items"]) == 1000  # the default
    page = client.get(path, **whole, maxCount=1500)
    assert (len(page["Items"]), set(page), page["Links"]) == (1500, {"Links", "Items", "UnitsAbbreviation"}, {})
    assert "greater than the maximum allowed (1500)" in client.refused(path, 400, **whole, maxCount=1501)
    assert "less than" in client.refused(path, 400, **whole, maxCount=0)
    assert "not a whole number" in client.refused(path, 400, **whole, maxCount="many")
    small = pi("--max-items", "10")
    assert len(small.recorded("STEADY", T0, "2023-11-15")) == 10


def test_paging_by_time_to_the_end(pi: Start) -> None:
    """A reader that goes on from the last time, without the values of that time that it has, sees each value once."""
    client = pi()
    for name, expected in (("STEADY", 2500), ("SHARED TIMES", 30)):
        seen: list[tuple[str, Any]] = []
        start: str = T0
        while True:
            page = [
                (item["Timestamp"], item["Value"]) for item in client.recorded(name, start, "2024-01-01", maxCount=7)
            ]
            known = [each for each in seen if each[0] == start]
            assert page[: len(known)] == known
            seen += page[len(known) :]
            if len(page) < 7:
                break
            start = page[-1][0]
        assert len(seen) == len(set(seen)) == expected


def test_values_at_one_time_keep_their_order(pi: Start) -> None:
    client = pi()
    assert numbers(client.recorded("SHARED TIMES", T0, "2023-11-14T22:13:21Z")) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert numbers(client.recorded("SHARED TIMES", "2023-11-14T22:13:21Z", T0)) == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert client.get(f"/streams/{client.web_id('SHARED TIMES')}/value", time=T0)["Value"] == 2.0


def test_states_and_flags_of_every_value(pi: Start) -> None:
    items = pi().recorded("STATES", T0, T5)
    timeout = {"Name": "I/O Timeout", "Value": 246, "IsSystem": True}
    shutdown = {"Name": "Shutdown", "Value": 254, "IsSystem": True}
    assert numbers(items) == [1.5, timeout, 246.0, 2.5, 3.5, 4.5, shutdown]
    flags = [tuple(item[name] for name in ("Good", "Questionable", "Substituted", "Annotated")) for item in items]
    good, none = (True, False, False, False), (False, False, False, False)
    assert flags == [good, none, good, (True, True, False, False), (True, False, True, False), (True, False, False, True),
                     (False, True, False, False)]  # fmt: skip


def test_values_of_every_type(pi: Start) -> None:
    client = pi()
    assert numbers(client.recorded("PUMP", T0, T5)) == [
        {"Name": "Stopped", "Value": 0, "IsSystem": False},
        {"Name": "Running", "Value": 1, "IsSystem": False},
        {"Name": "No Data", "Value": 248, "IsSystem": True},
        {"Name": "?9", "Value": 9, "IsSystem": False},
    ]
    assert numbers(client.recorded("COUNT", T0, T5)) == [2147483647, -7]
    assert numbers(client.recorded("NOTE", T0, T5))[:2] == ["plain", 'a "quote"\næ']
    assert numbers(client.recorded("NOTE", T0, T5))[2]["Name"] == "Bad Input"
    assert numbers(client.recorded("WHEN", T0, T5)) == ["2024-02-29T12:00:00Z"]
    assert client.recorded("EMPTY", "1970-01-01", "*") == []
    assert numbers(client.recorded("AHEAD", "*", "2099-01-01")) == [1.0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("Items.Value", {"Items": [{"Value": 0.0}]}),
        ("items.timestamp;ITEMS.GOOD", {"Items": [{"Timestamp": T0, "Good": True}]}),
        ("Links;Items.Value", {"Links": {}, "Items": [{"Value": 0.0}]}),
        ("UnitsAbbreviation", {"UnitsAbbreviation": "bar"}),
        ("Items.Annotated;WebException", {"Items": [{"Annotated": False}]}),
    ],
)
def test_selected_fields(pi: Start, fields: str, expected: object) -> None:
    client = pi()
    path = f"/streams/{client.web_id('STEADY')}/recorded"
    assert client.get(path, startTime=T0, endTime=T0, selectedFields=fields) == expected


def test_a_selected_field_within_a_value(pi: Start) -> None:
    client = pi()
    path = f"/streams/{client.web_id('STATES')}/recorded"
    found = client.get(path, startTime=T0, endTime="2023-11-14T22:13:21Z", selectedFields="Items.Value.Name")
    assert found == {"Items": [{"Value": 1.5}, {"Value": {"Name": "I/O Timeout"}}, {"Value": 246.0}]}


def test_only_annotated_values(pi: Start) -> None:
    client = pi()
    assert numbers(client.recorded("STATES", T0, T5, filterExpression="IsSet('.', \"a\")")) == [4.5]
    path = f"/streams/{client.web_id('STATES')}/recorded"
    assert "filter expression" in client.refused(path, 400, filterExpression="'.' > 3")


def test_desired_units(pi: Start) -> None:
    client = pi()
    items = client.recorded("STEADY", T0, "2023-11-14T22:13:21Z", desiredUnits="kPa")
    assert [(item["Value"], item["UnitsAbbreviation"]) for item in items] == [(0.0, "kPa"), (50.0, "kPa")]
    path = f"/streams/{client.web_id('STEADY')}/recorded"
    assert "cannot be converted" in client.refused(path, 400, desiredUnits="degC")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"startTime": "soon"}, "The time 'soon' could not be parsed."),
        ({"endTime": "2024-13-01"}, "could not be parsed"),
        ({"startTime": "1500-01-01"}, "could not be parsed"),
        ({"timeZone": "Mars/North"}, "time zone 'Mars/North'"),
        ({"boundaryType": "Beside"}, "'Beside'"),
        ({"webIdType": "Short"}, "'Short'"),
    ],
)
def test_parameters_that_cannot_be_used(pi: Start, query: dict[str, str], said: str) -> None:
    client = pi()
    path = "/points/search" if "webIdType" in query else f"/streams/{client.web_id('STEADY')}/recorded"
    assert said in client.refused(path, 400, **query)


def test_relative_times_and_defaults(pi: Start) -> None:
    client = pi("--now", "2023-11-14T22:13:30Z", "--clock-rate", "0")
    assert numbers(client.recorded("STEADY", "*-2s", "*")) == [4.0, 4.5, 5.0]
    assert numbers(client.recorded("STEADY", "t+22h13m20s", "y+1d+22h13m21s")) == [0.0, 0.5]
    path = f"/streams/{client.web_id('STEADY')}"
    assert len(client.get(f"{path}/recorded")["Items"]) == 11  # the last day
    assert client.get(f"{path}/value")["Value"] == 5.0
    assert client.get(f"{path}/end")["Value"] == 1249.5


def test_times_without_a_zone_are_in_the_named_zone_or_the_servers(pi: Start) -> None:
    client = pi("--time-zone", "Europe/Oslo")
    one_second = ("2023-11-14 23:13:20", "2023-11-14T23:13:21")
    assert numbers(client.recorded("STEADY", *one_second)) == [0.0, 0.5]
    assert numbers(client.recorded("STEADY", T0, "14-Nov-2023 23:13:21")) == [0.0, 0.5]
    assert client.recorded("STEADY", *one_second, timeZone="UTC") != client.recorded("STEADY", *one_second)


def test_interpolated_values(pi: Start) -> None:
    client = pi()

    def between(name: str, start: str, end: str, interval: str) -> list[Any]:
        found = client.get(
            f"/streams/{client.web_id(name)}/interpolated", startTime=start, endTime=end, interval=interval
        )
        return [each["Name"] if isinstance(each, dict) else each for each in numbers(found["Items"])]

    assert between("STEADY", T0, "2023-11-14T22:13:21Z", "500ms") == [0.0, 0.25, 0.5]
    assert between("STEADY", "2023-11-14T22:13:21Z", T0, "500ms") == [0.5, 0.25, 0.0]
    assert between("STATES", T0, "2023-11-14T22:13:23Z", "0.5s") == [1.5, 1.5, 246.0, 124.25, 2.5, 3.0, 3.5]
    assert between("STATES", "2023-11-14T22:13:24.5Z", "2023-11-14T22:13:26Z", "1s") == [4.5, "Shutdown"]
    assert between("PUMP", T0, "2023-11-14T22:13:22Z", "500ms") == [
        "Stopped",
        "Stopped",
        "Running",
        "Running",
        "No Data",
    ]
    assert between("COUNT", "1970-01-01", "1970-01-01T01:00:00Z", "1h") == ["No Data", "No Data"]
    path = f"/streams/{client.web_id('STEADY')}/interpolated"
    assert "more than the maximum" in client.refused(
        path, 400, startTime="2000-01-01", endTime="2024-01-01", interval="1s"
    )
    assert "could not be parsed" in client.refused(path, 400, interval="often")


def summary(client: Pi, name: str, start: str, end: str, **query: Any) -> dict[str, Any]:
    found = client.get(
        f"/streams/{client.web_id(name)}/summary", startTime=start, endTime=end, summaryType="All", **query
    )
    return {item["Type"]: item["Value"]["Value"] for item in found["Items"]}


def test_summaries_by_time(pi: Start) -> None:
    found = summary(pi(), "STEADY", "2023-11-14T22:13:20.5Z", "2023-11-14T22:13:24.5Z")
    assert found["Average"] == pytest.approx(1.25)
    assert (found["Minimum"], found["Maximum"], found["Range"]) == (0.25, 2.25, 2.0)
    assert (found["Count"], found["PercentGood"]) == (4.0, 100.0)
    assert found["Total"] == pytest.approx(5.0 / 86_400)
    assert found["StdDev"] == pytest.approx((2.0**2 / 12) ** 0.5)


def test_summaries_by_events(pi: Start) -> None:
    client = pi()
    found = summary(client, "STEADY", T0, T5, calculationBasis="EventWeighted")
    assert (found["Count"], found["Average"], found["Total"]) == (5.0, 1.0, 5.0)  # the value at the end is not counted
    assert found["StdDev"] == pytest.approx((2.5 / 4) ** 0.5)
    states = summary(client, "STATES", T0, "2023-11-14T22:13:26Z", calculationBasis="EventWeighted")
    assert (states["Count"], states["Maximum"]) == (5.0, 246.0)
    assert states["PercentGood"] == pytest.approx(500 / 7)
    nothing = summary(client, "EMPTY", T0, T5)
    assert (nothing["Average"]["Name"], nothing["Count"]) == ("No Data", 0.0)


def test_summaries_of_intervals(pi: Start) -> None:
    client = pi()
    path = f"/streams/{client.web_id('STEADY')}/summary"
    found = client.get(path, startTime=T0, endTime=T5, summaryDuration="2s", summaryType="Maximum,Count")["Items"]
    assert [(item["Type"], item["Value"]["Value"]) for item in found] == [
        ("Maximum", 1.0), ("Count", 2.0), ("Maximum", 2.0), ("Count", 2.0), ("Maximum", 2.5), ("Count", 1.0),
    ]  # fmt: skip
    assert found[0]["Value"]["Timestamp"] == "2023-11-14T22:13:22Z"  # that of the value
    assert "'Median'" in client.refused(path, 400, summaryType="Median")
    assert "maximum allowed" in client.refused(path, 400, startTime="1990-01-01", endTime=T0, summaryDuration="1s")


def test_streams_in_one_request(pi: Start) -> None:
    client = pi()
    ids = [client.web_id(name) for name in ("STEADY", "PUMP", "EMPTY")]
    span = {"startTime": T0, "endTime": "2023-11-15"}
    found = client.get("/streamsets/recorded", webId=ids, maxCount=3, **span)
    assert [(item["Name"], item["WebId"], len(item["Items"])) for item in found["Items"]] == [
        ("STEADY", ids[0], 3), ("PUMP", ids[1], 3), ("EMPTY", ids[2], 0),
    ]  # fmt: skip
    assert found["Items"][0]["Items"] == client.recorded("STEADY", T0, "2023-11-15", maxCount=3)
    few = client.get(
        "/streamsets/recorded", webId=ids[:2], selectedFields="Items.Name;Items.Items.Value", maxCount=1, **span
    )
    pump = {"Name": "Stopped", "Value": 0, "IsSystem": False}
    assert few == {
        "Items": [{"Name": "STEADY", "Items": [{"Value": 0.0}]}, {"Name": "PUMP", "Items": [{"Value": pump}]}]
    }
    values = client.get("/streamsets/value", webId=ids[:2])["Items"]
    assert [item["Value"]["Value"] for item in values] == [1249.5, {"Name": "?9", "Value": 9, "IsSystem": False}]
    assert "'webId' is required" in client.refused("/streamsets/recorded", 400)
    assert "is invalid" in client.refused("/streamsets/recorded", 400, webId=[ids[0], "none"])
    whole = pi("--streamset-limit", "request").get("/streamsets/recorded", webId=ids[:2], maxCount=3, **span)
    assert [len(item["Items"]) for item in whole["Items"]] == [3, 0]
