"""Render a profile as one self-contained page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.config import format_duration
from omnia_beam.core.text import counted, printable
from omnia_beam.pipelines.pages.formats import percent
from omnia_beam.pipelines.pages.render import render_page
from omnia_beam.pipelines.profile.figures import Profile, SeriesFigures, Stretch
from omnia_beam.pipelines.profile.spark import HEIGHT, Drawing, drawing_of, used_steps

SERIES_SHOWN: Final = 10_000
STRETCHES_SHOWN: Final = 200
STRETCHES_OF_A_SERIES: Final = 5
_NAMED_PROBLEMS: Final = 20
_ROWS_BEFORE_LISTS: Final = 100
"""Number of series up to which their table stands before the gaps and flat stretches."""


@dataclass(frozen=True)
class PageFacts:
    """What the page shows besides the figures.

    Args:
        job: name of the job.
        place: path of the destination.
        files: number of files read.
        created: when, for people.
        problems: what was not read, and what else the reader has to know.
        noun: what a part of the destination is called, which `files` counts.
    """

    job: str
    place: str
    files: int
    created: str
    problems: tuple[str, ...] = ()
    noun: str = "file"


def profile_page(profile: Profile, facts: PageFacts) -> str:
    """Return the page as HTML."""
    return render_page(__package__, "profile.html.j2", "profile.css", facts=facts, **_content(profile, facts))


def _content(profile: Profile, facts: PageFacts) -> dict[str, Any]:
    shown = profile.series[:SERIES_SHOWN]
    names = {each.series_id: each.about.name for each in profile.series}
    problems = [printable(each) for each in facts.problems]
    more = len(problems) - _NAMED_PROBLEMS
    steps = used_steps(profile.series)
    return {
        "profile": profile,
        "limit": format_duration(profile.gap_ns),
        "span": profile.span_ns,
        "problems": problems[:_NAMED_PROBLEMS] + ([f"and {more:,} more"] if more > 0 else []),
        "cards": _cards(profile, facts),
        "rows": [_Row(each, drawing_of(each, profile.gap_ns, steps)) for each in shown],
        "series_left": len(profile.series) - len(shown),
        "has_statuses": any(each.bad is not None for each in profile.series),
        "has_units": any(each.about.unit for each in shown),
        "lists_first": len(shown) > _ROWS_BEFORE_LISTS,
        "of_a_series": STRETCHES_OF_A_SERIES,
        "columns": steps,
        "height": HEIGHT,
        "lists": [
            _List("gaps", "Gaps", _shown(profile.gaps), profile.gap_count, names),
            _List("flats", "Flat stretches", _shown(profile.flats), profile.flat_count, names),
        ],
    }


def _cards(profile: Profile, facts: PageFacts) -> list[tuple[str, str, str]]:
    """Return number, noun and what the number depends on."""
    bad = sum(each.bad or 0 for each in profile.series)
    known = any(each.bad is not None for each in profile.series)
    holding_gaps = sum(each.gaps.count > 0 for each in profile.series)
    holding_flats = sum(each.flats.count > 0 for each in profile.series)
    return [
        (f"{len(profile.series):,}", "series", f"in {counted(facts.files, facts.noun)}"),
        (f"{profile.points:,}", _noun(profile.points, "point"), ""),
        (
            percent(bad / profile.points) if known and profile.points else "–",
            "bad",
            counted(bad, "point") if known else "no statuses",
        ),
        (f"{profile.gap_count:,}", _noun(profile.gap_count, "gap"), f"in {holding_gaps:,} series"),
        (
            f"{profile.flat_count:,}",
            _noun(profile.flat_count, "flat stretch", "flat stretches"),
            f"in {holding_flats:,} series",
        ),
    ]


def _shown(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    """Return the longest stretches, of each series a few, so that one with very many hides no other."""
    seen: Counter[str] = Counter()
    shown = []
    for each in stretches:
        seen[each.series_id] += 1
        if seen[each.series_id] <= STRETCHES_OF_A_SERIES:
            shown.append(each)
    return tuple(shown[:STRETCHES_SHOWN])


def _noun(count: int, one: str, several: str = "") -> str:
    return one if count == 1 else several or f"{one}s"


@dataclass(frozen=True)
class _Row:
    """A row of the table of series."""

    figures: SeriesFigures
    drawing: Drawing

    @property
    def title(self) -> str:
        return printable(self.figures.title)

    @property
    def has_name(self) -> bool:
        """Whether its name is another than its id."""
        return self.figures.about.name not in ("", self.figures.series_id)

    @property
    def unit(self) -> str:
        return printable(self.figures.about.unit)

    @property
    def facility(self) -> str:
        return printable(self.figures.about.facility)

    @property
    def id(self) -> str:
        return printable(self.figures.series_id)

    @property
    def odd_values(self) -> str:
        """The values that are no numbers, in words; empty where there are none."""
        figures = self.figures
        parts = ((figures.nan, "NaN"), (figures.infinite, "infinite"), (figures.same_time, "at the time of another"))
        return ", ".join(f"{count:,} {what}" for count, what in parts if count)


@dataclass(frozen=True)
class _List:
    """A table of stretches."""

    id: str
    heading: str
    rows: tuple[Stretch, ...]
    count: int
    names: dict[str, str]

    def title(self, row: Stretch) -> str:
        """Return the series' name, or its id where it has none."""
        return printable(self.names[row.series_id] or row.series_id)

    def has_name(self, row: Stretch) -> bool:
        return bool(self.names[row.series_id])
