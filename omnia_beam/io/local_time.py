"""Times of a wall clock as times of the world, by the zone database that Python reads.

Not by Arrow, whose reader stops at the last transition that a file spells out: in files that leave the future to a rule, as
many systems ship them, that was decades ago.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND

_EPOCH: Final = datetime(1970, 1, 1)
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_WHOLE_MINUTES_NS: Final = 2 * 365 * 86_400 * NS_PER_SECOND
"""1972: since then no zone has been off UTC by anything but whole minutes."""


def local_to_utc(local: npt.NDArray[np.int64], zone: str) -> npt.NDArray[np.int64]:
    """Wall clock times as ns since the Unix epoch.

    Args:
        local: int64 ns, shape (n,): what the clock showed, counted as if it were in UTC.
        zone: IANA name.

    Raises:
        ValueError: a time that the clocks of the zone showed twice or never, or one outside what int64 ns can hold.
    """
    if zone == "UTC" or not len(local):
        return local
    step = _MINUTE_NS if int(local.min()) >= _WHOLE_MINUTES_NS else NS_PER_SECOND
    slots, inverse = np.unique(local // step, return_inverse=True)
    found = ZoneInfo(zone)
    offsets = np.array([_offset_ns(slot * step, found) for slot in slots.tolist()], np.int64)
    for at in (int(local.argmin()), int(local.argmax())):
        if not MIN_TIME_NS <= int(local[at]) - int(offsets[inverse[at]]) <= MAX_TIME_NS:
            raise ValueError("outside what 64-bit nanoseconds can hold (1677-09-21 to 2262-04-11)")
    times: npt.NDArray[np.int64] = local - offsets[inverse]
    return times


def _offset_ns(local_ns: int, zone: ZoneInfo) -> int:
    wall = _EPOCH + timedelta(seconds=local_ns // NS_PER_SECOND)
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first is None or first != second:
        raise ValueError(
            f"{wall} happened twice or never in {zone.key}, where clocks were changed: write times with their zone, or in UTC"
        )
    # Through UTC, since a datetime's own subtraction of two times of one zone ignores the zone.
    moment = wall.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
    return int((wall - moment) / timedelta(seconds=1)) * NS_PER_SECOND
