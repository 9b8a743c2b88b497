"""Compare the figures of series with what is expected of them, and name those that are not as expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from omnia_beam.config.expect import ExpectConfig, fits, share_of
from omnia_beam.config.times import format_duration
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.profile.figures import SeriesFigures

NAMED: Final = 1_000
"""Number of breaches that the summary names; all are counted."""
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Breach:
    """One series that is not as expected.

    Args:
        series_id: as stored.
        name: empty where it has none.
        key: of `expect`.
        text: what was found and what was expected.
    """

    series_id: str
    name: str
    key: str
    text: str

    def __str__(self) -> str:
        title = f"{self.name} ({self.series_id})" if self.name and self.name != self.series_id else self.series_id
        return f"expect.{self.key}: {one_line(title)}: {self.text}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"series_id": self.series_id, "name": self.name or self.series_id, "expect": self.key, "text": self.text}


@dataclass(frozen=True)
class Expected:
    """The result of a check.

    Args:
        breaches: by name of the series.
        series: number of series that were checked.
        warnings: patterns that fit no series, a text each.
    """

    breaches: tuple[Breach, ...]
    series: int
    warnings: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the result for people, a line each."""
        yield from (str(each) for each in self.breaches[:_SHOWN])
        if len(self.breaches) > _SHOWN:
            yield f"and {len(self.breaches) - _SHOWN:,} more: see --json"
        if not self.breaches:
            yield f"expect: {self.series:,} series, all as expected"

    def added_to(self, summary: Summary) -> Summary:
        """Return a summary with the result; it is incomplete where a series is not as expected."""
        details = {
            **summary.details,
            "expectations_failed": len(self.breaches),
            "expectations": [each.to_json() for each in self.breaches[:NAMED]],
        }
        status = "incomplete" if self.breaches and summary.status == "complete" else summary.status
        return summary.having(status=status, details=details).with_warnings(*self.warnings)


def check_expectations(expect: ExpectConfig, figures: Iterable[SeriesFigures], names: Mapping[str, str]) -> Expected:
    """Check all series.

    Args:
        expect: the rules.
        figures: of the series that have points.
        names: by stored id, of all series that there should be, an empty text where one has no name; a series of them without
            figures has no points.
    """
    found = {each.series_id: each for each in figures}
    stored = {series_id: each.about.name for series_id, each in found.items()}
    every = {series_id: names.get(series_id) or stored.get(series_id, "") for series_id in {*names, *stored}}
    breaches = []
    for series_id, name in sorted(every.items(), key=lambda each: ((each[1] or each[0]).casefold(), each[0])):
        rules = expect.rules_of(*dict.fromkeys((name or series_id, series_id)))
        for key, expected in rules.items():
            text = _CHECKS[key](found.get(series_id), expected)
            if text:
                breaches.append(Breach(series_id, name, key, text))
    unused = (
        pattern
        for pattern in expect.series
        if not any(fits(pattern, text) for each in every.items() for text in each if text)
    )
    warnings = tuple(f"expect.series: {pattern!r} fits no series, so it checks nothing" for pattern in unused)
    return Expected(tuple(breaches), len(every), warnings)


def _max_gap(found: SeriesFigures | None, expected: int) -> str:
    if found is None:
        return f"no point at all, where a gap is at most {format_duration(expected)}"
    longest = found.longest_interval
    if longest is None or longest.length_ns <= expected:
        return ""
    return (
        f"no point for {format_duration(longest.length_ns)} from {format_time(longest.start_ns)}, longer than "
        f"{format_duration(expected)}"
    )


def _min_points(found: SeriesFigures | None, expected: int) -> str:
    points = 0 if found is None else found.points
    return f"{counted(points, 'point')}, fewer than {expected:,}" if points < expected else ""


def _bad_share(found: SeriesFigures | None, expected: str) -> str:
    if found is None:
        return ""
    if found.bad is None:
        return "cannot be checked: the files hold no statuses"
    if Fraction(found.bad, found.points) <= share_of(expected):
        return ""
    return f"{found.bad:,} of {counted(found.points, 'point')} are not good ({found.bad / found.points:.2%}), more than {expected}"


def _range(found: SeriesFigures | None, expected: tuple[float | None, float | None]) -> str:
    low, high = expected
    if found is None:
        return ""
    parts = []
    if low is not None and found.minimum < low:  # NaN, where no value is a number, is neither
        parts.append(f"least value {found.minimum:g} is below {low:g}")
    if high is not None and found.maximum > high:
        parts.append(f"greatest value {found.maximum:g} is above {high:g}")
    return ", ".join(parts)


_CHECKS: Final[Mapping[str, Callable[[SeriesFigures | None, Any], str]]] = {
    "max_gap": _max_gap,
    "min_points": _min_points,
    "bad_share": _bad_share,
    "range": _range,
}
