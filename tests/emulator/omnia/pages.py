"""Answers of the emulator as rows, read by means that are not its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import requests

from tests.emulator.conftest import SECOND
from tests.emulator.omnia.messages import Page, table

PROTOBUF = ("application/protobuf", "application/x-google-protobuf", "application/x-protobuf")
Row = tuple[int, float, int]


def text_of(time_ns: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // SECOND)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ns % SECOND // 100:07d}Z"


def ns_of(text: str) -> int:
    moment, _, fraction = text.removesuffix("Z").partition(".")
    since = datetime.fromisoformat(moment + "+00:00") - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + int(fraction.ljust(9, "0"))


def from_protobuf(response: requests.Response) -> tuple[dict[str, list[Row]], dict[str, int], str]:
    page = Page.FromString(response.content)
    rows, totals = {}, {}
    for item in page.data:
        columns = table(item)
        assert list(item.fields) == ["time", "value", "status"]
        rows[item.id] = list(zip(columns["time"], columns["value"], columns["status"], strict=True))
        totals[item.id] = item.totalCount
    return rows, totals, page.continuationToken


def from_json(response: requests.Response) -> tuple[dict[str, list[Row]], dict[str, int], str]:
    body = response.json()
    items = body["data"]["items"]
    assert body["count"] == len(items)
    rows = {
        item["id"]: [(ns_of(point["time"]), float(point["value"]), point["status"]) for point in item["datapoints"]]
        for item in items
    }
    return rows, {item["id"]: item["totalCount"] for item in items}, body["continuationToken"] or ""


def read_all(ask: Callable[[str], requests.Response]) -> tuple[dict[str, list[Row]], dict[str, int], int]:
    """Every row of every page, the total of each series, and the number of pages."""
    rows: dict[str, list[Row]] = {}
    totals: dict[str, int] = {}
    token, pages = "", 0
    while True:
        response = ask(token)
        assert response.status_code == 200, response.text
        read = from_json if response.headers["Content-Type"].startswith("application/json") else from_protobuf
        found, counts, token = read(response)
        pages += 1
        for key, part in found.items():
            assert totals.setdefault(key, counts[key]) == counts[key], "the total of a query changed between pages"
            rows.setdefault(key, []).extend(part)
        if not token:
            return rows, totals, pages
        assert pages < 500
