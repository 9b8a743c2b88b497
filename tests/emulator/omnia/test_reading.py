"""Reading points over real sockets, in every form and by every path, against a reading by brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, KNOWN, SECOND, identity
from tests.emulator.omnia.pages import PROTOBUF, Row, from_json, from_protobuf, read_all, text_of

Start = Callable[..., EmulatorThread]


def by_hand(points: Points, start: int | None, stop: int | None, statuses: list[int], outside: bool) -> list[Row]:
    rows = list(zip(points.times.tolist(), points.values.tolist(), points.statuses.tolist(), strict=True))
    wanted = [row for row in rows if not statuses or row[2] in statuses]
    inside = [row for row in wanted if (start is None or row[0] >= start) and (stop is None or row[0] < stop)]
    if not outside:
        return inside
    before = [row for row in wanted if start is not None and row[0] < start][-1:]
    after = [row for row in wanted if stop is not None and row[0] >= stop][:1]
    return before + inside + after


@pytest.fixture(scope="module")
def shared() -> Any:
    """One emulator for the properties, and its HTTP session."""
    with (
        EmulatorThread(["--synthetic", "bursty:series=1,days=2"], series=KNOWN) as thread,
        requests.Session() as session,
    ):
        yield thread, session


_TIMES = st.one_of(st.none(), st.integers(-3, 5004).map(lambda second: BASE + second * SECOND + 0))
_QUERIES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["steady", "other", "empty"]),
        "start": _TIMES,
        "length": st.one_of(st.none(), st.integers(0, 3000)),
        "shift": st.sampled_from([0, 100, SECOND - 100]),
        "statuses": st.sampled_from([[], [192], [64], [192, 64], [7]]),
        "outside": st.booleans(),
        "limit": st.sampled_from([None, 1, 7, 1000, 100_000]),
        "accept": st.sampled_from(["application/json", *PROTOBUF]),
    }
)


@pytest.mark.long
@given(_QUERIES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_series_is_what_a_reading_by_hand_gives(shared: Any, asked: dict[str, Any]) -> None:
    emulator, session = shared
    start = None if asked["start"] is None else asked["start"] + asked["shift"]
    stop = None if asked["length"] is None else (start or BASE) + asked["length"] * SECOND
    if asked["limit"] in (1, 7):  # No thousands of pages.
        stop = (start or BASE) + min(asked["length"] or 60, 60) * SECOND
    stop = stop if start is None or stop is None else max(start, stop)
    query: dict[str, Any] = {"status": asked["statuses"], "includeOutsidePoints": str(asked["outside"])}
    query |= {"startTime": text_of(start)} if start is not None else {}
    query |= {"endTime": text_of(stop)} if stop is not None else {}
    query |= {"limit": asked["limit"]} if asked["limit"] else {}
    key = identity(asked["name"])

    def ask(token: str) -> requests.Response:
        more = {"continuationToken": token} if token else {}
        return session.get(f"{emulator.url}/{key}/data", params=query | more, headers={"Accept": asked["accept"]})

    rows, totals, pages = read_all(ask)
    expected = by_hand(emulator.store.series[key].points(), start, stop, asked["statuses"], asked["outside"])
    assert rows[key] == expected
    assert totals[key] == len(expected)
    assert pages == max(1, -(-len(expected) // (asked["limit"] or 1000)))


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF[0]])
@pytest.mark.parametrize("scope", ["item", "answer"])
def test_many_series_with_windows_of_their_own(
    emulator: Start, http: requests.Session, scope: str, accept: str
) -> None:
    running = emulator("--limit-scope", scope, "--synthetic", "sparse:series=20,days=1")
    keys = [series.id for series in running.store.listed()]
    items = [
        {
            "id": key,
            "limit": 100 + number % 3 * 50,
            "startTime": text_of(BASE + number * SECOND) if number > 19 else None,
        }
        for number, key in enumerate(keys)
    ]
    items[-1] |= {"statusFilter": [64], "includeOutsidePoints": True}
    seen: list[list[str]] = []

    def ask(token: str) -> requests.Response:
        response = http.post(
            f"{running.url}/query/data",
            json=items,
            params={"continuationToken": token} if token else {},
            headers={"Accept": accept},
        )
        rows, _, _ = (from_json if accept == "application/json" else from_protobuf)(response)
        seen.append(list(rows))
        largest = max(int(str(item["limit"])) for item in items)
        if scope == "answer":
            assert sum(map(len, rows.values())) <= largest
        else:
            assert all(len(part) <= largest for part in rows.values())
        return response

    rows, totals, pages = read_all(ask)
    for number, key in enumerate(keys):
        start = BASE + number * SECOND if number > 19 else None
        last = number == len(keys) - 1
        expected = by_hand(running.store.series[key].points(), start, None, [64] if last else [], last)
        assert rows[key] == expected
        assert totals[key] == len(expected)
    assert pages > 10
    assert (len(seen[0]) == len(keys)) == (scope == "item")


def test_the_same_series_twice_in_one_request(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    items = [{"id": identity("steady"), "limit": 2, "startTime": text_of(BASE + second * SECOND)} for second in (0, 10)]
    body = http.post(f"{running.url}/query/data", json=items).json()
    assert [[point["value"] for point in item["datapoints"]] for item in body["data"]["items"]] == [
        [0.0, 0.5],
        [5.0, 5.5],
    ]


def test_inclusive_end(emulator: Start, http: requests.Session) -> None:
    window = {"startTime": text_of(BASE), "endTime": text_of(BASE + 3 * SECOND)}
    counts = {}
    for kind in ("exclusive", "inclusive"):
        running = emulator("--end-time", kind)
        one = from_json(http.get(f"{running.url}/{identity('steady')}/data", params=window))
        many = from_json(http.post(f"{running.url}/query/data", json=[{"id": identity("steady")} | window]))
        assert one == many
        counts[kind] = one[1][identity("steady")]
        outside = from_json(
            http.get(f"{running.url}/{identity('steady')}/data", params=window | {"includeOutsidePoints": "true"})
        )
        assert outside[1][identity("steady")] == counts[kind] + 1
    assert counts == {"exclusive": 3, "inclusive": 4}


def test_by_name(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    params: dict[str, Any] = {"name": "steady", "facility": "emu", "limit": 2, "terminal": "T1"}
    item = http.get(f"{running.url}/query/data", params=params).json()["data"]["items"][0]
    assert (item["id"], item["name"], item["facility"], item["terminal"]) == (identity("steady"), "steady", "EMU", "T1")
    assert len(item["datapoints"]) == 2
    answers = {
        400: {"name": "steady", "facility": "elsewhere"},
        404: {"name": "unsteady", "facility": "EMU"},
    }
    for status, asked in answers.items():
        response = http.get(f"{running.url}/query/data", params=asked)
        assert (response.status_code, response.json()["statusCode"]) == (status, status)
    assert http.get(f"{running.url}/query/data", params={"name": "steady"}).status_code == 400


def test_json_has_seven_decimals_and_strings_for_what_json_has_not(emulator: Start, http: requests.Session) -> None:
    series = {"odd": ([-101, -1, 0, 199], [float("nan"), float("inf"), -float("inf"), -0.0], [0, 1, 2, 2**32 - 1])}
    running = emulator(series=series)
    text = http.get(f"{running.url}/{identity('odd')}/data").text
    assert '"time":"1969-12-31T23:59:59.9999998Z","value":"NaN","status":0' in text
    assert '"time":"1969-12-31T23:59:59.9999999Z","value":"Infinity","status":1' in text
    assert '"time":"1970-01-01T00:00:00.0000000Z","value":"-Infinity","status":2' in text
    assert '"time":"1970-01-01T00:00:00.0000001Z","value":-0.0,"status":4294967295' in text


def test_values_are_exact_in_both_forms(emulator: Start, http: requests.Session) -> None:
    running = emulator("--synthetic", "hostile", series={})
    for series in running.store.listed():
        points = series.points(None, None).take(slice(0, 5000))
        url = f"{running.url}/{series.id}/data?limit=5000"
        rows, totals, _ = from_protobuf(http.get(url, headers={"Accept": PROTOBUF[0]}))
        got = list(zip(*rows[series.id], strict=True)) or [[], [], []]
        assert list(got[0]) == points.times.tolist()
        assert np.array(got[1]).view("u8").tolist() == points.values.view("u8").tolist()
        assert list(got[2]) == points.statuses.tolist()
        assert totals[series.id] == series.complete().count()
        rows, _, _ = from_json(http.get(url))
        assert [row[0] for row in rows[series.id]] == (points.times // 100 * 100).tolist()
        np.testing.assert_array_equal([row[1] for row in rows[series.id]], points.values)


@pytest.mark.parametrize("accept", [None, "application/json", "text/html", "*/*"])
def test_json_is_what_those_get_who_ask_for_nothing_else(
    emulator: Start, http: requests.Session, accept: str | None
) -> None:
    running = emulator()
    response = http.get(f"{running.url}/{identity('steady')}/data", headers={"Accept": accept})
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", [*PROTOBUF, "application/json;q=0.5, application/x-protobuf;q=0.9"])
def test_protobuf_answers_name_the_spelling_that_was_asked_for(
    emulator: Start, http: requests.Session, accept: str
) -> None:
    url = f"/{identity('steady')}/data?limit=3"
    on, off = emulator(), emulator("--protobuf", "off")
    response = http.get(on.url + url, headers={"Accept": accept})
    assert response.headers["Content-Type"] in accept
    assert len(from_protobuf(response)[0][identity("steady")]) == 3
    assert http.get(off.url + url, headers={"Accept": accept}).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("way", ["first", "latest"])
@pytest.mark.parametrize("accept", ["application/json", PROTOBUF[0]])
def test_first_and_latest(emulator: Start, http: requests.Session, way: str, accept: str) -> None:
    running, key = emulator(), identity("steady")
    read = from_json if accept == "application/json" else from_protobuf
    headers = {"Accept": accept}
    place = 0 if way == "first" else -1
    for after, before, statuses in (
        (None, None, []),
        (10, 20, []),
        (10, 20, [64]),
        (4999, None, [192]),
        (9000, None, []),
    ):
        params: dict[str, Any] = {"status": statuses}
        params |= {"afterTime": text_of(BASE + after * SECOND)} if after is not None else {}
        params |= {"beforeTime": text_of(BASE + before * SECOND)} if before is not None else {}
        points = running.store.series[key].points()
        rows = by_hand(
            points,
            None if after is None else BASE + after * SECOND,
            None if before is None else BASE + before * SECOND,
            statuses,
            False,
        )
        expected = [rows[place]] if rows else []
        one = read(http.get(f"{running.url}/{key}/data/{way}", params=params, headers=headers))
        assert one[0] == {key: expected}
        item = {
            "id": key,
            "startTime": params.get("afterTime"),
            "endTime": params.get("beforeTime"),
            "statusFilter": statuses,
        }
        many = read(
            http.post(f"{running.url}/query/data/{way}", json=[item, {"id": identity("empty")}], headers=headers)
        )
        assert many[0] == {key: expected, identity("empty"): []}


_BAD = [
    (404, "/0d9f43b4-5f64-4a0c-8e75-0f00000000ff/data", {}),
    (404, "/no-guid/data", {}),
    (400, "/{id}/data", {"startTime": "yesterday"}),
    (400, "/{id}/data", {"endTime": "2024-01-01T00:00:00 01:00"}),
    (400, "/{id}/data", {"startTime": "2024-01-02", "endTime": "2024-01-01"}),
    (400, "/{id}/data", {"limit": 0}),
    (400, "/{id}/data", {"limit": 100_001}),
    (400, "/{id}/data", {"limit": "many"}),
    (400, "/{id}/data", {"status": "good"}),
    (400, "/{id}/data", {"status": -1}),
    (400, "/{id}/data", {"includeOutsidePoints": "maybe"}),
    (400, "/{id}/data", {"federationSource": "Lake"}),
    (400, "/{id}/data", {"continuationToken": "made-up"}),
    (400, "/{id}/data/first", {"afterTime": "x"}),
    (404, "/{id}/dat", {}),
]


@pytest.mark.parametrize(("status", "path", "params"), _BAD)
def test_what_the_service_refuses(emulator: Start, http: requests.Session, status: int, path: str, params: Any) -> None:
    response = http.get(emulator().url + path.replace("{id}", identity("steady")), params=params)
    body = response.json()
    assert (response.status_code, body["statusCode"]) == (status, status)
    assert set(body) == {"statusCode", "message", "traceId"}
    assert len(body["traceId"]) == 32


@pytest.mark.parametrize(
    "items",
    [[], {}, [1], [{}], [{"id": 3}], [{"id": "x"}] * 101, [{"limit": 1.5}], [{"statusFilter": [True]}], [{"startTime": 3}],
     [{"statusFilter": 192}], [{"includeOutsidePoints": "perhaps"}]],
)  # fmt: skip
def test_requests_for_many_that_are_refused(emulator: Start, http: requests.Session, items: Any) -> None:
    if isinstance(items, list) and items and isinstance(items[0], dict) and items[0] and "id" not in items[0]:
        items = [{"id": identity("steady")} | items[0]]
    response = http.post(f"{emulator().url}/query/data", json=items)
    assert response.status_code == 400, response.text


def test_a_body_that_is_no_json(emulator: Start, http: requests.Session) -> None:
    assert http.post(f"{emulator().url}/query/data", data=b'[{"id": NaN}]').status_code == 400


def test_booleans_and_sources_in_any_case(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    for word in ("True", "true", "FALSE", "false"):
        params = {"includeOutsidePoints": word, "debug": word, "federationSource": "ims"}
        body = http.get(f"{running.url}/{identity('steady')}/data", params=params).json()
        assert body["federated"] is True
    assert http.get(f"{running.url}/{identity('steady')}/data").json()["federated"] is False


def test_the_lake_is_two_days_behind(emulator: Start, http: requests.Session) -> None:
    running = emulator("--now", text_of(BASE + 2 * 86_400 * SECOND + 100 * SECOND), "--clock-rate", "0")
    url = f"{running.url}/{identity('steady')}/data?federationSource="
    totals = {
        source: from_json(http.get(url + source))[1][identity("steady")] for source in ("DataLake", "TSDB", "IMS")
    }
    assert totals == {"DataLake": 100, "TSDB": 5000, "IMS": 5000}


def test_gzip_only_where_both_want_it(emulator: Start, http: requests.Session) -> None:
    on, off = emulator("--gzip"), emulator()
    path = f"/{identity('steady')}/data"
    plain = http.get(off.url + path, headers={"Accept-Encoding": "gzip"})
    packed = http.get(on.url + path, headers={"Accept-Encoding": "gzip"})
    unwanted = http.get(on.url + path, headers={"Accept-Encoding": "identity"})
    assert [response.headers.get("Content-Encoding") for response in (plain, packed, unwanted)] == [None, "gzip", None]
    assert plain.json()["data"] == packed.json()["data"] == unwanted.json()["data"]
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 3
