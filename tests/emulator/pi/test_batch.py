"""Several requests in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conftest import Pi

Start = Callable[..., Pi]


def batch(client: Pi, requests: dict[str, Any]) -> dict[str, Any]:
    response = client.ask("/batch", "POST", requests)
    assert response.status_code == 207, response.text
    assert list(response.json()) == list(requests)
    return dict(response.json())


def test_requests_beside_each_other_and_their_errors(pi: Start) -> None:
    client = pi()
    found = batch(client, {
        "good": {"Method": "GET", "Resource": "https://elsewhere:443/piwebapi/points?path=\\\\EMU\\SHARED TIMES"},
        "gone": {"Method": "GET", "Resource": f"{client.url}/points?path=\\\\EMU\\none"},
        "word": {"Method": "LOOK", "Resource": f"{client.url}/system"},
        "path": {"Method": "GET", "Resource": f"{client.url}/nowhere"},
    })  # fmt: skip
    assert {name: item["Status"] for name, item in found.items()} == {
        "good": 200,
        "gone": 404,
        "word": 400,
        "path": 404,
    }
    assert found["good"]["Content"]["Name"] == "SHARED TIMES"
    assert found["gone"]["Content"]["Errors"] == ["PI Point not found 'none'."]
    assert "application/json" in found["good"]["Headers"]["Content-Type"]


def test_parents_parameters_and_templates(pi: Start) -> None:
    client = pi()
    found = batch(client, {
        "read": {"Method": "GET", "Parameters": ["$.tag.Content.WebId", "$.tag.Content.Name"], "ParentIds": ["tag"],
                 "Resource": f"{client.url}/streams/{{0}}/value?time=2023-11-14T22:13:21Z&selectedFields=Value"},
        "tag": {"Method": "GET", "Resource": f"{client.url}/points?path=\\\\EMU\\STEADY"},
        "all": {"Method": "GET", "Resource": f"{client.url}/points/search?query=name:ST*"},
        "each": {"Method": "GET", "Parameters": ["$.all.Content.Items[*].WebId"], "ParentIds": ["all"],
                 "RequestTemplate": {"Resource": f"{client.url}/points/{{0}}?selectedFields=Name"}},
        "one": {"Method": "GET", "Parameters": ["$['all'].Content.Items[1].WebId"], "ParentIds": ["all"],
                "Resource": f"{client.url}/points/{{0}}?selectedFields=Name"},
        "none": {"Method": "GET", "Parameters": ["$.all.Content.Nothing"], "ParentIds": ["all"], "Resource": "/points/{0}"},
    })  # fmt: skip
    assert found["read"]["Content"] == {"Value": 0.5}
    assert found["each"]["Status"] == 207
    assert [item["Content"]["Name"] for item in found["each"]["Content"]["Items"]] == ["STATES", "STEADY"]
    assert found["one"]["Content"] == {"Name": "STEADY"}
    assert found["none"]["Status"] == 400


def test_a_child_of_a_failed_parent_is_not_sent(pi: Start) -> None:
    client = pi()
    found = batch(client, {
        "gone": {"Method": "GET", "Resource": f"{client.url}/points?path=\\\\EMU\\none"},
        "child": {"Method": "GET", "ParentIds": ["gone"], "Resource": f"{client.url}/system"},
        "grandchild": {"Method": "GET", "ParentIds": ["child"], "Resource": f"{client.url}/system"},
    })  # fmt: skip
    assert [item["Status"] for item in found.values()] == [404, 424, 424]


def test_writes_within_a_batch(pi: Start) -> None:
    client = pi()
    content = '[{"Timestamp": "2024-01-01T00:00:00Z", "Value": 8.5}, {"Timestamp": "soon", "Value": 1}]'
    resource = f"{client.url}/streams/{client.web_id('STEADY')}/recorded?updateOption=Insert"
    found = batch(client, {"w": {"Method": "POST", "Resource": resource, "Content": content}})
    assert (found["w"]["Status"], [item["Substatus"] for item in found["w"]["Content"]["Items"]]) == (207, [204, 400])
    assert [item["Value"] for item in client.recorded("STEADY", "2024-01-01", "2024-01-02")] == [8.5]


def test_bodies_that_are_none(pi: Start) -> None:
    client = pi()
    circle = {name: {"Method": "GET", "Resource": "/", "ParentIds": [other]} for name, other in ("ab", "ba")}
    assert "depend on each other" in client.refused("/batch", 400, "POST", circle)
    unknown = {"a": {"Method": "GET", "Resource": "/", "ParentIds": ["z"]}}
    assert "'z', which is not in the batch" in client.refused("/batch", 400, "POST", unknown)
    assert "not an object of requests" in client.refused("/batch", 400, "POST", [1])


def test_requests_within_count_against_the_rate_limit_and_meet_faults(pi: Start) -> None:
    requests = {str(number): {"Method": "GET", "Resource": "/piwebapi/system"} for number in range(6)}
    limited = batch(pi("--rate-limit", "1/h"), requests)
    assert [item["Status"] for item in limited.values()] == [429] * 6
    faulty = batch(pi("--fault", "path=/system status=503 count=2"), requests)
    assert [item["Status"] for item in faulty.values()] == [503, 503, 200, 200, 200, 200]
