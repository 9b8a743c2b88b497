"""What every emulated service has: its clock, its faults, its limits, its journal and its counts."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from omnia_beam.emulator.common.counterhash import hash_one, key_of
from omnia_beam.emulator.common.journal import Journal
from omnia_beam.emulator.common.limiter import RateLimiter
from omnia_beam.emulator.common.serving.faults import FaultBook
from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.common.stats import Stats
from omnia_beam.emulator.settings import SharedSettings

_CONTROL_TYPES: Final = ("", "application/json", "application/x-www-form-urlencoded")
"""Content types that are accepted. `curl -d` and urllib name the last one for any body, and the form of a page cannot
express a JSON list in it."""


class Guard(Protocol):
    """The check of everything that a request must show."""

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise Refusal with 401 or 403 for a request without access."""


class ControlGuard:
    """The check of requests to the emulator's own endpoints: their own token, or else what the service requires.

    These endpoints change what a test sees, so a page in a browser must not reach them. Such a page can post a text or
    a form to this machine without a preflight request, but it names its origin.
    """

    def __init__(self, token: str | None, guard: Guard | None) -> None:
        self._token = token
        self._guard = guard

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse with 401 or 403 a request without access, and with 415 a body of a type other than JSON."""
        if "Origin" in headers:
            raise Refusal(403, "The emulator's own endpoints are not for pages in a browser.")
        self._check_token(headers)
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in _CONTROL_TYPES:
            raise Refusal(415, "The body must be application/json.")

    def _check_token(self, headers: Mapping[str, str]) -> None:
        if self._token is not None:
            scheme, _, given = headers.get("Authorization", "").partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode()):
                return
        if self._guard is not None:
            self._guard.check(headers)
        elif self._token is not None:
            challenge = {"WWW-Authenticate": 'Bearer realm="omnia-beam emulator"'}
            raise Refusal(401, "The control token is required.", challenge)


def control_guard_of(settings: SharedSettings, guard: Guard | None, token: str | None) -> ControlGuard:
    """Return the guard of the emulator's own endpoints; `token` takes precedence over the settings.

    Raises ValueError where the settings name an environment variable that is empty or not set.
    """
    if token is None and settings.control_token_env:
        token = os.environ.get(settings.control_token_env)
        if not token:
            raise ValueError(f"--control-token-env: the variable {settings.control_token_env} is not set")
    return ControlGuard(token, guard)


@dataclass(slots=True, eq=False, kw_only=True)
class SharedService:
    """One running emulator without its HTTP server; a service adds its data. One event loop owns it."""

    settings: SharedSettings
    now: Callable[[], int]
    faults: FaultBook
    limiter: RateLimiter | None = None
    guard: Guard | None = None
    control: ControlGuard = field(default_factory=lambda: ControlGuard(None, None))
    journal: Journal | None = None
    stats: Stats = field(default_factory=Stats)
    _requests: int = 0

    def trace_id(self) -> str:
        """Return a new trace id: 32 hex digits, the same from run to run for the same seed and order of requests."""
        self._requests += 1
        key = key_of(self.settings.seed, "trace")
        return f"{hash_one(key, 2 * self._requests):016x}{hash_one(key, 2 * self._requests + 1):016x}"

    async def close(self) -> None:
        """Close the journal and release the state directory."""
        if self.journal is not None:
            await self.journal.close()
