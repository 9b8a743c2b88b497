"""A base URL below which nothing is the service: every question says so, and what to check."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omnia_beam.core.errors import NotFoundError, NotTheServiceError
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from tests.support.other_site import other_site as serving


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--synthetic", "sparse:series=1,days=1,step=600s"]) as running:
        yield running


@pytest.fixture
def other_site() -> Iterator[str]:
    """Another site, with its own 404 for all."""
    with serving(404, b"<html><title>404 Not Found</title></html>") as url:
        yield f"{url}/timeseries/v1.7"


@pytest.mark.parametrize("end", ["/plant/timeseries/v9", "/plant/timeseries/v1.7/data", "/", ""])
@pytest.mark.parametrize("path", ["search", "an-id/data", "an-id", ""])
def test_a_wrong_path_on_the_right_host(emulator: EmulatorThread, end: str, path: str) -> None:
    base = emulator.url.removesuffix("/plant/timeseries/v1.7") + end
    with ServiceSession(ServiceSettings(base)) as session, pytest.raises(NotTheServiceError) as caught:
        session.send("GET", path, idempotent=True)
    text = str(caught.value)
    assert text.startswith(f"{base.rstrip('/')} does not respond like the Omnia Timeseries API (GET /")
    assert "Check base_url" in text
    assert "\n" not in text


@pytest.mark.parametrize("path", ["search", "an-id/data"])
def test_another_site(other_site: str, path: str) -> None:
    with ServiceSession(ServiceSettings(other_site)) as session, pytest.raises(NotTheServiceError) as caught:
        session.send("GET", path, idempotent=True)
    assert f"{other_site} does not respond like" in str(caught.value)
    assert "404 Not Found" in str(caught.value)


def test_a_series_that_is_not_there_is_no_wrong_address(emulator: EmulatorThread) -> None:
    with ServiceSession(ServiceSettings(emulator.url)) as session:
        for _ in range(2):
            with pytest.raises(NotFoundError, match="an-id"):
                session.send("GET", "an-id/data", idempotent=True)
        assert session.stats.snapshot().statuses == {404: 2, 200: 1}  # asked once whether anything is there
