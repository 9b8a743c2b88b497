"""Everything that the command line sets, as plain data."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

MAX_BODY: Final = 64 << 20
"""Default limit of a request's body in bytes: some hundred thousand points as JSON are a tenth of that."""


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """The settings that every emulator has. See `command.py` for what each means to the user."""

    host: str = "127.0.0.1"
    port: int = 0
    data: tuple[str, ...] = ()
    synthetic: tuple[str, ...] = ()
    seed: int = 0
    state_dir: str | None = None
    control_token_env: str | None = None
    latency_ms: float = 0.0
    rate_limit: float | None = None
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    gzip: bool = False
    max_body: int = MAX_BODY
    fault: tuple[str, ...] = ()
    now: int | None = None
    clock_rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Settings(SharedSettings):
    """The behaviour of one emulated Omnia service."""

    facility: str = "EMU"
    auth: Literal["none", "bearer"] = "none"
    jwks: str | None = None
    audience: tuple[str, ...] = ()
    issuer: str | None = None
    subscription_key_env: str | None = None
    end_time: Literal["exclusive", "inclusive"] = "exclusive"
    limit_scope: Literal["item", "answer"] = "item"
    protobuf: Literal["on", "off"] = "on"
    token_ttl: float | None = None
    async_delay_ms: float = 0.0
    max_write_points: int | None = None


def parse_rate(text: str) -> float:
    """Return requests per second from `20/s`, `20` or `600/m`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"not a rate: {text!r} (such as 20/s or 600/m)")
    return float(match[1]) / {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


def clock_of(settings: SharedSettings, real: Callable[[], int] = time.time_ns) -> Callable[[], int]:
    """Return the emulator's clock in ns: it starts at `now`, or at the real time, and runs `clock_rate` times as fast."""
    if settings.now is None and settings.clock_rate == 1.0:
        return real
    begun = real()
    start = begun if settings.now is None else settings.now

    def now() -> int:
        return start + int((real() - begun) * settings.clock_rate)

    return now
