"""A credential that a test scripts, and the clock that goes with it. A test module takes the fixtures in by assignment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from azure.core.credentials import AccessToken

from omnia_beam.net.auth.token_provider import TokenProvider

SCOPE = "resource/.default"
START = 1_700_000_000.0


class Clock:
    """Seconds since the epoch, moved by hand and by sleeping."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Scripted:
    """A credential with an authority behind it: `failures` come first, then token 1, 2, 3, …, each valid for `lifetime_s`."""

    def __init__(self, clock: Clock, lifetime_s: float = 3600.0) -> None:
        self.clock = clock
        self.lifetime_s = lifetime_s
        self.failures: list[Exception] = []
        self.claims: list[str | None] = []
        self.issued = 0
        self.before: Callable[[], None] = lambda: None

    def get_token(self, *scopes: str, claims: str | None = None, **options: object) -> AccessToken:
        assert scopes == (SCOPE,)
        self.claims.append(claims)
        self.before()
        if self.failures:
            raise self.failures.pop(0)
        self.issued += 1
        return AccessToken(f"token {self.issued}", int(self.clock.now + self.lifetime_s))


def provider_of(credential: object, clock: Clock, **options: object) -> TokenProvider:
    return TokenProvider(credential, SCOPE, clock, clock.sleep, rng=lambda: 0.5, **options)  # type: ignore[arg-type]  # the fakes


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credential(clock: Clock) -> Scripted:
    return Scripted(clock)


@pytest.fixture
def provider(credential: Scripted, clock: Clock) -> TokenProvider:
    return provider_of(credential, clock)
