"""Emulators for tests: on a thread with a few known series, or with whatever arguments a test wants."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.thread import EmulatorThread

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "tests" / "sdk-requirements.txt"
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


@pytest.fixture(scope="session")
def sdk_python() -> str:
    """The interpreter of `.venv-sdk`, made where it is missing.

    The SDK pins an older cryptography than the project has, and instruments `requests` on import: it lives apart.
    """
    folder = ROOT / ".venv-sdk"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=100)
    if subprocess.run([str(python), "-c", "import omnia_timeseries.api"], capture_output=True, timeout=100).returncode:
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)], check=True, timeout=300
        )
    return str(python)
