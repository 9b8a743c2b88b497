"""Listing and searching metadata over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import identity

Start = Callable[..., EmulatorThread]
PLANT = {
    "1191-PT-1001": {
        "facility": "1191",
        "unit": "bar",
        "description": "Inlet pressure",
        "externalId": "PI:1",
        "source": "IMS",
    },
    "1191-PT-1002": {"facility": "1191", "unit": "bar", "description": "Outlet pressure", "assetId": "JCA"},
    "1219-TT-1001": {"facility": "1219", "unit": "degC", "description": "Gas (100%) temperature", "step": True},
    "weird.*[name]": {"facility": "asgb", "unit": "1", "metadata": {"a": 1}},
}


def names(response: requests.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["data"]["items"]]


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("", {}, list(PLANT)),
        ("", {"facility": "1191"}, ["1191-PT-1001", "1191-PT-1002"]),
        ("", {"facility": "ASGB"}, ["weird.*[name]"]),
        ("", {"name": "1191-pt-1001"}, ["1191-PT-1001"]),
        ("", {"name": "PT"}, []),
        ("/search", {"name": "*pt*"}, ["1191-PT-1001", "1191-PT-1002"]),
        ("/search", {"name": "*-1001"}, ["1191-PT-1001", "1219-TT-1001"]),
        ("/search", {"name": "1*1"}, ["1191-PT-1001", "1219-TT-1001"]),
        ("/search", {"name": "weird.*[name]"}, ["weird.*[name]"]),
        ("/search", {"name": "weirdX*"}, []),
        ("/search", {"unit": "BAR", "description": "out*"}, ["1191-PT-1002"]),
        ("/search", {"externalId": "PI:1"}, ["1191-PT-1001"]),
        ("/search", {"source": "nobody"}, []),
        ("/search/pressure", {}, ["1191-PT-1001", "1191-PT-1002"]),
        ("/search/pressure", {"assetId": "jca"}, ["1191-PT-1002"]),
        ("/search/Gas%20(100%25)*", {}, ["1219-TT-1001"]),
        ("/search/PI:1", {}, ["1191-PT-1001"]),
    ],
)
def test_listing_and_searching(
    emulator: Start, http: requests.Session, path: str, params: Any, expected: list[str]
) -> None:
    assert names(http.get(emulator(series=PLANT).url + path, params=params)) == expected


def test_all_fields_of_one(emulator: Start, http: requests.Session) -> None:
    running = emulator(series=PLANT)
    body = http.get(f"{running.url}/{identity('1191-PT-1001', '1191').upper()}").json()
    item = body["data"]["items"][0]
    assert set(item) == {
        "id", "name", "description", "step", "unit", "standardUnit", "createdTime", "changedTime", "assetId", "facility",
        "externalId", "source", "metadata",
    }  # fmt: skip
    assert (item["id"], item["unit"], item["step"], item["assetId"]) == (
        identity("1191-PT-1001", "1191"),
        "bar",
        False,
        None,
    )
    assert http.get(f"{running.url}/{identity('nobody')}").status_code == 404


def test_paging(emulator: Start, http: requests.Session) -> None:
    running = emulator("--synthetic", "sparse:series=2345,days=1", series={})
    seen: list[str] = []
    params: dict[str, Any] = {"facility": "EMU"}
    pages = 0
    while True:
        response = http.get(running.url, params=params)
        seen += names(response)
        pages += 1
        token = response.json()["continuationToken"]
        if not token:
            break
        params["continuationToken"] = token
    assert (len(seen), len(set(seen)), pages) == (2345, 2345, 3)
    assert len(names(http.get(running.url, params={"limit": 100_000}))) == 2345
    assert http.get(running.url, params={"limit": 100_001}).status_code == 400
    assert (
        http.get(running.url, params={"name": "x", "continuationToken": params["continuationToken"]}).status_code == 400
    )
    assert http.get(running.url, params={"limit": 2345}).json()["continuationToken"] is None
