from __future__ import annotations

import os
import pickle
import threading
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.environments import ENVIRONMENTS, EnvironmentName, environment
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import reset_shared_sessions, shared_session

URL = "http://127.0.0.1:9/plant/timeseries/v1.7"


def test_the_environments_are_the_published_ones() -> None:
    assert set(ENVIRONMENTS) == set(get_args(EnvironmentName))
    assert environment("prod").timeseries.base_url == "https://api.gateway.equinor.com/plant/timeseries/v1.7"
    assert environment("prod").timeseries.scope == "141369bd-3dca-4b55-825b-56ad4a69b1fc/.default"
    assert environment("dev").timeseries.base_url == "https://api-dev.gateway.equinor.com/plant/timeseries/v1.7"
    assert environment("test").ims_metadata.base_url == "https://api-test.gateway.equinor.com/plant/ims-metadata/v1.3"
    for each in ENVIRONMENTS.values():
        assert each.ims_subscriptions.resource_id == each.ims_subscriptions_management.resource_id
        assert each.ims_subscriptions_management.base_url.endswith("/plant/ims-subscriptions-management/v1.2")
        assert (
            len({each.timeseries.resource_id, each.ims_metadata.resource_id, each.ims_subscriptions.resource_id}) == 3
        )


def test_an_unknown_environment_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'production' is not an environment: .* did you mean 'prod'"):
        environment("production")


@given(st.integers(1, 40), st.integers(1, 40), st.none() | st.floats(0.1, 1000))
def test_parts_of_a_budget_add_up_to_it(parts: int, in_flight: int, rate: float | None) -> None:
    settings = ServiceSettings(URL, requests_per_second=rate, max_in_flight=in_flight)
    if parts > in_flight:
        with pytest.raises(UsageError, match="cannot be divided"):
            settings.divided(parts)
        return
    divided = settings.divided(parts)
    assert len(divided) == parts
    assert sum(each.max_in_flight for each in divided) == in_flight
    assert max(each.max_in_flight for each in divided) - min(each.max_in_flight for each in divided) <= 1
    if rate is None:
        assert {each.requests_per_second for each in divided} == {None}
    else:
        assert sum(each.requests_per_second or 0 for each in divided) == pytest.approx(rate)


def test_settings_travel_and_compare() -> None:
    settings = ServiceSettings(
        URL + "/", "resource", CredentialSpec(kind="client_secret"), retry=RetryPolicy(attempts=3), ca_bundle="ca.pem"
    )
    assert settings.base_url == URL
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert hash(again) == hash(settings)
    assert settings != ServiceSettings(URL, "resource", CredentialSpec(kind="client_secret"))
    assert settings.scope == "resource/.default"
    assert ServiceSettings(URL).scope is None


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"base_url": "api.gateway.equinor.com"}, "not an http or https URL"),
        ({"base_url": "ftp://x/y"}, "not an http or https URL"),
        ({"base_url": "http:///y"}, "not an http or https URL"),
        ({"base_url": "http://host:99999/y"}, "not a URL"),
        ({"base_url": "http://[x/y"}, "not a URL"),
        ({"base_url": URL + "?a=b"}, "query"),
        ({"base_url": "https://me:hush@host/y"}, "user name, password or key"),
        ({"credential": CredentialSpec(kind="client_secret")}, "resource_id"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"connect_timeout_s": 0}, "connect_timeout_s"),
        ({"read_timeout_s": float("nan")}, "read_timeout_s"),
        ({"attempt_timeout_s": float("inf")}, "attempt_timeout_s"),
    ],
)
def test_what_cannot_work_is_refused_by_name(bad: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        ServiceSettings(**{"base_url": URL, **bad})
    assert "hush" not in str(caught.value)


@pytest.fixture
def _no_shared_sessions() -> Any:
    reset_shared_sessions()
    yield
    reset_shared_sessions()


@pytest.mark.usefixtures("_no_shared_sessions")
def test_one_session_for_equal_settings_however_many_ask() -> None:
    found: list[Any] = []
    gate = threading.Barrier(8, timeout=20)

    def ask() -> None:
        gate.wait()
        found.append(shared_session(ServiceSettings(URL)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    other = shared_session(ServiceSettings(URL, max_in_flight=3))
    assert other is not found[0]
    reset_shared_sessions()
    assert found[0].closed
    again = shared_session(ServiceSettings(URL))
    assert again is not found[0]
    again.close()
    assert not shared_session(ServiceSettings(URL)).closed


@pytest.mark.usefixtures("_no_shared_sessions")
def test_a_forked_child_makes_its_own() -> None:
    mine = shared_session(ServiceSettings(URL))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"same" if shared_session(ServiceSettings(URL)) is mine else b"own")
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        assert told.read() == "own"
    assert shared_session(ServiceSettings(URL)) is mine
