"""What a bar and a log say of a run alike."""

from __future__ import annotations

from omnia_beam.core.summary import ProgressFacts


def conditions(facts: ProgressFacts) -> list[str]:
    """Return what else a person has to know: what holds the copying up, retries, throttling, failures."""
    found = []
    waits = facts.bottleneck
    if waits is not None:
        found.append(f"bottleneck {waits[0]} {waits[1]:.0%}")
    if facts.retries:
        found.append("1 retry" if facts.retries == 1 else f"{facts.retries:,} retries")
    if facts.throttled_s:
        found.append(f"throttled {facts.throttled_s:,.0f} s")
    if facts.failed:
        found.append(f"{facts.failed:,} failed")
    return found


def amount(number: float) -> str:
    """Return a number of bytes, as text."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e3:,.1f} kB"


def eta(share: float, elapsed_s: float) -> str:
    """Return the time that is left, as text."""
    if share <= 0:
        return "unknown"
    left = round(elapsed_s * (1 - share) / share)
    hours, rest = divmod(left, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
