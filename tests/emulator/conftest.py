"""Emulators for tests: on a thread with a few known series, or with whatever arguments a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import requests

from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.thread import EmulatorThread

SECOND = 1_000_000_000
BASE = 1_700_000_000 * SECOND  # 2023-11-14T22:13:20Z

KNOWN = {
    "steady": (
        BASE + np.arange(5000) * SECOND,
        np.arange(5000) * 0.5,
        np.where(np.arange(5000) % 3 == 0, 64, 192),
    ),
    "other": (BASE + np.arange(0, 3000, 7) * SECOND, np.arange(0, 3000, 7) * 1.0),
    "empty": ([], []),
}


def identity(name: str, facility: str = "EMU") -> str:
    return series_id(facility, name)


@pytest.fixture
def emulator() -> Iterator[Callable[..., EmulatorThread]]:
    """Starts emulators with these arguments, by default with the known series; ends them after the test."""
    started: list[EmulatorThread] = []

    def start(*arguments: str, series: Any = KNOWN) -> EmulatorThread:
        thread = EmulatorThread(arguments, series=series).start()
        started.append(thread)
        return thread

    yield start
    for thread in started:
        thread.stop()


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session
