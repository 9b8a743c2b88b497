"""The companion APIs over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import identity

Start = Callable[..., EmulatorThread]
PLANT = {"PT-1": {"facility": "1191"}, "PT-2": {"facility": "1191", "unit": "bar"}, "TT-1": {"facility": "1219"}}


@pytest.fixture
def apis(emulator: Start) -> dict[str, str]:
    url = emulator(series=PLANT).url
    return {
        "metadata": url.replace("timeseries/v1.7", "ims-metadata/v1.3"),
        "subscriptions": url.replace("timeseries/v1.7", "ims-subscriptions/v1.2"),
        "management": url.replace("timeseries/v1.7", "ims-subscriptions-management/v1.2"),
    }


def items(response: requests.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]["items"]
    return found


def test_metadata(apis: dict[str, str], http: requests.Session) -> None:
    search = apis["metadata"] + "/search"
    assert [item["tag"] for item in items(http.get(search, params={"tag": "pt-*"}))] == ["PT-1", "PT-2"]
    found = items(http.get(search, params={"tag": "PT-2"}))[0]
    assert (found["id"], found["systemCode"], found["engUnits"]) == (identity("PT-2", "1191"), "PI-1191", "bar")
    assert items(http.get(search, params={"uid": found["uid"]})) == [found]
    assert len(items(http.get(search))) == 3
    assert items(http.get(search, params={"tag": "nothing"})) == []


@pytest.mark.parametrize("api", ["metadata", "subscriptions"])
def test_paging(apis: dict[str, str], http: requests.Session, api: str) -> None:
    url = apis[api] + ("/search" if api == "metadata" else "")
    seen, token = [], None
    while not seen or token:
        response = http.get(url, params={"limit": 2} | ({"continuationToken": token} if token else {}))
        seen.append([item["uid"] for item in items(response)])
        token = response.json()["continuationToken"]
    assert [len(page) for page in seen] == [2, 1]
    assert http.get(url, params={"continuationToken": "x"}).status_code == 400


def test_subscriptions(apis: dict[str, str], http: requests.Session) -> None:
    url, key = apis["subscriptions"], identity("TT-1", "1219")
    by_series = items(http.get(f"{url}/timeseriesId/{key}"))
    assert by_series[0]["timeseriesId"] == key
    assert items(http.get(f"{url}/uid/{by_series[0]['uid']}")) == by_series
    assert items(http.get(f"{url}/uid/nobody")) == items(http.get(f"{url}/timeseriesId/nobody")) == []
    of_system = http.get(f"{url}/pi-1191")
    assert [item["name"] for item in items(of_system)] == ["PT-1", "PT-2"]
    assert {"quota", "count"} <= set(of_system.json())
    assert http.get(f"{url}/PI-0000").status_code == 404


def test_management(apis: dict[str, str], http: requests.Session) -> None:
    url, uid = apis["management"], f"ims-{identity('PT-1', '1191')}"
    assert http.get(f"{url}/PI-1191/counter").json() == {"quota": 100_000, "count": 2}
    assert http.get(f"{url}/nothing/counter").status_code == 404
    patched = items(
        http.patch(f"{url}/uid/{uid}", json={"tsdbBackfilled": True, "tsdbEventsExported": 5, "terminal": "T"})
    )[0]
    assert (patched["tsdbBackfilled"], patched["tsdbEventsExported"], patched["terminal"]) == (True, 5, "T")
    reset = items(http.patch(f"{url}/uid/{uid}", json={"tsdbEventsExported": 6}, params={"resetState": "True"}))[0]
    assert (reset["tsdbBackfilled"], reset["tsdbEventsExported"], reset["terminal"]) == (False, 6, "T")
    assert items(http.get(f"{apis['subscriptions']}/uid/{uid}")) == [reset]
    assert http.patch(f"{url}/uid/{uid}", json={"colour": 1}).status_code == 400
    assert http.patch(f"{url}/uid/{uid}", json=[]).status_code == 400
    assert http.patch(f"{url}/uid/nobody", json={}).status_code == 404
