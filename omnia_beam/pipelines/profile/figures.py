"""The figures of a destination: plain data for the page, for JSON and for whatever is expected of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.config.times import format_duration
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.contents import SeriesAbout
from omnia_beam.pipelines.profile.longest import Longest
from omnia_beam.pipelines.profile.tally import LARGE_SHIFT, Tally

SPARK_DIGITS: Final = 4
"""Significant digits of a sparkline's values in JSON."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time of one series: a gap between two points, or points of one value.

    Args:
        series_id: of the series.
        start_ns: time of its first point.
        length_ns: time from there to its last point.
        value: of all points; None for a gap.
    """

    series_id: str
    start_ns: int
    length_ns: int
    value: float | None = None

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.length_ns

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        data: dict[str, Any] = {
            "series_id": self.series_id,
            "start": format_time(self.start_ns),
            "end": format_time(self.end_ns),
            "length_ns": self.length_ns,
            "length": format_duration(self.length_ns),
        }
        return data if self.value is None else data | {"value": number_json(self.value)}


@dataclass(frozen=True, slots=True)
class Stretches:
    """The stretches of one sort that a series has.

    Args:
        count: number of them.
        total_ns: sum of their lengths.
        longest: None where there is none.
    """

    count: int = 0
    total_ns: int = 0
    longest: Stretch | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Sparkline:
    """The least and the greatest value of a series in steps of time.

    Args:
        start_ns: begin of the first step, the same for all series of a profile.
        step_ns: length of a step.
        low, high: float64, a value for each step, NaN where there is none; infinities do not count. They are views of
            the tally's grid, since Python's floats would take four times the memory.
    """

    start_ns: int
    step_ns: int
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without the steps at the end that have no value."""
        steps = [
            None if math.isnan(low) else [_rounded(low), _rounded(high)]
            for low, high in zip(self.low.tolist(), self.high.tolist(), strict=True)
        ]
        while steps and steps[-1] is None:
            steps.pop()
        return {"start": format_time(self.start_ns), "step_ns": self.step_ns, "low_high": steps}


