"""Summaries of a stretch of time: by the values that were recorded, or by how long each held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.timetext import NS_PER_SECOND
from omnia_beam.emulator.pi.archive import NUMBER_TYPES, Point
from omnia_beam.emulator.pi.events import STATE, joined_events
from omnia_beam.emulator.pi.interpolation import value_at

Basis: TypeAlias = Literal["TimeWeighted", "EventWeighted"]
BASES: Final = ("TimeWeighted", "EventWeighted")
SUMMARIES: Final = (
    "Total",
    "Average",
    "Minimum",
    "Maximum",
    "Range",
    "StdDev",
    "PopulationStdDev",
    "Count",
    "PercentGood",
)
_DAY_S: Final = 86_400.0
_Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Summary:
    """One summary: its time and its number, which is None where there is no good value."""

    time_ns: int
    number: float | None


def summaries(point: Point, start_ns: int, end_ns: int, basis: Basis) -> Mapping[str, Summary]:
    """Return every summary of `[start_ns, end_ns)`; Minimum and Maximum have the time of that value, others the start.

    By events, `Count` is the number of recorded values that are no system states; by time, the seconds that are good.
    The total of a time-weighted summary is in units a day.
    """
    first, stop = point.history.locate(start_ns), point.history.locate(end_ns)
    events = point.history.read(first, max(first, stop))
    good = (events.marks & STATE) == 0
    numbers = point.attributes.point_type in NUMBER_TYPES
    if basis == "EventWeighted":
        share = 100.0 * float(good.mean()) if len(events) else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            found = _by_events(events.times[good], events.numbers[good], start_ns) if numbers else {}
        return {**found, "Count": Summary(start_ns, float(good.sum())), "PercentGood": Summary(start_ns, share)}
    with np.errstate(over="ignore", invalid="ignore"):  # the largest doubles and infinities are values like others
        return _by_time(point, start_ns, end_ns, numbers=numbers)


def _by_events(times: NDArray[np.int64], values: _Numbers, start_ns: int) -> dict[str, Summary]:
    if not len(values):
        return {}
    low, high = int(values.argmin()), int(values.argmax())
    mean = float(values.mean())
    square = float(np.square(values - mean).sum())
    return {
        "Total": Summary(start_ns, float(values.sum())),
        "Average": Summary(start_ns, mean),
        "Minimum": Summary(int(times[low]), float(values[low])),
        "Maximum": Summary(int(times[high]), float(values[high])),
        "Range": Summary(start_ns, float(values[high] - values[low])),
        "StdDev": Summary(start_ns, (square / (len(values) - 1)) ** 0.5 if len(values) > 1 else 0.0),
        "PopulationStdDev": Summary(start_ns, (square / len(values)) ** 0.5),
    }


def _by_time(point: Point, start_ns: int, end_ns: int, *, numbers: bool) -> dict[str, Summary]:
    first, stop = point.history.locate(start_ns), point.history.locate(end_ns)
    within = point.history.read(first, max(first, stop))
    events = joined_events([value_at(point, start_ns), within, value_at(point, end_ns)])
    seconds = np.diff(events.times) / NS_PER_SECOND
    good = (events.marks & STATE) == 0
    lasting = good[:-1]
    held = float(seconds[lasting].sum())
    whole = (end_ns - start_ns) / NS_PER_SECOND
    found = {
        "Count": Summary(start_ns, held),
        "PercentGood": Summary(start_ns, 100.0 * held / whole if whole else 0.0),
    }
    if not numbers or held <= 0:
        return found
    begins = events.numbers[:-1]
    slopes = good[1:] & (not point.attributes.stepped)
    ends = np.where(slopes, events.numbers[1:], begins)
    begins, ends, seconds = begins[lasting], ends[lasting], seconds[lasting]
    area = float(((begins + ends) / 2 * seconds).sum())
    mean = area / held
    off_begin, off_end = begins - mean, ends - mean
    spread = float(((off_begin**2 + off_begin * off_end + off_end**2) / 3 * seconds).sum())
    deviation = (max(spread, 0.0) / held) ** 0.5
    values, times = events.numbers[good], events.times[good]
    low, high = int(values.argmin()), int(values.argmax())
    return found | {
        "Total": Summary(start_ns, area / _DAY_S),
        "Average": Summary(start_ns, mean),
        "Minimum": Summary(int(times[low]), float(values[low])),
        "Maximum": Summary(int(times[high]), float(values[high])),
        "Range": Summary(start_ns, float(values[high] - values[low])),
        "StdDev": Summary(start_ns, deviation),
        "PopulationStdDev": Summary(start_ns, deviation),
    }
