"""The emulator's own endpoints: who may use them, and what they take."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import requests

from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import identity

Start = Callable[..., EmulatorThread]
RULES = ["path=/data status=503"]
KEY = {"Ocp-Apim-Subscription-Key": "k3y"}


def ask_all(running: EmulatorThread, http: requests.Session, **headers: str) -> set[int]:
    """The statuses of every endpoint, below the base URL and at the root."""
    statuses = set()
    for base in (running.url, running.url.partition("/plant")[0]):
        statuses |= {http.get(f"{base}/_emulator/{what}", headers=headers).status_code for what in ("stats", "faults")}
        statuses.add(http.post(f"{base}/_emulator/faults", json=[], headers=headers).status_code)
    return statuses


def test_with_bearer_a_token_of_the_service_is_wanted(emulator: Start, http: requests.Session) -> None:
    running = emulator("--auth", "bearer")
    assert ask_all(running, http) == {401}
    assert ask_all(running, http, Authorization="Basic eDp5") == {401}
    assert ask_all(running, http, Authorization="Bearer opaque") == {200}
    assert "WWW-Authenticate" in http.get(f"{running.url}/_emulator/stats").headers


def test_with_a_subscription_key_it_is_wanted(
    emulator: Start, http: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMULATOR_TEST_KEY", "k3y")
    running = emulator("--subscription-key-env", "EMULATOR_TEST_KEY")
    assert ask_all(running, http) == {401}
    assert ask_all(running, http, **KEY) == {200}
    running.set_faults(RULES)
    assert running.stats()["requests"] == {}


def test_a_token_of_their_own(emulator: Start, http: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATOR_TEST_TOKEN", "c0ntrol")
    running = emulator("--control-token-env", "EMULATOR_TEST_TOKEN")
    assert ask_all(running, http) == ask_all(running, http, Authorization="Bearer another") == {401}
    assert ask_all(running, http, Authorization="Bearer c0ntrol") == {200}
    assert http.get(running.url).status_code == 200
    with pytest.raises(ValueError, match="NO_SUCH_TOKEN is not set"):
        emulator("--control-token-env", "NO_SUCH_TOKEN")


def test_whoever_starts_an_emulator_may_use_them(emulator: Start) -> None:
    running = emulator("--auth", "bearer")
    running.set_faults(RULES)
    assert running.stats()["requests"] == {}
    with EmulatorProcess(["--auth=bearer"]) as process:
        process.set_faults(RULES)
        assert process.stats()["requests"] == {}
        assert requests.get(f"{process.url}/_emulator/stats", timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200),
        ({"Content-Type": ""}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/plain; x=application/json"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json", "Origin": "http://page.example.com"}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded", "Origin": "null"}, 403),
    ],
)
def test_a_page_in_a_browser_changes_nothing(
    emulator: Start, http: requests.Session, headers: dict[str, str], status: int
) -> None:
    running = emulator()
    body = json.dumps(RULES).encode()
    assert http.post(f"{running.url}/_emulator/faults", data=body, headers=headers).status_code == status
    assert http.get(f"{running.url}/_emulator/faults").json() == (RULES if status == 200 else [])


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 900 + b"]" * 900, b'{"a":' * 100_000, b'[["x"]]', b"\xff"])
def test_rules_that_are_none(emulator: Start, http: requests.Session, body: bytes) -> None:
    running = emulator()
    assert http.post(f"{running.url}/_emulator/faults", data=body).status_code == 400
    assert http.get(f"{running.url}/{identity('steady')}").status_code == 200


def test_a_body_of_rules_has_a_bound(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    many = json.dumps(["path=/data status=503 count=1"] * 1000).encode()
    assert http.post(f"{running.url}/_emulator/faults", data=many).status_code == 200
    for body in (many + b" " * (1 << 20), iter([many, b" " * (1 << 20)])):
        assert http.post(f"{running.url}/_emulator/faults", data=body).status_code == 413
