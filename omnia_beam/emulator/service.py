"""The state that the endpoints share. One event loop owns it; nothing in it is thread-safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .counterhash import hash_one, key_of
from .faults import FaultBook
from .limiter import RateLimiter
from .pagetoken import TokenSealer
from .rawquery import CountCache
from .settings import Settings, clock_of
from .stats import Stats
from .store import Store, load_store


@dataclass(slots=True, eq=False)
class Service:
    """One running emulator, HTTP aside."""

    settings: Settings
    store: Store
    now: Callable[[], int]
    sealer: TokenSealer
    faults: FaultBook
    limiter: RateLimiter | None
    guard: Any = None
    stats: Stats = field(default_factory=Stats)
    counts: CountCache = field(default_factory=CountCache)
    _requests: int = 0

    def trace_id(self) -> str:
        """A new trace id: 32 hex digits, the same from run to run for the same seed and order of requests."""
        self._requests += 1
        key = key_of(self.settings.seed, "trace")
        return f"{hash_one(key, 2 * self._requests):016x}{hash_one(key, 2 * self._requests + 1):016x}"


def build_service(settings: Settings, series: dict[str, Any] | None = None) -> Service:
    """The service that these settings describe. ValueError or OSError names the setting that cannot be used."""
    now = clock_of(settings)
    faults = FaultBook(settings.seed)
    faults.change(settings.fault)
    store = load_store(
        settings.data, settings.synthetic, facility=settings.facility, seed=settings.seed, series=series, now=now
    )
    return Service(
        settings=settings,
        store=store,
        now=now,
        sealer=TokenSealer(settings.seed, settings.token_ttl),
        faults=faults,
        limiter=RateLimiter(settings.rate_limit) if settings.rate_limit else None,
    )
