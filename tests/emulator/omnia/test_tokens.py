"""Continuation tokens: whose they are, how long they live, where they may travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, SECOND, identity
from tests.emulator.omnia.pages import text_of

Start = Callable[..., EmulatorThread]


def test_a_token_belongs_to_its_query(emulator: Start, http: requests.Session) -> None:
    running = emulator("--seed", "4")
    url = f"{running.url}/{identity('steady')}/data"
    params: dict[str, Any] = {"limit": 10, "startTime": text_of(BASE)}
    token = http.get(url, params=params).json()["continuationToken"]
    assert http.get(url, params=params | {"continuationToken": token}).status_code == 200
    assert http.get(url, params=params | {"continuationToken": token, "limit": 20}).status_code == 200
    for change in (
        {"startTime": text_of(BASE + 1 * SECOND)},
        {"status": 192},
        {"continuationToken": token[:-2] + "AA"},
    ):
        refused = http.get(url, params=params | {"continuationToken": token} | change)
        assert refused.status_code == 400
        assert "token" in refused.json()["message"].lower()
    other = f"{running.url}/{identity('other')}/data"
    assert http.get(other, params=params | {"continuationToken": token}).status_code == 400
    assert (
        http.get(
            emulator("--seed", "5").url + f"/{identity('steady')}/data", params=params | {"continuationToken": token}
        ).status_code
        == 400
    )
    again = emulator("--seed", "4")  # The same emulator after a restart.
    assert (
        http.get(again.url + f"/{identity('steady')}/data", params=params | {"continuationToken": token}).status_code
        == 200
    )


def test_tokens_expire_where_that_is_wanted(emulator: Start, http: requests.Session) -> None:
    # A clock a million times as fast: the token is hours old when it comes back.
    running = emulator("--token-ttl", "60", "--clock-rate", "1000000")
    url = f"{running.url}/{identity('steady')}/data"
    token = http.get(url, params={"limit": 10}).json()["continuationToken"]
    response = http.get(url, params={"limit": 10, "continuationToken": token})
    assert (response.status_code, "expired" in response.json()["message"]) == (400, True)


def test_a_token_in_the_body_of_a_query_of_many(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    items: list[dict[str, Any]] = [{"id": identity("steady"), "limit": 10}, {"id": identity("other"), "limit": 10}]
    token = http.post(f"{running.url}/query/data", json=items).json()["continuationToken"]
    by_query = http.post(f"{running.url}/query/data", json=items, params={"continuationToken": token}).json()
    in_body = http.post(
        f"{running.url}/query/data", json=[item | {"continuationToken": token} for item in items]
    ).json()
    assert by_query["data"] == in_body["data"]
    items[0]["continuationToken"] = "another"
    assert http.post(f"{running.url}/query/data", json=items, params={"continuationToken": token}).status_code == 400
