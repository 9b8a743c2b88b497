"""Writes, deletes and metadata over real sockets, against a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.emulator.common.points import as_points
from omnia_beam.emulator.common.source import StoredPoints
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, SECOND, identity
from tests.emulator.omnia.pages import from_json, text_of

Start = Callable[..., EmulatorThread]


def point(second: float, value: Any, status: Any = 192) -> dict[str, Any]:
    return {"time": text_of(BASE + round(second * SECOND)), "value": value, "status": status}


def stored(emulator: EmulatorThread, name: str, http: requests.Session) -> dict[float, tuple[float, int]]:
    rows, _, _ = from_json(http.get(f"{emulator.url}/{identity(name)}/data", params={"limit": 100_000}))
    return {(time_ns - BASE) / SECOND: (value, status) for time_ns, value, status in rows[identity(name)]}


SYNC = {"async": "false"}


def test_upserts_of_one_series(emulator: Start, http: requests.Session) -> None:
    running = emulator(series={"a": ([BASE, BASE + SECOND], [1.0, 2.0])})
    url = f"{running.url}/{identity('a')}/data"
    sent = [
        point(1, 20, 64),
        point(-1, -0.5),
        point(3, 1e-320, 0),
        point(3, 4, 2**32 - 1),
        {"time": text_of(BASE + 9 * SECOND), "value": 9},
    ]
    response = http.post(url, json={"datapoints": sent}, params=SYNC)
    assert (response.status_code, set(response.json())) == (200, {"statusCode", "message", "traceId"})
    assert stored(running, "a", http) == {
        -1: (-0.5, 192),
        0: (1.0, 192),
        1: (20.0, 64),
        3: (4.0, 2**32 - 1),
        9: (9.0, 192),
    }
    assert running.stats()["points_written"] == 5


def test_writes_of_many_series_are_all_or_nothing(emulator: Start, http: requests.Session) -> None:
    running = emulator(series={"a": ([], []), "b": ([], [])})

    def items(last: Any) -> dict[str, Any]:
        return {
            "items": [
                {"id": identity("a"), "datapoints": [point(0, 1)]},
                {"id": identity("b"), "datapoints": [point(0, 2), last]},
            ]
        }

    for bad in (point(1, "3"), point(1, None), {"value": 1}, point(1, 1, -1)):
        assert http.post(f"{running.url}/data", json=items(bad), params=SYNC).status_code == 400
    unknown = {"items": [*items(point(1, 1))["items"], {"id": "nobody", "datapoints": []}]}
    assert http.post(f"{running.url}/data", json=unknown, params=SYNC).status_code == 404
    assert stored(running, "a", http) == {}
    assert http.post(f"{running.url}/data", json=items(point(1, 3)), params={"async": "False"}).status_code == 200
    assert stored(running, "b", http) == {0: (2.0, 192), 1: (3.0, 192)}


def _one(time: str = '"2024-01-01"', value: str = "1", status: str = "192") -> bytes:
    return f'{{"datapoints": [{{"time": {time}, "value": {value}, "status": {status}}}]}}'.encode()


_BAD_VALUES = ("NaN", "Infinity", "1e999", "true", '"1"', "null")
_BAD_TIMES = ("5", '"today"', '"3024-01-01"', "null")
_BAD_STATUSES = ("1.5", "4294967296", "true", '"192"')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"datapoints": {}}',
        b'{"datapoints": [1]}',
        *(_one(value=value) for value in _BAD_VALUES),
        *(_one(time=time) for time in _BAD_TIMES),
        *(_one(status=status) for status in _BAD_STATUSES),
    ],
)
def test_what_a_write_may_not_be(emulator: Start, http: requests.Session, body: bytes) -> None:
    running = emulator()
    response = http.post(f"{running.url}/{identity('empty')}/data", data=body, params=SYNC)
    assert response.status_code == 400, response.text
    assert response.json()["statusCode"] == 400
    assert stored(running, "empty", http) == {}


def test_times_are_cut_to_what_json_can_hold(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    sent = [
        {"time": "2023-11-14T22:13:20.123456789Z", "value": 1},
        {"time": "2023-11-14T23:13:20.1234567+01:00", "value": 2},
    ]
    assert (
        http.post(f"{running.url}/{identity('empty')}/data", json={"datapoints": sent}, params=SYNC).status_code == 200
    )
    assert stored(running, "empty", http) == {0.1234567: (2.0, 192)}


def test_limits_of_a_write(emulator: Start, http: requests.Session) -> None:
    running = emulator("--max-body", "600", "--max-write-points", "3")
    url = f"{running.url}/{identity('empty')}/data"

    def status(content: Any) -> int:
        return http.post(url, json=content, params=SYNC).status_code

    assert status({"datapoints": [point(second, 1) for second in range(3)]}) == 200
    assert status({"datapoints": [point(second, 1) for second in range(4)]}) == 413
    assert status({"datapoints": [point(0, 1)], "filler": "x" * 1000}) == 413
    chunked = http.post(url, data=iter([b'{"datapoints": [', b" " * 700, b"]}"]), params=SYNC)
    assert (chunked.status_code, chunked.json()["statusCode"]) == (413, 413)
    too_many = {"items": [{"id": identity("empty"), "datapoints": []}] * 101}
    assert http.post(f"{emulator().url}/data", json=too_many, params=SYNC).status_code == 400


@pytest.mark.parametrize("params", [{}, {"async": "true"}, {"async": "True"}])
def test_queued_writes_become_visible_later(emulator: Start, http: requests.Session, params: dict[str, str]) -> None:
    slow, quick = emulator("--async-delay-ms", "600000"), emulator("--async-delay-ms", "20")
    for running in (slow, quick):
        url = f"{running.url}/{identity('empty')}/data"
        assert http.post(url, json={"datapoints": [point(0, 1)]}, params=params).status_code == 202
    while not stored(quick, "empty", http):
        pass
    assert stored(quick, "empty", http) == {0: (1.0, 192)}
    assert stored(slow, "empty", http) == {}


def test_deletes(emulator: Start, http: requests.Session) -> None:
    running = emulator(series={"a": (BASE + np.arange(10) * SECOND, np.arange(10) * 1.0)})
    url = f"{running.url}/{identity('a')}/data"
    window = {"startTime": text_of(BASE + 2 * SECOND), "endTime": text_of(BASE + 5 * SECOND)}
    assert http.delete(url, params=window).json()["statusCode"] == 200
    assert sorted(stored(running, "a", http)) == [0, 1, 5, 6, 7, 8, 9]
    http.delete(url, params={"endTime": text_of(BASE + SECOND)})
    http.delete(url, params={"startTime": text_of(BASE + 9 * SECOND)})
    assert sorted(stored(running, "a", http)) == [1, 5, 6, 7, 8]
    assert http.delete(url, params={"startTime": window["endTime"], "endTime": window["startTime"]}).status_code == 400
    assert http.delete(f"{running.url}/nobody/data").status_code == 404
    http.delete(url)
    assert stored(running, "a", http) == {}
    assert running.stats()["points_deleted"] == 10


def test_writing_to_a_synthetic_series_changes_just_that(emulator: Start, http: requests.Session) -> None:
    running = emulator("--synthetic", "dense:series=2,days=1,step=1m", series={})
    series, other = running.store.listed()
    before, untouched = series.points(), other.points()
    sent = [
        {"time": "2024-01-01T00:01:00Z", "value": 5, "status": 1},
        {"time": "2024-01-01T00:01:30Z", "value": 6, "status": 2},
    ]
    assert http.post(f"{running.url}/{series.id}/data", json={"datapoints": sent}, params=SYNC).status_code == 200
    after = series.points()
    assert len(after) == len(before) + 1
    assert after.values[:4].tolist() == [before.values[0], 5.0, 6.0, before.values[2]]
    assert np.array_equal(after.values[4:], before.values[3:])
    assert np.array_equal(other.points().values, untouched.values)


_STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12),
        st.tuples(st.one_of(st.none(), st.integers(0, 60)), st.one_of(st.none(), st.integers(0, 60))),
        st.just("read"),
    ),
    max_size=25,
)


@given(_STEPS)
@settings(max_examples=300)
def test_stored_points_behave_like_a_dictionary(steps: list[Any]) -> None:
    real, model = StoredPoints(), {}
    views = []
    for step in steps:
        if isinstance(step, list):
            real.write(as_points([time for time, _ in step], [value for _, value in step]))
            model.update(step)
        elif step == "read":
            view = real.read(0, real.count())
            views.append((view, view.times.tolist(), view.values.tolist()))
            assert dict(zip(view.times.tolist(), view.values.tolist(), strict=True)) == model
            assert view.times.tolist() == sorted(model)
        else:
            low, high = step
            gone = [time for time in model if (low is None or time >= low) and (high is None or time < high)]
            assert real.delete(low, high) == len(gone)
            for time in gone:
                del model[time]
    assert real.read(0, real.count()).times.tolist() == sorted(model)
    for view, times, values in views:  # What was read once never changes under the reader.
        assert (view.times.tolist(), view.values.tolist()) == (times, values)


def test_creating_changing_and_deleting_a_series(emulator: Start, http: requests.Session) -> None:
    running = emulator(series={})
    wanted = {"name": "1191-PT-1", "facility": "1191", "unit": "bar", "metadata": {"a": 1}, "nonsense": 3}
    made = http.post(running.url, json=wanted)
    item = made.json()["data"]["items"][0]
    assert made.status_code == 201
    assert (item["id"], item["unit"], item["metadata"], "nonsense" in item) == (
        identity("1191-PT-1", "1191"),
        "bar",
        {"a": 1},
        False,
    )
    twice = http.post(running.url, json=wanted | {"facility": "1191"})
    assert twice.status_code == 409
    assert twice.json()["message"] == "Attempt to store timeseries '1191-PT-1' from '1191' which already exists"
    url = f"{running.url}/{item['id']}"
    changed = http.patch(url, json={"unit": "Pa", "step": True}).json()["data"]["items"][0]
    assert (changed["unit"], changed["step"], changed["metadata"]) == ("Pa", True, {"a": 1})
    replaced = http.put(url, json={"name": "1191-PT-2", "facility": "1191"}).json()["data"]["items"][0]
    assert (replaced["name"], replaced["unit"], replaced["step"], replaced["metadata"]) == (
        "1191-PT-2",
        None,
        False,
        {},
    )
    history = http.get(f"{url}/history").json()["data"]["items"]
    assert [set(entry["changes"]) for entry in history] == [{"unit", "step"}, {"name", "unit", "step", "metadata"}]
    assert history[0]["changes"]["unit"] == {"oldValue": "bar", "newValue": "Pa"}
    assert set(history[0]) == {"changedBy", "changedTime", "changes"}
    assert (
        http.post(running.url, json=wanted).json()["data"]["items"][0]["id"] != item["id"]
    )  # The old name, a new series.
    assert http.patch(url, json={"name": "1191-PT-1"}).status_code == 409
    assert http.delete(url).json()["statusCode"] == 200
    assert http.get(url).status_code == http.get(f"{url}/history").status_code == http.delete(url).status_code == 404
    again = http.post(running.url, json={"name": "1191-PT-2", "facility": "1191"}).json()["data"]["items"][0]
    assert again["id"] != item["id"]


@pytest.mark.parametrize(
    "body",
    [[], {}, {"name": "a"}, {"facility": "a"}, {"name": "", "facility": "a"}, {"name": 3, "facility": "a"},
     {"name": "a", "facility": "b", "step": "yes"}, {"name": "a", "facility": "b", "metadata": []},
     {"name": "a", "facility": "b", "metadata": {str(key): 1 for key in range(18)}}, {"name": "a", "facility": "b", "unit": 1}],
)  # fmt: skip
def test_metadata_that_is_refused(emulator: Start, http: requests.Session, body: Any) -> None:
    running = emulator()
    assert http.post(running.url, json=body).status_code == 400
    assert http.put(f"{running.url}/{identity('steady')}", json=body).status_code == 400


def test_get_or_add(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    wanted = [
        {"name": "steady", "facility": "emu"},
        {"name": "new", "facility": "EMU", "unit": "m"},
        {"name": "new", "facility": "EMU"},
    ]
    items = http.post(f"{running.url}/getoradd", json=wanted).json()["data"]["items"]
    assert [item["id"] for item in items] == [identity("steady"), identity("new"), identity("new")]
    assert items[2]["unit"] == "m"
    assert http.post(f"{running.url}/getoradd", json={"name": "x"}).status_code == 400


def test_facets(emulator: Start, http: requests.Session) -> None:
    plant = {"a": {"facility": "1191"}, "b": {"facility": "1191", "source": "PI"}, "c": {"facility": "1219"}}
    url = emulator(series=plant).url + "/facets"

    def counts(path: str) -> dict[str, int]:
        items = http.get(url + path).json()["data"]["items"]
        return {item.get("facility") or item["source"]: item["count"] for item in items}

    assert counts("/facility") == {"1191": 2, "1219": 1}
    assert counts("/facility?source=ims") == {"1191": 1, "1219": 1}
    assert counts("/source") == {"IMS": 2, "PI": 1}
    assert counts("/source?facility=1219") == {"IMS": 1}


def test_streaming_subscriptions(emulator: Start, http: requests.Session) -> None:
    running = emulator()
    url = f"{running.url}/streaming/subscriptions"

    def ids() -> list[str]:
        items = http.get(url).json()["data"]["items"]
        assert all(set(item) == {"id", "customerId"} for item in items)
        return [item["id"] for item in items]

    assert ids() == []
    body = [{"id": identity("steady")}, {"id": identity("other")}, {"id": identity("steady")}]
    assert http.post(url, json=body).json()["statusCode"] == 200
    assert ids() == [identity("steady"), identity("other")]
    assert http.post(url, json=[{"id": "nobody"}]).status_code == 404
    assert http.post(url, json={"id": identity("steady")}).status_code == 400
    assert http.delete(f"{url}/{identity('steady')}").status_code == 200
    assert http.delete(f"{url}/{identity('steady')}").status_code == 404
    assert ids() == [identity("other")]
    destination = f"{running.url}/streaming/destination"
    assert (
        http.post(destination, json={"connectionString": "Endpoint=sb://x;SharedAccessKey=s3cret"}).status_code == 200
    )
    assert http.post(destination, json={}).status_code == 400
