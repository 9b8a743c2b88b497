"""A clock that a test moves: for the product, which is handed one, and for azure-identity and msal, which are not."""

from __future__ import annotations

import time
import types
from collections.abc import Callable

import pytest

_real_time = time.time


class MovableClock:
    """The machine's time plus what was slept and moved. Its `sleep` returns at once."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        """Seconds since the epoch."""
        return _real_time() + self.ahead_s

    def sleep(self, seconds: float) -> None:
        """Move ahead instead of waiting, and note it in `slept`."""
        self.slept.append(seconds)
        self.ahead_s += seconds

    def move(self, seconds: float) -> None:
        """Let so much time pass."""
        self.ahead_s += seconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> MovableClock:
        """Make it everybody's clock in this process; msal's device code polling sleeps by it too."""
        monkeypatch.setattr(time, "time", self.time)
        polling = types.SimpleNamespace(time=self.time, sleep=self.sleep)
        monkeypatch.setattr("msal.oauth2cli.oauth2.time", polling)
        return self


def late_bound_time() -> Callable[[], float]:
    """`time.time` as it is when called: a server that starts before a clock is installed follows it all the same."""
    return lambda: time.time()
