"""Convert times of a wall clock to UTC by the zone database that Python reads.

Arrow is not used, because its reader stops at the last transition that a file spells out. In files that leave the future to
a rule, as many systems ship them, that transition was decades ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND

_EPOCH: Final = datetime(1970, 1, 1)
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_WHOLE_MINUTES_NS: Final = 2 * 365 * 86_400 * NS_PER_SECOND
"""Start of 1972, ns; since then every zone's offset from UTC has been in whole minutes."""

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BothTimes:
    """Wall clock times as ns since the Unix epoch, where the clock may have shown one twice.

    Args:
        earlier: int64 ns, shape (n,): the first instant at which the clock showed each time.
        later: int64 ns, shape (n,): the last such instant; it differs only for times that the clock showed twice.
    """

    earlier: Times
    later: Times

    @property
    def twice(self) -> npt.NDArray[np.bool_]:
        """Which times the clock showed twice."""
        twice: npt.NDArray[np.bool_] = self.earlier != self.later
        return twice


def local_to_utc(local: Times, zone: str) -> Times:
    """Convert wall clock times to ns since the Unix epoch.

    Args:
        local: int64 ns, shape (n,): what the clock showed, counted as if it were in UTC.
        zone: IANA name, or a fixed offset such as `+01:00`.

    Raises:
        ValueError: the zone's clocks showed a time twice or never, or a time is outside what int64 ns can hold.
    """
    if zone == "UTC" or not len(local):
        return local
    both = both_times(local, zone)
    if both.twice.any():
        raise ValueError(
            f"{_shown(int(local[both.twice.argmax()]))} happened twice or never in {zone}, where clocks were changed: write times "
            "with their zone, or in UTC; or set source.dst_fold"
        )
    return both.earlier


def both_times(local: Times, zone: str) -> BothTimes:
    """Convert wall clock times as `local_to_utc` does, with both instants of times that the clocks showed twice.

    Raises:
        ValueError: the zone's clocks never showed a time, or a time is outside what int64 ns can hold.
    """
    if zone == "UTC" or not len(local):
        return BothTimes(local, local)
    step = _MINUTE_NS if int(local.min()) >= _WHOLE_MINUTES_NS else NS_PER_SECOND
    slots, inverse = np.unique(local // step, return_inverse=True)
    found = _zone(zone)
    offsets = np.array([_offsets_ns(slot * step, found, zone) for slot in slots.tolist()], np.int64)[inverse]
    for at in (int(local.argmin()), int(local.argmax())):
        for offset in offsets[at].tolist():
            if not MIN_TIME_NS <= int(local[at]) - offset <= MAX_TIME_NS:
                raise ValueError("outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    return BothTimes(local - offsets[:, 0], local - offsets[:, 1])


def changes_soon(ns: int, zone: str) -> bool:
    """Return whether a zone's clocks are changed between 2 hours before and 28 hours after an instant, ns since the Unix epoch."""
    found = _zone(zone)
    instants = (
        _EPOCH.replace(tzinfo=UTC) + timedelta(seconds=ns // NS_PER_SECOND + hours * 3_600) for hours in (-2, 28)
    )
    first, last = (instant.astimezone(found).utcoffset() for instant in instants)
    return first != last


@lru_cache(maxsize=16)
def _zone(name: str) -> tzinfo:
    if name[0] in "+-":
        sign = -1 if name[0] == "-" else 1
        return timezone(sign * timedelta(hours=int(name[1:3]), minutes=int(name[4:6])))
    return ZoneInfo(name)


def _offsets_ns(local_ns: int, zone: tzinfo, name: str) -> tuple[int, int]:
    """Return the offsets, ns, at the first and at the last instant at which the clock showed a time."""
    wall = _EPOCH + timedelta(seconds=local_ns // NS_PER_SECOND)
    # By way of UTC, since the subtraction of two datetimes of one zone ignores the zone.
    first, last = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > last:
        raise ValueError(
            f"{wall} happened twice or never in {name}, where clocks were changed: no clock showed it; write times with their "
            "zone, or in UTC"
        )
    naive = [int((wall - each.replace(tzinfo=None)) / timedelta(seconds=1)) * NS_PER_SECOND for each in (first, last)]
    return naive[0], naive[1]


def _shown(local_ns: int) -> str:
    return str(_EPOCH + timedelta(seconds=local_ns // NS_PER_SECOND))
