"""Faults that damage values, streams and writes, and the limits of the server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from .conftest import Pi

Start = Callable[..., Pi]

SPAN = {"startTime": "2023-11-14T22:13:20Z", "endTime": "2023-11-14T22:13:29Z"}


def read(client: Pi, name: str = "STEADY", **query: str) -> requests.Response:
    """One request beside those that look up the WebId, whose faults are none."""
    return client.ask(f"/streams/{client.web_id(name)}/recorded", **SPAN, **query)


def test_errors_inside_values(pi: Start) -> None:
    client = pi("--fault", "path=/recorded value_errors rate=0.3")
    items = read(client).json()["Items"]
    failed = [item for item in items if "Errors" in item]
    assert 0 < len(failed) < len(items) == 10
    assert {(item["Value"], item["Good"], item["Errors"][0]["FieldName"]) for item in failed} == {
        (None, False, "Value")
    }
    assert read(client).json()["Items"] == items  # a fixed set of values
    narrow = read(client, selectedFields="Items.Value").json()["Items"]
    assert narrow == [{"Value": item["Value"]} for item in items]  # what is not selected is not sent
    assert client.emulator.stats()["faults"] == {"value_errors": 3}


def test_a_response_that_breaks_off(pi: Start) -> None:
    client = pi("--fault", "path=/recorded web_exception count=2")
    response = read(client)
    body = response.json()
    assert (response.status_code, len(body["Items"]), body["WebException"]["StatusCode"]) == (200, 5, 500)
    assert body["WebException"]["Errors"]
    many = client.get("/streamsets/recorded", webId=[client.web_id("STEADY"), client.web_id("PUMP")], **SPAN)
    assert "WebException" in many
    assert "WebException" not in read(client).json()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("empty", []),
        ("short", [0.0, 0.5, 1.0, 1.5, 2.0]),
        ("outside", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]),
    ],
)
def test_other_values_than_those_that_are_there(pi: Start, kind: str, expected: list[float]) -> None:
    client = pi("--fault", f"path=/recorded {kind}")
    assert [item["Value"] for item in read(client).json()["Items"]] == expected
    later = {"startTime": "2023-11-14T22:13:25Z", "endTime": "2023-11-14T22:13:26Z"}
    found = client.get(f"/streams/{client.web_id('STEADY')}/recorded", **later)["Items"]
    assert [item["Value"] for item in found] == {"empty": [], "short": [2.5], "outside": [2.0, 2.5, 3.0]}[kind]


def test_another_order_at_one_time_and_a_stream_left_out(pi: Start) -> None:
    client = pi("--fault", "path=/streams/ reorder", "--fault", "path=/streamsets left_out")
    items = read(client, "SHARED TIMES").json()["Items"]
    assert [item["Value"] for item in items][:6] == [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]
    found = client.get("/streamsets/recorded", webId=[client.web_id("STEADY"), client.web_id("PUMP")], **SPAN)
    assert [item["Name"] for item in found["Items"]] == ["STEADY"]


def test_writes_that_are_refused_or_forgotten(pi: Start) -> None:
    client = pi("--fault", "method=POST reject_points rate=0.3")
    rows = [(f"2024-01-01T00:00:{second:02}Z", 1.0) for second in range(40)]
    response = client.write("STEADY", rows)
    outcomes = [item["Substatus"] for item in response.json()["Items"]]
    assert (response.status_code, 0 < outcomes.count(400) < 40) == (207, True)
    held = {item["Timestamp"] for item in client.recorded("STEADY", "2024-01-01", "2024-01-02")}
    assert held == {time for (time, _), outcome in zip(rows, outcomes, strict=True) if outcome == 204}
    client.emulator.set_faults(["method=POST not_stored"])
    assert client.write("COUNT", [("2024-01-01T00:00:00Z", 1)]).status_code == 204
    assert client.recorded("COUNT", "2024-01-01", "2024-01-02") == []


def test_faults_of_every_service(pi: Start) -> None:
    client = pi()
    web_id = client.web_id("STEADY")
    for rule, status in (("status=503", 503), ("status=429 retry_after=2", 429), ("status=502 body=html", 502)):
        client.emulator.set_faults([f"path=/recorded {rule} count=1"])
        response = client.ask(f"/streams/{web_id}/recorded", **SPAN)
        assert response.status_code == status
        assert ("Retry-After" in response.headers) == ("retry_after" in rule)
        assert response.text.startswith("<html>" if "html" in rule else '{"Errors":["Fault')
    for rule in ("reset", "truncate", "reset_after_apply"):
        client.emulator.set_faults([f"path=/recorded {rule} count=1"])
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            client.ask(f"/streams/{web_id}/recorded", **SPAN)
    client.emulator.set_faults(["path=/recorded garbage count=1"])
    with pytest.raises(requests.exceptions.JSONDecodeError):
        client.ask(f"/streams/{web_id}/recorded", **SPAN).json()
    client.emulator.set_faults(["path=/recorded slow=20000 count=1"])
    assert len(client.ask(f"/streams/{web_id}/recorded", **SPAN).json()["Items"]) == 10


def test_a_write_that_was_made_without_a_response(pi: Start) -> None:
    client = pi("--fault", "method=POST reset_after_apply count=1")
    with pytest.raises(requests.ConnectionError):
        client.write("COUNT", [("2024-01-01T00:00:00Z", 1)])
    assert [item["Value"] for item in client.recorded("COUNT", "2024-01-01", "2024-01-02")] == [1]


def test_the_rate_limit(pi: Start) -> None:
    client = pi("--rate-limit", "1/h")
    assert client.ask("/system").status_code == 200
    response = client.ask("/system")
    assert (response.status_code, response.json()) == (429, {"Errors": ["Rate limit was reached"]})
    assert "Retry-After" not in response.headers
    client = pi("--rate-limit", "1/h", "--retry-after", "seconds")
    client.ask("/system")
    assert int(client.ask("/system").headers["Retry-After"]) > 3000


def test_a_body_above_the_limit(pi: Start) -> None:
    client = pi("--max-body", "100")
    assert "too large" in client.refused("/batch", 413, "POST", {"a": {"Method": "GET", "Resource": "x" * 200}})
