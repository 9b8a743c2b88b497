"""Writes: update options, the outcome of each value, the grid of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import KNOWN, Pi

Start = Callable[..., Pi]

DAY = ("2024-01-01T00:00:00Z", "2024-01-01T23:59:59Z")
NOON = "2024-01-01T12:00:00Z"


def stored(client: Pi, name: str = "TARGET") -> list[tuple[str, Any, bool]]:
    """Time within the day, value and `Substituted` of what the point holds."""
    return [(item["Timestamp"][11:-1], item["Value"], item["Substituted"]) for item in client.recorded(name, *DAY)]


TARGET = {**KNOWN, "TARGET": {"point_type": "Float64"}}
BEFORE = [("2024-01-01T10:00:00Z", 1.0), (NOON, 2.0), (NOON, 3.0), ("2024-01-01T14:00:00Z", 4.0)]
KEPT = [("10:00:00", 1.0, False), ("12:00:00", 2.0, False), ("12:00:00", 3.0, False), ("14:00:00", 4.0, False)]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("Replace", [KEPT[0], ("11:00:00", 11.0, False), ("12:00:00", 12.0, True), *KEPT[2:]]),
        ("replace", [KEPT[0], ("11:00:00", 11.0, False), ("12:00:00", 12.0, True), *KEPT[2:]]),
        ("Insert", [KEPT[0], ("11:00:00", 11.0, False), *KEPT[1:3], ("12:00:00", 12.0, False), KEPT[3]]),
        ("InsertNoCompression", [KEPT[0], ("11:00:00", 11.0, False), *KEPT[1:3], ("12:00:00", 12.0, False), KEPT[3]]),
        ("NoReplace", [KEPT[0], ("11:00:00", 11.0, False), *KEPT[1:]]),
        ("ReplaceOnly", [KEPT[0], ("12:00:00", 12.0, True), *KEPT[2:]]),
        ("Remove", [KEPT[0], *KEPT[2:]]),
    ],
)
def test_update_options(pi: Start, option: str, expected: list[Any]) -> None:
    client = pi(series=TARGET)
    assert client.write("TARGET", BEFORE, updateOption="Insert").status_code == 204
    response = client.write("TARGET", [("2024-01-01T11:00:00Z", 11.0), (NOON, 12.0)], updateOption=option)
    assert (response.status_code, response.content) == (204, b"")
    assert stored(client) == expected


def test_replace_is_the_default_and_can_be_repeated(pi: Start) -> None:
    client = pi(series=TARGET)
    for _ in range(2):
        assert client.write("TARGET", [(NOON, 5.0)]).status_code == 204
    assert stored(client) == [("12:00:00", 5.0, True)]


def test_remove_takes_the_equal_value_of_several(pi: Start) -> None:
    client = pi(series=TARGET)
    client.write("TARGET", BEFORE, updateOption="Insert")
    client.write("TARGET", [(NOON, 3.0)], updateOption="Remove")
    assert stored(client) == [KEPT[0], KEPT[1], KEPT[3]]


def test_each_value_has_its_own_outcome(pi: Start) -> None:
    client = pi("--now", "2024-02-01T00:00:00Z", series=TARGET)
    body: list[Any] = [
        {"Timestamp": NOON, "Value": 1.0},
        {"Timestamp": "2024-02-01T00:20:00Z", "Value": 2.0},
        {"Timestamp": "soon", "Value": 2.0},
        {"Timestamp": NOON, "Value": "Running"},
        {"Timestamp": NOON},
        {"Timestamp": NOON, "Value": {"Name": "Shutdown", "Value": 254}},
        7,
        {"Timestamp": "2024-01-01T13:00:00Z", "Value": "i/o timeout"},
    ]
    response = client.ask(f"/streams/{client.web_id('TARGET')}/recorded", "POST", body)
    assert response.status_code == 207
    items = response.json()["Items"]
    assert [item["Substatus"] for item in items] == [204, 400, 400, 400, 400, 400, 400, 204]
    said = [
        "Future",
        "could not be parsed",
        "is not a number",
        "is missing",
        "must be a number or a text",
        "not an object",
    ]
    assert all(text in item["Message"] for text, item in zip(said, items[1:7], strict=True))
    state = {"Name": "I/O Timeout", "Value": 246, "IsSystem": True}
    assert stored(client) == [("12:00:00", 1.0, False), ("13:00:00", state, False)]


@pytest.mark.parametrize(
    ("point", "value", "shown"),
    [
        ("COUNT", 2**31 - 1, 2**31 - 1),
        ("COUNT", 2**31, None),
        ("COUNT", 1.5, None),
        ("COUNT", True, None),
        ("PUMP", "running", {"Name": "Running", "Value": 1, "IsSystem": False}),
        ("PUMP", 1, {"Name": "Running", "Value": 1, "IsSystem": False}),
        ("PUMP", "Exploded", None),
        ("PUMP", 7, None),
        ("PUMP", "Shutdown", {"Name": "Shutdown", "Value": 254, "IsSystem": True}),
        ("SHARED TIMES", 0.1, 0.1),
        ("SHARED TIMES", 16777217, 16777216.0),
        ("SHARED TIMES", 1e39, None),
        ("STEADY", 16777217, 16777217.0),
        ("STEADY", 10**400, None),
        ("NOTE", "Shutdown", "Shutdown"),
        ("NOTE", 12.5, "12.5"),
        ("WHEN", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("WHEN", "never", None),
    ],
)
def test_values_of_every_type(pi: Start, point: str, value: Any, shown: Any) -> None:
    client = pi()
    if isinstance(value, int) and value > 2**64:
        body = f'[{{"Timestamp": "{NOON}", "Value": {value}}}]'
        path = f"{client.url}/streams/{client.web_id(point)}/recorded"
        response = client.session.post(path, data=body, timeout=30)
        assert response.status_code in (207, 400)
        return
    response = client.write(point, [(NOON, value)])
    assert response.status_code == (204 if shown is not None else 207), response.text
    assert [item["Value"] for item in client.recorded(point, *DAY)] == ([shown] if shown is not None else [])


def test_flags_are_stored(pi: Start) -> None:
    client = pi(series=TARGET)
    body = [
        {"Timestamp": "2024-01-01T10:00:00Z", "Value": 1.0, "Questionable": True},
        {"Timestamp": "2024-01-01T11:00:00Z", "Value": 1.0, "Substituted": True, "Annotated": True},
        {"Timestamp": NOON, "Value": 1.0, "Good": False},
    ]
    assert client.ask(f"/streams/{client.web_id('TARGET')}/recorded", "POST", body).status_code == 204
    items = client.recorded("TARGET", *DAY)
    assert [(item["Good"], item["Questionable"], item["Substituted"], item["Annotated"]) for item in items] == [
        (True, True, False, False), (True, False, True, True), (False, False, False, False),
    ]  # fmt: skip
    assert items[2]["Value"] == {"Name": "Bad", "Value": 307, "IsSystem": True}


def test_one_value(pi: Start) -> None:
    client = pi("--now", "2024-01-01T12:00:00Z", "--clock-rate", "0", series=TARGET)
    path = f"/streams/{client.web_id('TARGET')}/value"
    assert client.ask(path, "POST", {"Value": 3.5}).status_code == 204
    assert stored(client) == [("12:00:00", 3.5, False)]
    assert "not a number" in client.refused(path, 400, "POST", {"Value": "Running"})
    assert "not a value" in client.refused(path, 400, "POST", [])


def test_a_buffered_write_reports_no_errors(pi: Start) -> None:
    client = pi(series=TARGET)
    response = client.write("TARGET", [(NOON, 1.0), (NOON, "Running")], bufferOption="Buffer")
    assert (response.status_code, response.content) == (202, b"")
    assert stored(client) == [("12:00:00", 1.0, False)]
    assert client.write("TARGET", [(NOON, "Running")], bufferOption="DoNotBuffer").status_code == 207


def test_streams_in_one_write(pi: Start) -> None:
    client = pi(series={**TARGET, "OTHER": {}})
    good = {"WebId": client.web_id("TARGET"), "Items": [{"Timestamp": NOON, "Value": 1.0}]}
    mixed = {
        "WebId": client.web_id("OTHER"),
        "Items": [{"Timestamp": NOON, "Value": "x"}, {"Timestamp": NOON, "Value": 2}],
    }
    assert client.ask("/streamsets/recorded", "POST", [good]).status_code == 204
    response = client.ask(
        "/streamsets/recorded", "POST", [good, {"WebId": "F1DPx", "Items": []}, mixed, {"WebId": good["WebId"]}]
    )
    assert response.status_code == 207
    items = response.json()["Items"]
    assert [[each["Substatus"] for each in item["Items"]] for item in items] == [[204], [400], [400, 204], [400]]
    assert "no list 'Items'" in items[3]["Items"][0]["Message"]
    assert stored(client, "OTHER") == [("12:00:00", 2.0, False)]
    assert "not a list of streams" in client.refused("/streamsets/recorded", 400, "POST", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not valid JSON"), ('[{"Value": NaN}]', "not valid JSON"), ("{}", "not a list of values")],
)
def test_bodies_that_are_none(pi: Start, content: str, said: str) -> None:
    client = pi(series=TARGET)
    response = client.session.post(f"{client.url}/streams/{client.web_id('TARGET')}/recorded", data=content, timeout=30)
    assert response.status_code == 400
    assert said in response.json()["Errors"][0]


def test_the_header_against_forged_requests(pi: Start) -> None:
    client = pi("--csrf", series=TARGET)
    path = f"/streams/{client.web_id('TARGET')}/recorded"
    assert "X-Requested-With" in client.refused(path, 400, "POST", [])
    client.session.headers["X-Requested-With"] = "tests"
    assert client.write("TARGET", [(NOON, 1.0)]).status_code == 204


def test_unknown_options_are_refused(pi: Start) -> None:
    client = pi(series=TARGET)
    path = f"/streams/{client.web_id('TARGET')}/recorded"
    assert "'Upsert'" in client.refused(path, 400, "POST", [{"Timestamp": NOON, "Value": 1}], updateOption="Upsert")
    assert "'Later'" in client.refused(path, 400, "POST", [{"Timestamp": NOON, "Value": 1}], bufferOption="Later")


@pytest.mark.parametrize(
    ("rounding", "shown"),
    [
        ("nearest", ["12:00:00", "12:00:00.0000153", "12:00:00.5"]),
        ("down", ["12:00:00", "12:00:00", "12:00:00.4999848"]),
        ("up", ["12:00:00.0000152", "12:00:00.0000152", "12:00:00.5"]),
        ("none", ["12:00:00.0000001", "12:00:00.0000152", "12:00:00.4999999"]),
    ],
)
def test_times_are_put_on_the_grid(pi: Start, rounding: str, shown: list[str]) -> None:
    client = pi("--rounding", rounding, series=TARGET)
    times = [f"2024-01-01T12:00:00.{decimals}Z" for decimals in ("0000001", "0000152", "4999999")]
    assert client.write("TARGET", [(time, 1.0) for time in times], updateOption="Insert").status_code == 204
    assert [time for time, _, _ in stored(client)] == shown
    client.write("TARGET", [(f"2024-01-01T{time}Z", 2.0) for time in shown])
    assert sorted({time for time, _, _ in stored(client)}) == sorted(set(shown))


def test_a_future_point_takes_times_ahead(pi: Start) -> None:
    client = pi()
    assert client.write("AHEAD", [("2090-01-01T00:00:00Z", 5.0)]).status_code == 204
    assert [item["Value"] for item in client.recorded("AHEAD", "2089-12-31", "2090-01-02")] == [5.0]
