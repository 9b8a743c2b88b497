"""Everything that changes something, and what is beside the data, against the emulator over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from omnia_beam.core.errors import BadRequestError, ConflictError, NotFoundError
from omnia_beam.core.series import TimeseriesDraft
from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.datapoints import Datapoint, Datapoints
from omnia_beam.net.api.series_query import SeriesQuery
from omnia_beam.net.http.retry import RetryPolicy

SECOND = 1_000_000_000
BASE = 1_700_000_400 * SECOND  # a whole ten minutes
TIMES = BASE + np.arange(1200) * SECOND
A, B = (series_id("EMU", name) for name in ("a", "b"))
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(series={"a": (TIMES, np.arange(1200) / 2), "b": ([], [])}) as made:
        yield made


@pytest.fixture
def client(emulator: EmulatorThread) -> Iterator[OmniaClient]:
    with OmniaClient(emulator.url, requests_per_second=None, environ={}, retry=RetryPolicy(first_wait_s=0)) as made:
        yield made


def test_what_is_written_is_read_bit_for_bit(client: OmniaClient) -> None:
    points = Datapoints.of(
        B,
        [-200, -100, 0, 100, BASE],
        [1.7976931348623157e308, 5e-324, -0.0, 0.1 + 0.2, 2**53 + 1],
        [192, 0, 2**32 - 1, 64, 24],
    )
    written = client.write_data(B, points, batch_points=2)
    assert (written.points, written.requests, written.queued) == (5, 3, False)
    assert client.get_datapoints(B) == points


def test_a_write_is_an_upsert(client: OmniaClient) -> None:
    client.write_data(B, [Datapoint(0, 1.0), Datapoint(100, 2.0)])
    client.write_data(B, [Datapoint(100, 3.0, 64), Datapoint(200, 4.0)])
    assert list(client.get_datapoints(B)) == [Datapoint(0, 1.0), Datapoint(100, 3.0, 64), Datapoint(200, 4.0)]


def test_many_series_in_one_go(client: OmniaClient) -> None:
    new = Datapoints.of(A, TIMES + 5000 * SECOND, np.arange(1200))
    other = Datapoints.of(B, TIMES, np.arange(1200))
    assert client.write_multiple([new, other], batch_points=1000).requests == 3
    assert client.get_datapoints(B) == other
    assert client.get_datapoints(A, TIMES[-1] + 1) == new


def test_an_asynchronous_write_is_only_queued(client: OmniaClient) -> None:
    assert client.write_data(B, [Datapoint(0, 1.0)], asynchronous=True).queued
    assert not client.write_data(B, [Datapoint(100, 1.0)]).queued


def test_a_write_to_an_unknown_series(client: OmniaClient) -> None:
    with pytest.raises((NotFoundError, BadRequestError), match="0 of 1 points were stored before"):
        client.write_data(UNKNOWN, [Datapoint(0, 1.0)])


def test_deleting_a_range_takes_its_start_and_leaves_its_end(client: OmniaClient) -> None:
    client.delete_data(A, TIMES[10], TIMES[20])
    assert client.get_datapoints(A).times.tolist() == [*TIMES[:10], *TIMES[20:]]


def test_deleting_all_history(client: OmniaClient) -> None:
    client.delete_data(A, delete_all_history=True)
    assert len(client.get_datapoints(A)) == 0
    assert client.get_timeseries_by_id(A).id == A


@pytest.mark.parametrize("format", ["protobuf", "json"])
def test_aggregates(emulator: EmulatorThread, format: str) -> None:
    with OmniaClient(emulator.url, format=format, requests_per_second=None, environ={}) as client:  # type: ignore[arg-type]  # parametrised
        found = client.get_aggregates(A, ["avg", "min", "max", "count"], "10m", BASE, BASE + 1200 * SECOND)
        assert found.times.tolist() == [BASE, BASE + 600 * SECOND]
        assert found.columns["avg"].tolist() == [149.75, 449.75]
        assert found.columns["min"].tolist() == [0, 300]
        assert found.columns["max"].tolist() == [299.5, 599.5]
        assert found.columns["count"].tolist() == [600, 600]
        many = client.get_multi_datapoints(
            [
                SeriesQuery(
                    id=A,
                    start_time=BASE,
                    end_time=BASE + 1200 * SECOND,
                    aggregate_functions=["sum", "last"],
                    processing_interval="10m",
                ),
                SeriesQuery(id=B, start_time=BASE, end_time=BASE + 1200 * SECOND),
            ]
        )
        assert many[A].columns["sum"].tolist() == [149.75 * 600, 449.75 * 600]
        assert many[A].columns["last"].tolist() == [299.5, 599.5]
        assert len(many[B]) == 0


def test_the_life_of_a_timeseries(client: OmniaClient) -> None:
    draft = TimeseriesDraft("PT-7", "1191", description="pressure", unit="bar", step=True, metadata={"a": "1"})
    made = client.add_timeseries(draft)
    assert made.draft().to_json().items() >= draft.to_json().items()
    with pytest.raises(ConflictError, match="already exists"):
        client.post_timeseries(draft)
    again, new = client.get_or_add_timeseries([draft, TimeseriesDraft("PT-8", "1191")])
    assert (again.id, new.name) == (made.id, "PT-8")
    assert client.get_or_add_timeseries([]) == []

    changed = client.patch_timeseries(made.id, unit="Pa", description="changed")
    assert (changed.unit, changed.description, changed.name) == ("Pa", "changed", "PT-7")
    assert client.get_timeseries_by_id(made.id).unit == "Pa"
    history = client.get_history(made.id)
    assert any("unit" in entry.changes for entry in history)

    put = client.put_timeseries(made.id, TimeseriesDraft("PT-7b", "1191"))
    assert (put.id, put.name) == (made.id, "PT-7b")
    assert [series.id for series in client.search_timeseries(name="PT-7*", facility="1191")] == [made.id]
    assert "PT-7b" in {series.name for series in client.search_timeseries("PT-7*")}

    client.delete_timeseries_by_id(made.id)
    with pytest.raises(NotFoundError):
        client.get_timeseries_by_id(made.id)
    with pytest.raises(NotFoundError):
        client.delete_timeseries_by_id(made.id)


def test_facets(client: OmniaClient) -> None:
    client.add_timeseries(TimeseriesDraft("PT-7", "1191"))
    facilities = client.get_facilities()
    assert (facilities["EMU"], facilities["1191"]) == (2, 1)
    source = client.get_timeseries_by_id(A).source or ""
    assert client.get_sources_by_facility("EMU")[source] == 2
    assert client.get_facilities_by_source(source)["EMU"] == 2
    assert client.get_sources()[source] >= 2


def test_streaming(client: OmniaClient) -> None:
    assert client.get_streaming_subscriptions() == []
    client.set_stream_destination("Endpoint=sb://hub.example/;SharedAccessKeyName=k;SharedAccessKey=hush=;EntityPath=e")
    client.create_stream_subscription([A, B])
    assert {each.id for each in client.get_streaming_subscriptions()} == {A, B}
    client.delete_stream_subscription(A)
    assert {each.id for each in client.get_streaming_subscriptions()} == {B}


def test_the_companions(client: OmniaClient) -> None:
    (tag,) = client.ims_metadata.search(tag="a")
    assert (tag.tag, bool(tag.uid), bool(tag.system_code)) == ("a", True, True)
    assert [found.id for found in client.ims_metadata.search(uid=tag.uid)] == [tag.id]
    assert len(list(client.ims_subscriptions.search(page_size=1))) == 2
    (subscription,) = client.ims_subscriptions.search_by_timeseries_id(A)
    assert subscription.timeseries_id == A
    assert subscription.uid is not None
    assert [s.uid for s in client.ims_subscriptions.search_by_uid(subscription.uid)] == [subscription.uid]
    system = str(tag.system_code)
    assert len(list(client.ims_subscriptions.search_by_system_code(system))) == 2
    management = client.ims_subscriptions_management
    assert management.get_subscription_counter_by_system_code(system).count == 2
    (patched,) = management.patch_subscription_by_uid(subscription.uid, {"tsdbEventsExported": 7}, reset_state=False)
    assert patched.uid == subscription.uid


def test_a_lost_answer_stores_nothing_twice() -> None:
    fault = "path=/data method=POST reset_after_apply rate=0.5"
    with (
        EmulatorThread(["--fault", fault], series={"b": ([], [])}) as emulator,
        OmniaClient(emulator.url, requests_per_second=None, environ={}, retry=RetryPolicy(first_wait_s=0)) as client,
    ):
        points = Datapoints.of(B, TIMES, np.arange(1200))
        assert client.write_data(B, points, batch_points=40).points == 1200
        assert client.stats.retries > 0
        assert client.get_datapoints(B) == points
