"""From a configuration to the settings of a session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omnia_beam.config import JobConfig
from omnia_beam.io.omnia.options import OmniaSource
from omnia_beam.io.omnia.settings import service_settings


@pytest.mark.parametrize(
    ("url", "asks_for_gzip"),
    [
        ("http://127.0.0.1:9/x", False),
        ("http://localhost:9/x", False),
        ("http://[::1]:9/x", False),
        ("https://omnia.invalid/x", True),
    ],
)
def test_gzip_is_for_services_on_other_machines(url: str, asks_for_gzip: bool, load: Callable[..., JobConfig]) -> None:
    source = load(url).source
    assert isinstance(source, OmniaSource)
    assert service_settings(source).compression is asks_for_gzip


def test_the_whole_budget_is_passed_on(load: Callable[..., JobConfig]) -> None:
    source = load("http://127.0.0.1:9/x", source={"rate": {"requests_per_second": 7, "max_in_flight": 3}}).source
    assert isinstance(source, OmniaSource)
    settings = service_settings(source)
    assert (settings.requests_per_second, settings.max_in_flight) == (7, 3)
