"""Reads against the emulator over real sockets, whichever way the service may turn out to count and to cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from omnia_beam.core.errors import BadRequestError, NotFoundError, SelectionError
from omnia_beam.core.timestamps import format_time
from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.datapoints import Datapoint, Datapoints
from omnia_beam.net.api.raw_data import RawQuery, fetch_page, probe_counts
from omnia_beam.net.api.series_query import SeriesQuery
from omnia_beam.wire import decode_page

SECOND = 1_000_000_000
BASE = 1_700_000_000 * SECOND
STEADY = (BASE + np.arange(2500) * SECOND, np.arange(2500) * 0.1, np.where(np.arange(2500) % 3 == 0, 64, 192))
ODD_TIMES = np.array([-5 * SECOND, -100, 0, 100, 200, 300])
ODD = (ODD_TIMES, np.array([1e300, -0.0, 5e-324, 0.1, 2.0, -1.5]), [0, 192, 2**32 - 1, 64, 192, 8])
FINE = (np.array([99, 100, 101, 150, 199, 200, 201]), np.arange(7) / 2)
SERIES = {"steady": STEADY, "odd": ODD, "fine": FINE, "empty": ([], [])}
IDS = {name: series_id("EMU", name) for name in SERIES}
UNKNOWN = "00000000-0000-4000-8000-000000000000"

WAYS = [
    (f"--end-time={end}", f"--limit-scope={scope}")
    for end, scope in product(("exclusive", "inclusive"), ("item", "answer"))
]


def truth(name: str, start: int | None = None, end: int | None = None) -> Datapoints:
    times, values, *statuses = SERIES[name]
    return Datapoints.of(IDS[name], np.asarray(times, np.int64), values, *statuses).between(start, end)


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: "-".join(part.partition("=")[2] for part in way))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with EmulatorThread(request.param, series=SERIES) as emulator:
        yield emulator.url


@pytest.fixture(params=["protobuf", "json"])
def client(url: str, request: pytest.FixtureRequest) -> Iterator[OmniaClient]:
    with OmniaClient(url, format=request.param, requests_per_second=None, environ={}) as made:
        yield made


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (BASE, BASE + 2500 * SECOND),
        (BASE + 1, BASE + 2499 * SECOND),
        (BASE + 10 * SECOND, BASE + 11 * SECOND),
        (BASE - 50, BASE + 50),
        (None, None),
        (BASE + 2000 * SECOND, None),
        (None, BASE + 7 * SECOND + 1),
        (BASE + 1, BASE + 2),
    ],
)
def test_a_range_is_half_open_whatever_the_service_thinks(client: OmniaClient, start: Any, end: Any) -> None:
    expected = truth("steady", start, end)
    assert client.get_datapoints(IDS["steady"], start, end) == expected
    assert len(list(client.iter_datapoints(IDS["steady"], start, end, page_size=100))) >= len(expected) / 100
    pieces = client.iter_datapoints(IDS["steady"], start, end, page_size=700)
    assert [point for piece in pieces for point in piece] == list(expected)


def test_odd_points_come_back_bit_for_bit(client: OmniaClient) -> None:
    for start, end in product([None, -100, -99, 0, 100], [None, 0, 100, 101, 151]):
        if start is None or end is None or start < end:
            assert client.get_datapoints(IDS["odd"], start, end) == truth("odd", start, end), (start, end)


def test_points_between_the_services_ticks(url: str) -> None:
    with OmniaClient(url, requests_per_second=None, environ={}) as client:
        for start, end in product(range(98, 203, 1), [100, 101, 150, 151, 200, 202]):
            if start < end:
                assert client.get_datapoints(IDS["fine"], start, end) == truth("fine", start, end), (start, end)


def test_filters_limits_and_points_outside(client: OmniaClient) -> None:
    times, values, statuses = STEADY
    filtered = client.get_datapoints(IDS["steady"], status=[64])
    assert filtered == Datapoints.of(IDS["steady"], times[statuses == 64], values[statuses == 64], 64)
    assert client.get_datapoints(IDS["steady"], limit=7) == truth("steady").head(7)
    outside = client.get_datapoints(
        IDS["steady"], BASE + 10 * SECOND + 100, BASE + 11 * SECOND + 100, include_outside_points=True
    )
    assert outside.times.tolist() == [BASE + n * SECOND for n in (10, 11, 12)]
    assert len(client.get_datapoints(IDS["empty"])) == 0


def test_by_name(client: OmniaClient) -> None:
    assert client.get_datapoints_by_name("steady", "EMU") == truth("steady")
    with pytest.raises(BadRequestError, match="Facility not found"):
        client.get_datapoints_by_name("steady", "elsewhere")


def test_many_series(client: OmniaClient) -> None:
    found = client.get_multi_datapoints([IDS["steady"], IDS["empty"]], BASE, BASE + 2000 * SECOND)
    assert list(found.values()) == [truth("steady", BASE, BASE + 2000 * SECOND), truth("empty")]
    queries = [
        SeriesQuery(id=IDS["steady"], start_time=BASE + 100 * SECOND, end_time=BASE + 200 * SECOND),
        SeriesQuery(id=IDS["odd"], end_time=100),
    ]
    by_id: dict[str, list[Datapoint]] = {id: [] for id in IDS.values()}
    for piece in client.iter_multi_datapoints(queries, page_size=30):
        by_id[piece.series_id] += list(piece)
    assert by_id[IDS["steady"]] == list(truth("steady", BASE + 100 * SECOND, BASE + 200 * SECOND))
    assert by_id[IDS["odd"]] == list(truth("odd", None, 100))


def test_first_and_latest(client: OmniaClient) -> None:
    points = list(truth("steady"))
    id = IDS["steady"]
    assert client.get_first_datapoint(id) == points[0]
    assert client.get_latest_datapoint(id) == points[-1]
    assert client.get_first_datapoint(id, after_time=BASE + SECOND // 2) == points[1]
    assert client.get_latest_datapoint(id, before_time=BASE + 9 * SECOND + SECOND // 2, status=[64]) == points[9]
    assert client.get_first_datapoint(IDS["empty"]) is None
    assert client.get_first_multi_datapoint([id, IDS["odd"], IDS["empty"]]) == {
        id: points[0],
        IDS["odd"]: next(iter(truth("odd"))),
        IDS["empty"]: None,
    }
    assert client.get_latest_multi_datapoint([id, IDS["empty"]]) == {id: points[-1], IDS["empty"]: None}


def test_an_unknown_series(client: OmniaClient) -> None:
    for call in _calls(client):
        with pytest.raises(NotFoundError):
            call(UNKNOWN)


def _calls(client: OmniaClient) -> list[Callable[[str], Any]]:
    return [
        client.get_datapoints,
        client.get_first_datapoint,
        client.get_latest_datapoint,
        client.get_timeseries_by_id,
    ]


def test_metadata(client: OmniaClient) -> None:
    assert {series.name: series.id for series in client.get_timeseries()} == IDS
    assert [series.name for series in client.get_timeseries(name="odd", facility="EMU")] == ["odd"]
    assert {series.name for series in client.search_timeseries(name="*d*", page_size=1)} == {"odd", "steady"}
    series = client.get_timeseries_by_id(IDS["odd"])
    assert (series.id, series.name, series.facility) == (IDS["odd"], "odd", "EMU")


def test_pages_and_counts_of_the_hot_path(client: OmniaClient) -> None:
    ids = tuple(IDS.values())
    start, end = BASE + 500 * SECOND, BASE + 1000 * SECOND
    counts = probe_counts(client.session, ids, start, end)
    # A service that counts its end too counts one point more.
    assert counts[IDS["steady"]] in (500, 501)
    assert [counts[IDS[name]] for name in ("odd", "fine", "empty")] == [0, 0, 0]
    assert list(counts) == list(ids)
    page = decode_page(fetch_page(client.session, RawQuery(ids, start, end, 1000)))
    (item,) = [item for item in page.items if item.n_points]
    assert item.times is not None
    assert item.times[:500].tolist() == truth("steady", start, end).times.tolist()
    with pytest.raises(SelectionError, match=UNKNOWN):
        probe_counts(client.session, (*ids, UNKNOWN), start, end)


def test_times_in_words(client: OmniaClient) -> None:
    start, end = format_time(BASE + 3 * SECOND), np.datetime64(BASE // SECOND + 5, "s")
    assert client.get_datapoints(IDS["steady"], start, end).times.tolist() == [BASE + 3 * SECOND, BASE + 4 * SECOND]
