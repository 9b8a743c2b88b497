"""Mistakes in calls of the library: one clear error before any request is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from omnia_beam import OmniaClient, ReadFromOmnia, ServiceSettings, TimeRange, WriteToOmnia, WriteToParquet
from omnia_beam.core.errors import UsageError
from omnia_beam.core.series import Timeseries
from omnia_beam.emulator.thread import EmulatorThread

SPAN = ("2024-01-01", "2024-01-02")
SERIES = Timeseries("a", "PT", "1")


@pytest.fixture
def client() -> Iterator[OmniaClient]:
    emulated = EmulatorThread(["--synthetic", "dense:series=2,days=1,step=60s"])
    with emulated as emulator, OmniaClient(emulator.url) as omnia:
        yield omnia


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.get_multi_datapoints("abc", *SPAN),
            "series is the one text 'abc': give a list of ids, \\['abc'\\]",
        ),
        (lambda c: c.get_multi_datapoints(None, *SPAN), "series is None: give a list of ids"),
        (lambda c: c.get_latest_multi_datapoint("abc"), "series is the one text 'abc'"),
        (
            lambda c: c.get_datapoints(["a"], *SPAN),
            "a list cannot be part of a path to the service: is an id empty. Pass the id of one",
        ),
        (
            lambda c: c.get_datapoints(SERIES, *SPAN),
            "a Timeseries cannot be part of a path to the service: is an id empty. Pass its id",
        ),
        (lambda c: c.get_timeseries_by_id(SERIES), "Pass its id: series.id"),
        (lambda c: c.get_aggregates(["a"], ["avg"], "1h", *SPAN), "a list cannot be part of a path"),
        (lambda c: c.get_datapoints(None, *SPAN), "None cannot be part of a path"),
        (
            lambda c: c.get_datapoints("a", *SPAN, status=192),
            "status is 192: give a list of numbers, such as \\[192\\]",
        ),
        (lambda c: c.get_datapoints("a", *SPAN, status="192"), "status is '192': give a list"),
        (lambda c: c.get_datapoints("a", *SPAN, status=["good"]), "'good' is not a status: whole numbers from 0 to"),
        (lambda c: c.get_datapoints("a", *SPAN, status=[-1]), "-1 is not a status"),
        (lambda c: c.get_latest_datapoint("a", status=192), "status is 192"),
        (lambda c: c.get_multi_datapoints(["a"], *SPAN, status=[True]), "True is not a status"),
        (lambda c: c.get_datapoints("a", *SPAN, limit="5"), "limit is '5': give a whole number, or None"),
        (lambda c: c.get_datapoints("a", *SPAN, limit=0), "limit is 0: at least 1"),
    ],
)
def test_calls_of_the_client(client: OmniaClient, call: Callable[[Any], Any], message: str) -> None:
    before = client.session.stats.snapshot().requests
    with pytest.raises(UsageError, match=message):
        call(client)
    assert client.session.stats.snapshot().requests == before


def test_what_is_right_stays_right(client: OmniaClient) -> None:
    ids = [each.id for each in client.search_timeseries()]
    found = client.get_multi_datapoints(iter(ids), "2024-01-01", "2024-01-01T00:10Z", status={192})
    assert list(found) == ids
    assert len(client.get_datapoints(ids[0], *SPAN, limit=3)) == 3


SERVICE = ServiceSettings(base_url="http://127.0.0.1:1/plant/timeseries/v1.7")
DAY = TimeRange.parse(*SPAN)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ReadFromOmnia("http://x", series_ids=["a"], time_range=DAY),
            "ReadFromOmnia takes ServiceSettings, not str",
        ),
        (lambda: ReadFromOmnia(SERVICE, series_ids="abc", time_range=DAY), "series_ids is the one text 'abc'"),
        (
            lambda: ReadFromOmnia(SERVICE, series_ids=["a"], time_range=SPAN),
            "give a TimeRange, such as TimeRange.parse",
        ),
        (lambda: WriteToOmnia("http://x"), "WriteToOmnia takes ServiceSettings, not str"),
        (lambda: WriteToParquet(5), "path is 5: give the folder"),
        (lambda: WriteToParquet(""), "path is ''"),
    ],
)
def test_transforms(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_time_range_of_texts_says_how_to_read_them() -> None:
    with pytest.raises(TypeError, match=r'ns since the Unix epoch, not str and str: TimeRange.parse\("2024-01-01"'):
        TimeRange("2024-01-01", "2024-01-02")  # type: ignore[arg-type]
