"""The fingerprint of one series in one range, which is compared first. It adds up over disjoint sets of points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.core.chunk import Points
from omnia_beam.core.fingerprint import add_hashes, hash_points
from omnia_beam.core.receipt import SeriesReceipt, status_histogram
from omnia_beam.core.timestamps import format_time

RECIPE: Final = """\
import struct

M = 2**64 - 1  # all sums wrap at 64 bits


def mix(x):  # the finalizer of splitmix64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M
    return x ^ x >> 31


def fingerprint(points):  # (time: ns since 1970, value: float, status: int), in any order
    low = high = 0
    for time, value, status in points:
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        h = mix(mix(mix(time & M ^ 0x9E3779B97F4A7C15) + bits & M) + status & M)
        low, high = low + h & M, high + mix(h ^ 0xD1B54A32D192ED03) & M
    return f"{high:016x}{low:016x}"
"""
"""A program that computes `content_hash` from any copy, as text: reports print it. No points give 32 zeros; the fingerprint of two
disjoint sets is the sum of theirs, each half by itself."""

_NO_HASH = "0" * 32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a set of points of one series.

    Equal fingerprints mean the same points, except for a chance of about 2^-128.

    Args:
        count: points.
        first_ns, last_ns: the earliest and the latest time, None where there are no points.
        statuses: (status, points) pairs, ascending by status.
        content_hash: 32 hex digits; see `core.fingerprint`.
    """

    count: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    statuses: tuple[tuple[int, int], ...] = ()
    content_hash: str = _NO_HASH

    @classmethod
    def of(cls, points: Points) -> Fingerprint:
        """Return the fingerprint of points in any order."""
        if not len(points.times):
            return cls()
        first, last = int(points.times.min()), int(points.times.max())
        return cls(len(points.times), first, last, status_histogram(points), hash_points(*points))

    @classmethod
    def of_receipt(cls, receipt: SeriesReceipt) -> Fingerprint:
        """Return the fingerprint of what a sink recorded as stored."""
        return cls(receipt.count, receipt.first_ns, receipt.last_ns, receipt.statuses, receipt.content_hash)

    def plus(self, other: Fingerprint) -> Fingerprint:
        """Return the fingerprint of the union of two disjoint sets."""
        if not other.count or not self.count:
            return self if self.count else other
        statuses = Counter(dict(self.statuses)) + Counter(dict(other.statuses))
        return Fingerprint(
            self.count + other.count,
            _bound(min, self.first_ns, other.first_ns),
            _bound(max, self.last_ns, other.last_ns),
            tuple(sorted(statuses.items())),
            add_hashes(self.content_hash, other.content_hash),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report."""
        return {
            "count": self.count,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "statuses": [list(pair) for pair in self.statuses],
            "content_hash": self.content_hash,
        }


def total_fingerprint(parts: Iterable[Fingerprint]) -> Fingerprint:
    """Return the fingerprint of the union of disjoint sets."""
    total = Fingerprint()
    for part in parts:
        total = total.plus(part)
    return total


def describe_change(expected: Fingerprint, found: Fingerprint) -> str:
    """Describe in words how two fingerprints differ."""
    if expected.count != found.count:
        return f"{expected.count:,} points expected, {found.count:,} found"
    if (expected.first_ns, expected.last_ns) != (found.first_ns, found.last_ns):
        return f"from {_span(expected)} expected, from {_span(found)} found"
    if expected.statuses != found.statuses:
        return f"statuses {_statuses(expected)} expected, {_statuses(found)} found"
    return f"{expected.count:,} points, fingerprint {expected.content_hash} expected, {found.content_hash} found"


def _span(print_: Fingerprint) -> str:
    return " to ".join("nothing" if each is None else format_time(each) for each in (print_.first_ns, print_.last_ns))


def _statuses(print_: Fingerprint) -> str:
    return ", ".join(f"{status} ({count:,})" for status, count in print_.statuses)


def _bound(choose: Any, *times: int | None) -> int:
    return int(choose(time for time in times if time is not None))