@dataclass(frozen=True, slots=True)
class SeriesFigures:
    """The figures of one series, of all its points whatever their status.

    Args:
        series_id: as stored.
        points: number of points, at least 1.
        first_ns, last_ns: times of the first and the last point.
        minimum, mean, maximum: of the values that are numbers; infinities count. NaN where there is none, and for the mean of
            both infinities.
        nan, infinite: number of values that are NaN, or infinite.
        bad: number of points whose status is not good; None where the files hold no statuses.
        questionable: number of those with a questionable status, among `bad`.
        same_time: number of points whose time is that of the point before.
        longest_interval: longest time between two neighbouring points; None for a single point.
        gaps: times between neighbouring points that are longer than the profile's `gap_ns`.
        flats: stretches of points with one value, each at most `gap_ns` after the one before, that last longer than `gap_ns`.
        sparkline: for drawing.
        about: its series metadata, which is beside the data.
    """

    series_id: str
    points: int
    first_ns: int
    last_ns: int
    minimum: float
    mean: float
    maximum: float
    nan: int
    infinite: int
    bad: int | None
    questionable: int | None
    same_time: int
    longest_interval: Stretch | None
    gaps: Stretches
    flats: Stretches
    sparkline: Sparkline
    about: SeriesAbout = SeriesAbout()  # noqa: RUF009  # it is frozen

    @property
    def title(self) -> str:
        """The name, or the id where there is none."""
        return self.about.name or self.series_id

    @property
    def share_bad(self) -> float | None:
        """Share of points whose status is not good, 0 to 1; None where the files hold no statuses."""
        return None if self.bad is None else self.bad / self.points

    def to_json(self) -> dict[str, Any]:
        """Return plain data. Values are numbers, `inf` or `-inf` as text, or null for NaN; without a name it is the id."""
        longest, flat = self.longest_interval, self.flats.longest
        return {
            "series_id": self.series_id,
            "name": self.title,
            "unit": self.about.unit,
            "facility": self.about.facility,
            "description": self.about.description,
            "points": self.points,
            "first": format_time(self.first_ns),
            "last": format_time(self.last_ns),
            "minimum": number_json(self.minimum),
            "mean": number_json(self.mean),
            "maximum": number_json(self.maximum),
            "nan": self.nan,
            "infinite": self.infinite,
            "bad": self.bad,
            "questionable": self.questionable,
            "share_bad": self.share_bad,
            "same_time": self.same_time,
            "longest_gap": format_duration(longest.length_ns) if longest else None,
            "longest_gap_ns": longest.length_ns if longest else None,
            "longest_gap_start": format_time(longest.start_ns) if longest else None,
            "gaps": self.gaps.count,
            "gaps_ns": self.gaps.total_ns,
            "flat_stretches": self.flats.count,
            "flat_ns": self.flats.total_ns,
            "longest_flat": format_duration(flat.length_ns) if flat else None,
            "longest_flat_ns": flat.length_ns if flat else None,
            "longest_flat_start": format_time(flat.start_ns) if flat else None,
            "sparkline": self.sparkline.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Profile:
    """The figures of a destination.

    Args:
        gap_ns: a longer time without a point is a gap.
        series: figures of each series that has points, by name and id.
        gaps, flats: the longest of all series, the longest first; they are a part where there are very many.
    """

    gap_ns: int
    series: tuple[SeriesFigures, ...] = ()
    gaps: tuple[Stretch, ...] = ()
    flats: tuple[Stretch, ...] = ()

    @property
    def points(self) -> int:
        return sum(each.points for each in self.series)

    @property
    def gap_count(self) -> int:
        """Number of gaps over all series."""
        return sum(each.gaps.count for each in self.series)

    @property
    def flat_count(self) -> int:
        """Number of flat stretches over all series."""
        return sum(each.flats.count for each in self.series)

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """The first and the last time of all points; None where there are none."""
        if not self.series:
            return None
        return min(each.first_ns for each in self.series), max(each.last_ns for each in self.series)


def figures_of(tally: Tally, *, statuses: bool = True) -> tuple[SeriesFigures, ...]:
    """Return the figures of a tally that is finished, in its order of series.

    Args:
        statuses: whether the files hold statuses.
    """
    return tuple(_figures(tally, number, statuses) for number in range(len(tally.names)))


def stretches_of(tally: Tally, longest: Longest) -> tuple[Stretch, ...]:
    """Return the longest gaps or flat stretches of a tally."""
    return tuple(
        Stretch(tally.names[series], start, length, None if longest is tally.gaps else value)
        for series, start, length, value in longest.named.tolist()
    )


_GAPS: Final = tuple(ns * 10**9 for ns in (60, 300, 900, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 30 * 86_400))


def note_of_rare_points(profile: Profile) -> str:
    """Return in words that nearly every time between two points counts as a gap, and a length that fits; empty where it fits."""
    many = [each for each in profile.series if 2 * each.gaps.count > each.points - 1]
    if not many:
        return ""
    intervals = sorted((each.last_ns - each.first_ns) / (each.points - 1) for each in many)
    longer = 3 * intervals[len(intervals) // 2]
    fits = next((each for each in _GAPS if each >= longer), int(longer))
    return (
        f"in {len(many):,} of {len(profile.series):,} series most times between two points are longer than "
        f"{format_duration(profile.gap_ns)} and count as gaps; with {format_duration(fits)} only those count that stand out"
    )


def number_json(value: float) -> float | str | None:
    """Return a value as JSON can hold it: a number, `inf` or `-inf` as text, null for NaN."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else repr(value)


def _figures(tally: Tally, number: int, statuses: bool) -> SeriesFigures:
    name, state = tally.names[number], tally.state[number]
    plus, minus = int(state["plus_inf"]), int(state["minus_inf"])
    interval = int(state["longest_interval"])
    low, high = float(state["low"]), float(state["high"])
    points = int(state["points"])
    start, end = tally.grid.span(0)
    return SeriesFigures(
        series_id=name,
        points=points,
        first_ns=int(state["first"]),
        last_ns=int(state["last"]),
        minimum=-math.inf if minus else math.inf if plus and math.isnan(low) else low,
        mean=_mean(state, plus, minus),
        maximum=math.inf if plus else -math.inf if minus and math.isnan(high) else high,
        nan=int(state["nan"]),
        infinite=plus + minus,
        bad=int(state["bad"]) if statuses else None,
        questionable=int(state["questionable"]) if statuses else None,
        same_time=int(state["same_time"]),
        longest_interval=Stretch(name, int(state["interval_start"]), interval)
        if interval
        else _none_or_zero(name, state),
        gaps=_stretches(name, tally.gaps, number),
        flats=_stretches(name, tally.flats, number),
        sparkline=Sparkline(start, end - start, tally.grid.low[number], tally.grid.high[number]),
    )


def _none_or_zero(name: str, state: Any) -> Stretch | None:
    """Return the longest interval of a series whose points all have one time: 0 ns, or None for a single point."""
    return Stretch(name, int(state["first"]), 0) if state["points"] > 1 else None


def _mean(state: Any, plus: int, minus: int) -> float:
    count = int(state["points"]) - int(state["nan"])
    if plus or minus:
        return math.nan if plus and minus else math.inf if plus else -math.inf
    if not count:
        return math.nan
    large = (float(state["large"]) + float(state["large_rest"])) / count
    return (float(state["sum"]) + float(state["sum_rest"])) / count + math.ldexp(large, LARGE_SHIFT)


def _stretches(name: str, longest: Longest, number: int) -> Stretches:
    if not longest.count[number]:
        return Stretches()
    found = Stretch(name, int(longest.start[number]), int(longest.length[number]))
    return Stretches(int(longest.count[number]), int(longest.total[number]), found)


def _rounded(value: float) -> float:
    return float(np.format_float_scientific(value, SPARK_DIGITS - 1))
