"""Every kind of fault over real sockets: that it happens, how often, and that the truth survives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests

from omnia_beam.emulator.common.serving.faults import FaultBook, parse_rule, rejected
from omnia_beam.emulator.omnia.faults import KINDS
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, SECOND, identity
from tests.emulator.omnia.messages import Page
from tests.emulator.omnia.pages import PROTOBUF, from_json, from_protobuf, text_of

Start = Callable[..., EmulatorThread]
STEADY = f"/{identity('steady')}/data"
GONE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def get(running: EmulatorThread, session: requests.Session, **params: Any) -> requests.Response:
    return session.get(running.url + STEADY, params={"limit": 1000} | params, timeout=30)


def values(response: requests.Response) -> list[float]:
    return [row[1] for row in from_json(response)[0][identity("steady")]]


def test_a_status_with_its_rate_is_the_same_for_the_same_seed(emulator: Start, http: requests.Session) -> None:
    def statuses(seed: str) -> list[int]:
        running = emulator("--seed", seed, "--fault", "path=/data method=GET status=503 rate=0.3")
        return [get(running, http, limit=1).status_code for _ in range(60)]

    first = statuses("1")
    assert first == statuses("1") != statuses("2")
    assert 6 <= first.count(503) <= 30
    assert set(first) == {200, 503}


def test_filters(emulator: Start, http: requests.Session) -> None:
    running = emulator(
        "--fault", "path=/data$ method=get status=502 after=2 count=3", "--fault", "path=/history status=404"
    )
    assert [get(running, http).status_code for _ in range(7)] == [200, 200, 502, 502, 502, 200, 200]
    assert http.get(f"{running.url}{STEADY}/first").status_code == 200
    assert http.get(running.url + STEADY.replace("/data", "/history")).status_code == 404
    assert running.stats()["faults"] == {"status_404": 1, "status_502": 3}
    assert running.stats()["faults_total"] == 4


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("status=429 retry_after=7", (429, "7", "application/json")),
        ("status=503 retry_after=date body=html", (503, "GMT", "text/html")),
        ("status=502 body=empty", (502, None, None)),
        ("status=401", (401, None, "application/json")),
    ],
)
def test_what_a_status_comes_with(emulator: Start, http: requests.Session, rule: str, expected: Any) -> None:
    response = get(emulator("--fault", rule), http)
    status, header, media_type = expected
    assert response.status_code == status
    assert (response.headers.get("Retry-After") or "").endswith(header or "")
    assert (header is None) == ("Retry-After" not in response.headers)
    if media_type is None:
        assert response.content == b""
    else:
        assert response.headers["Content-Type"].startswith(media_type)
        assert (b"<html>" in response.content) == (media_type == "text/html")


def test_rules_change_at_run_time(emulator: Start, http: requests.Session) -> None:
    running = emulator("--fault", "status=500")
    assert get(running, http).status_code == 500
    running.set_faults([])
    assert get(running, http).status_code == 200
    running.set_faults(["status=418 count=1", "wrong_total=5"])
    assert http.get(f"{running.url}/_emulator/faults").json() == ["status=418 count=1", "wrong_total=5"]
    assert get(running, http).status_code == 418
    with pytest.raises(ValueError, match="unknown"):
        running.set_faults(["wrong_total", "explode"])
    assert len(http.get(f"{running.url}/_emulator/faults").json()) == 2
    for body in (b"", b"{}", b"[1]"):
        assert http.post(f"{running.url}/_emulator/faults", data=body).status_code == 400
    assert urlsplit(running.url).path not in http.get(f"{running.url.split('/plant')[0]}/_emulator/stats").text


def test_a_body_that_is_cut_off(emulator: Start, http: requests.Session) -> None:
    running = emulator("--fault", "truncate")
    with pytest.raises(GONE):
        get(running, http)
    response = http.get(running.url + STEADY, stream=True)
    assert response.status_code == 200
    got = response.raw.read(int(response.headers["Content-Length"]) // 2)
    assert len(got) == int(response.headers["Content-Length"]) // 2


@pytest.mark.parametrize("kind", ["reset", "reset_after_apply"])
def test_resets(emulator: Start, http: requests.Session, kind: str) -> None:
    running = emulator("--fault", f"method=POST {kind}")
    url = f"{running.url}/{identity('empty')}/data?async=false"
    body = {"datapoints": [{"time": text_of(BASE), "value": 1.0}]}
    with pytest.raises(requests.ConnectionError, match=r"reset|aborted|pipe"):
        http.post(url, json=body)
    found = from_json(http.get(f"{running.url}/{identity('empty')}/data"))[0][identity("empty")]
    assert found == ([(BASE, 1.0, 192)] if kind == "reset_after_apply" else [])
    assert running.stats()["faults"] == {kind: 1}
    assert running.stats()["requests"]["POST /{id}/data"] == {"reset": 1}


def test_a_stall_is_longer_than_a_client_waits(emulator: Start, http: requests.Session) -> None:
    running = emulator("--fault", "stall=30 count=1")
    with pytest.raises(requests.ReadTimeout):
        http.get(running.url + STEADY, timeout=0.2)
    assert get(running, http).status_code == 200


def test_a_slow_body_comes_whole(emulator: Start, http: requests.Session) -> None:
    running = emulator("--fault", "slow=100000 count=1")
    slow, quick = get(running, http, limit=300), get(running, http, limit=300)
    assert slow.json()["data"] == quick.json()["data"]


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF[0]])
def test_garbage(emulator: Start, http: requests.Session, accept: str) -> None:
    response = http.get(emulator("--fault", "garbage").url + STEADY, headers={"Accept": accept})
    assert (response.status_code, response.headers["Content-Type"]) == (200, accept)
    with pytest.raises(Exception, match=r".+"):
        Page.FromString(response.content) if accept == PROTOBUF[0] else response.json()


def test_a_redirect_keeps_path_and_query(emulator: Start, http: requests.Session) -> None:
    target = emulator()
    host = "{0.scheme}://{0.netloc}".format(urlsplit(target.url))
    running = emulator("--fault", f"redirect={host}")
    response = http.get(running.url + STEADY, params={"limit": 3}, allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (302, f"{target.url}{STEADY}?limit=3")
    assert len(values(get(running, http, limit=3))) == 3


def pages(running: EmulatorThread, session: requests.Session, limit: int = 1000, most: int = 30) -> list[list[float]]:
    found, token = [], None
    while len(found) < most:
        response = get(running, session, limit=limit, **({"continuationToken": token} if token else {}))
        assert response.status_code == 200, response.text
        found.append(values(response))
        token = response.json()["continuationToken"]
        if not token:
            break
    return found


def test_a_page_twice(emulator: Start, http: requests.Session) -> None:
    running = emulator("--fault", "duplicate_page after=1 count=1")
    whole = pages(emulator(), http)
    assert pages(running, http) == [whole[0], whole[1], whole[1], *whole[2:]]
    assert running.stats()["faults"] == {"duplicate_page": 1}


def test_a_page_for_ever(emulator: Start, http: requests.Session) -> None:
    whole = pages(emulator(), http)
    assert pages(emulator("--fault", "repeat_page after=1"), http, most=6) == [whole[0], *[whole[1]] * 5]
    assert pages(emulator("--fault", "repeat_page after=1 count=2"), http) == [
        whole[0],
        whole[1],
        whole[1],
        whole[1],
        *whole[2:],
    ]


def test_points_in_another_order(emulator: Start, http: requests.Session) -> None:
    whole, shuffled = pages(emulator(), http), pages(emulator("--fault", "reorder after=2 count=1"), http)
    assert shuffled[2] != whole[2]
    assert sorted(shuffled[2]) == whole[2]
    assert shuffled[:2] + shuffled[3:] == whole[:2] + whole[3:]


def test_a_token_that_is_refused(emulator: Start, http: requests.Session) -> None:
    running = emulator("--fault", "bad_token count=1")
    token = get(running, http).json()["continuationToken"]
    refused = get(running, http, continuationToken=token)
    assert (refused.status_code, "token" in refused.json()["message"]) == (400, True)
    assert get(running, http, continuationToken=token).status_code == 200
    listed = http.get(running.url, params={"limit": 1}).json()["continuationToken"]
    running.set_faults(["bad_token"])
    assert http.get(running.url, params={"limit": 1, "continuationToken": listed}).status_code == 400


@pytest.mark.parametrize(("rule", "total"), [("wrong_total", 5001), ("wrong_total=-7", 4993)])
def test_a_total_that_is_wrong(emulator: Start, http: requests.Session, rule: str, total: int) -> None:
    running = emulator("--fault", rule)
    assert from_json(get(running, http))[1][identity("steady")] == total
    response = http.post(
        f"{running.url}/query/data", json=[{"id": identity("steady")}], headers={"Accept": PROTOBUF[0]}
    )
    assert from_protobuf(response)[1][identity("steady")] == total


def test_a_fixed_set_of_points_is_rejected(emulator: Start, http: requests.Session) -> None:
    running = emulator("--seed", "9", "--fault", "method=POST reject_points rate=0.01")
    key = identity("empty")
    times = BASE + np.arange(1000) * SECOND
    guilty = rejected(9, key, times, 0.01)
    assert 1 <= guilty.sum() <= 30

    def write(which: Any) -> requests.Response:
        datapoints = [{"time": text_of(time_ns), "value": 1.0} for time_ns in times[which].tolist()]
        return http.post(f"{running.url}/{key}/data?async=false", json={"datapoints": datapoints})

    refused = write(slice(None))
    assert refused.status_code == 400
    assert all(text_of(time_ns)[:19] not in refused.text for time_ns in times.tolist())
    assert write(guilty).status_code == 400
    assert write(~guilty).status_code == 200
    assert running.stats()["faults"] == {"reject_points": 2}
    running.set_faults([])
    assert write(guilty).status_code == 200


def test_faults_cost_nothing_where_the_rate_limit_refuses_first(emulator: Start, http: requests.Session) -> None:
    running = emulator("--rate-limit", "1/h", "--fault", "status=503 count=2")
    assert [get(running, http).status_code for _ in range(3)] == [503, 429, 429]
    assert running.stats()["faults"] == {"status_503": 1}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "no kind"),
        ("status", "a value is needed"),
        ("status=bad", "'status=bad'"),
        ("stall=x", "'stall=x'"),
        ("truncate reset", "a second kind beside 'truncate'"),
        ("status=500 rate=1.5", "rate (0 to 1)"),
        ("status=500 body=xml", "body (json, html, empty)"),
        ("path=[ reset", "regular expression"),
        ("explode", "unknown; the kinds are status"),
        ("reset colour=red", "known are path"),
    ],
)
def test_rules_that_cannot_be_read(rule: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"--fault") as caught:
        parse_rule(rule, KINDS)
    assert said in str(caught.value)


def test_rules_are_drawn_apart() -> None:
    book = FaultBook(3, KINDS)
    book.change(["reset rate=0.5", "reset rate=0.5", "truncate rate=0.5"])
    drawn = [tuple(rule.kind for rule in book.draw("GET", "/x").rules) for _ in range(200)]
    assert len({*drawn}) == 6
