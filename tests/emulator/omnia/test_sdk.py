"""The official SDK against the emulator: every public method, JSON and protobuf, judged by what it returns."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, KNOWN, SECOND, identity
from tests.emulator.omnia.messages import Page, table
from tests.emulator.omnia.pages import ns_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(sdk_python: str) -> dict[str, list[Any]]:
    with EmulatorThread(series=KNOWN) as emulator:
        script = Path(__file__).parent / "sdk_contract.py"
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            [sdk_python, str(script), emulator.url], capture_output=True, text=True, timeout=100, env=environment
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, list[Any]] = json.loads(done.stdout)
        return found


def in_json(response: Any) -> list[dict[str, Any]]:
    rows = response["data"]["items"][0]["datapoints"]
    return [row | {"time": ns_of(row["time"])} for row in rows]


def in_protobuf(response: Any) -> list[dict[str, Any]]:
    item = Page.FromString(base64.b64decode(response["bytes"])).data[0]
    columns = table(item)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


STEADY = [{"time": BASE + n * SECOND, "value": n * 0.5, "status": 64 if n % 3 == 0 else 192} for n in range(60)]
Check = Callable[[list[dict[str, Any]]], bool]
GOOD = [row for row in STEADY if row["status"] == 192]


@pytest.mark.parametrize(
    ("method", "calls_each", "expected"),
    [
        ("get_datapoints", 1, [STEADY[:40]]),
        ("get_datapoints_by_name", 1, [STEADY]),
        ("get_multi_datapoints", 2, [GOOD[:5], [
            {"time": BASE - 20 * SECOND, "avg": 2.25, "count": 10},
            {"time": BASE + 10 * SECOND, "avg": 12.25, "count": 30},
            {"time": BASE + 40 * SECOND, "avg": 24.75, "count": 20},
        ]]),
        ("get_aggregates", 1, [[
            {"time": BASE, "min": 0.5, "max": 9.5, "last": 9.5},
            {"time": BASE + 20 * SECOND, "min": 10.0, "max": 19.0, "last": 19.0},
        ]]),
        ("get_first_datapoint", 1, [STEADY[:1]]),
        ("get_latest_datapoint", 1, [[STEADY[57]]]),
        ("get_first_multi_datapoint", 1, [STEADY[:1]]),
        ("get_latest_multi_datapoint", 1, [[{"time": BASE + 4999 * SECOND, "value": 2499.5, "status": 192}]]),
    ],
)  # fmt: skip
def test_points_in_every_form(results: dict[str, list[Any]], method: str, calls_each: int, expected: Any) -> None:
    answers = results[f"TimeseriesAPI.{method}"]
    extra = 1 if method == "get_datapoints" else 0  # The second page, in JSON only.
    in_form = [answers[:calls_each], *(answers[calls_each * n + extra : calls_each * (n + 1) + extra] for n in (1, 2))]
    for form, read in zip(in_form, (in_json, in_protobuf, in_protobuf), strict=True):
        assert [read(response) for response in form] == expected


def test_the_second_page(results: dict[str, list[Any]]) -> None:
    answers = results["TimeseriesAPI.get_datapoints"]
    assert in_json(answers[1]) == STEADY[40:]
    assert answers[1]["continuationToken"] is None


def test_failures_are_what_the_sdk_expects(results: dict[str, list[Any]]) -> None:
    *_, unknown, backwards, written = results["TimeseriesAPI.get_datapoints"]
    assert (unknown["failed"], backwards["failed"]) == (404, 400)
    assert unknown["traced"]
    assert in_json(written) == [{"time": BASE, "value": 1.5, "status": 192}]
    sent = results["TimeseriesAPI.write_data"]
    assert [response.get("statusCode") or response["failed"] for response in sent] == [200, 202, 400]
    assert results["TimeseriesAPI.get_timeseries_by_id"][-1]["failed"] == 404


def test_metadata(results: dict[str, list[Any]]) -> None:
    def names(method: str, call: int) -> list[str]:
        return [item["name"] for item in results[f"TimeseriesAPI.{method}"][call]["data"]["items"]]

    assert names("post_timeseries", 0) == ["made"]
    assert results["TimeseriesAPI.patch_timeseries"][0]["data"]["items"][0]["unit"] == "Pa"
    assert names("put_timeseries", 0) == names("get_timeseries_by_id", 0) == ["made again"]
    assert [names("get_timeseries", call) for call in range(3)] == [
        ["steady", "other"],
        ["empty", "written"],
        ["steady"],
    ]
    assert names("search_timeseries", 1) == ["made again"]
    assert names("search_timeseries", 2) == []
    assert names("get_or_add_timeseries", 0) == ["written"]
    assert len(results["TimeseriesAPI.get_history"][0]["data"]["items"]) == 2
    assert results["TimeseriesAPI.delete_timeseries_by_id"][0]["statusCode"] == 200
    facets = {"get_facilities": [("EMU", 4), ("1191", 1)], "get_sources": [("IMS", 3)], "get_sources_by_facility": [("IMS", 3)],
              "get_facilities_by_source": [("EMU", 3)]}  # fmt: skip
    for method, expected in facets.items():
        items = results[f"TimeseriesAPI.{method}"][0]["data"]["items"]
        assert sorted(tuple(item.values()) for item in items) == sorted(expected)


def test_the_rest(results: dict[str, list[Any]]) -> None:
    steady = identity("steady")
    assert results["TimeseriesAPI.get_streaming_subscriptions"][0]["data"]["items"][0]["id"] == steady
    for method in (
        "create_stream_subscription",
        "delete_stream_subscription",
        "set_stream_destination",
        "delete_data",
        "write_multiple",
    ):
        assert results[f"TimeseriesAPI.{method}"][0]["statusCode"] == 200
    tag = results["IMSMetadataAPI.search"][0]["data"]["items"][0]
    assert results["IMSMetadataAPI.search"][1]["data"]["items"] == [tag]
    assert results["IMSSubscriptionsAPI.search"][0]["continuationToken"]
    for method in ("search_by_uid", "search_by_timeseries_id"):
        assert results[f"IMSSubscriptionsAPI.{method}"][0]["data"]["items"][0]["timeseriesId"] == steady
    assert results["IMSSubscriptionsAPI.search_by_system_code"][0]["count"] == 4
    assert results["IMSSubscriptionsManagementAPI.get_subscription_counter_by_system_code"] == [
        {"quota": 100_000, "count": 4}
    ]
    patched = results["IMSSubscriptionsManagementAPI.patch_subscription_by_uid"][0]["data"]["items"][0]
    assert (patched["tsdbBackfilled"], patched["uid"]) == (True, tag["uid"])
