"""`omnia-beam profile`: read a job's destination and show figures of every series, gaps, and values that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.progress_display import showing_progress
from omnia_beam.config import JobConfig, format_duration, parse_duration
from omnia_beam.core.errors import UsageError
from omnia_beam.core.summary import ProgressFacts, Summary
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, format_time
from omnia_beam.io.base import Sink
from omnia_beam.io.contents import Contents
from omnia_beam.io.kinds import sink_of
from omnia_beam.pipelines.pages.formats import gap_text, percent, value_text
from omnia_beam.pipelines.profile.expectations import check_expectations
from omnia_beam.pipelines.profile.figures import Profile, SeriesFigures, figures_of, note_of_rare_points, stretches_of
from omnia_beam.pipelines.profile.page import PageFacts, profile_page
from omnia_beam.pipelines.profile.reading import tally_of
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.store import write_durably

_TABLE_ROWS: Final = 40
_NAMED_PROBLEMS: Final = 20


@dataclass(frozen=True)
class ProfileResult:
    """What was read of a destination.

    Args:
        profile: the figures.
        place: where the destination is.
        files: number of files, or of other parts.
        noun: what a part is, such as `file`.
        names: by stored id, of the series that the metadata beside the data lists.
        problems: what could not be read, a text each: the figures are of the rest.
        warnings: what else has to be known.
    """

    profile: Profile
    place: str
    files: int
    noun: str = "file"
    names: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether there is something and all of it was read."""
        return bool(self.files) and not self.problems


def run_profile(
    config: JobConfig,
    context: RunContext,
    gap: str = "1h",
    *,
    html: str | None = None,
    given: tuple[bool, bool] = (False, False),
) -> CommandResult:
    """Compute the figures of a job's destination. Writes nothing but the page.

    Args:
        gap: a duration: a longer time without a point is a gap, a longer time with one value a flat stretch.
        html: file to write the page to.
        given: whether the start and the end of the window were given as options: only then points outside are left out.

    Returns:
        Complete where all files were read and every series is as `expect` says; incomplete where some files could not be read, or
        there are none.

    Raises:
        UsageError: the destination cannot be read as a whole, or the gap is not a duration.
        DestinationError: the destination cannot be listed, or the page cannot be written.
    """
    began = context.clock()
    profiled = profile_files(config, context, _gap_ns(gap), _within(config, *given))
    profile = profiled.profile
    details: dict[str, Any] = _details(profiled)
    expected = None if config.expect is None else check_expectations(config.expect, profile.series, profiled.names)
    failed = () if expected is None else tuple(str(each) for each in expected.breaches)
    if html is not None:
        texts = (*failed, *profiled.problems, *profiled.warnings)
        facts = PageFacts(config.name, profiled.place, profiled.files, _created(), texts, profiled.noun)
        write_durably(html, profile_page(profile, facts).encode())
        details["page"] = html

    def show() -> None:
        if not context.quiet:
            _print(profiled, html, context)
            for line in () if expected is None else expected.lines():
                context.out.print(line, markup=False, highlight=False, soft_wrap=True)

    summary = Summary(
        "profile",
        status="complete" if profiled.is_complete else "incomplete",
        series=len(profile.series),
        points_read=profile.points,
        elapsed_s=context.clock() - began,
        warnings=(*profiled.problems[:_NAMED_PROBLEMS], *profiled.warnings),
        details=details,
    )
    return CommandResult(summary if expected is None else expected.added_to(summary), show)


def profile_files(
    config: JobConfig, context: RunContext, gap_ns: int, within: TimeRange | None = None
) -> ProfileResult:
    """Read the destination of a job. Raises what `run_profile` raises."""
    contents = _contents(config, within)

    def facts() -> ProgressFacts:
        return ProgressFacts(contents.parts_read, len(contents.parts), contents.points_read, 0)

    with showing_progress(context.progress, facts, context.err, passing=True):
        tally = tally_of(contents, gap_ns)
    names = contents.names()
    figures = [
        replace(each, about=names.rows.get(each.series_id, each.about))
        for each in figures_of(tally, statuses=contents.holds_statuses)
    ]
    figures.sort(key=lambda each: (each.title.casefold(), each.title, each.series_id))
    profile = Profile(gap_ns, tuple(figures), stretches_of(tally, tally.gaps), stretches_of(tally, tally.flats))
    rare = note_of_rare_points(profile)
    warnings = (*names.problems, *contents.warnings, *([f"{rare} (--gap)"] if rare else []))
    listed = {series_id: about.name for series_id, about in names.rows.items()}
    problems = tuple(contents.problems.values())
    return ProfileResult(profile, contents.place, len(contents.parts), contents.part_noun, listed, problems, warnings)


def _gap_ns(text: str) -> int:
    try:
        gap_ns = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--gap: {error}") from None
    if not gap_ns:
        raise UsageError("--gap: is 0: give the longest time between two points that is no gap, such as 1h")
    return gap_ns


def _within(config: JobConfig, start: bool, end: bool) -> TimeRange | None:
    """Return the range to which the options `--start` and `--end` limit the figures; None where neither was given."""
    window = config.window
    if window is None or not (start or end):
        return None
    last = MAX_TIME_NS if not end or window.end is None else window.end
    return TimeRange(window.start if start else MIN_TIME_NS, last)


def _contents(config: JobConfig, within: TimeRange | None) -> Contents:
    sink: Sink = sink_of(config)
    found = sink.contents(within)
    if found is None:
        raise UsageError(
            f"profile reads files and tables, and sink.kind is {config.sink.kind}: copy the series into files first"
        )
    return found


def _created() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _details(profiled: ProfileResult) -> dict[str, Any]:
    profile = profiled.profile
    span = profile.span_ns
    return {
        "files": profiled.files,
        "files_unread": len(profiled.problems),
        "gap": format_duration(profile.gap_ns),
        "gap_ns": profile.gap_ns,
        "first": format_time(span[0]) if span else None,
        "last": format_time(span[1]) if span else None,
        "profile": [each.to_json() for each in profile.series],
        "gap_count": profile.gap_count,
        "gaps": [each.to_json() for each in profile.gaps],
        "flat_count": profile.flat_count,
        "flat_stretches": [each.to_json() for each in profile.flats],
    }


def _print(profiled: ProfileResult, html: str | None, context: RunContext) -> None:
    profile = profiled.profile
    context.out.print(_facts(profiled))
    if profile.series:
        context.out.print()
        context.out.print(_table(profile.series[:_TABLE_ROWS]))
        if len(profile.series) > _TABLE_ROWS:
            context.out.print(f"and {len(profile.series) - _TABLE_ROWS:,} more series: see --html or --json")
    problems = [f"NOT READ: {each}" for each in profiled.problems[:_NAMED_PROBLEMS]]
    if len(profiled.problems) > _NAMED_PROBLEMS:
        problems.append(f"and {len(profiled.problems) - _NAMED_PROBLEMS:,} more that cannot be read")
    page = [] if html is None else [f"page: {html}"]
    for text in (*problems, *(f"warning: {each}" for each in profiled.warnings), *page):
        context.out.print(text, markup=False, highlight=False, soft_wrap=True)


def _facts(profiled: ProfileResult) -> Table:
    profile, span = profiled.profile, profiled.profile.span_ns
    longer = f"longer than {format_duration(profile.gap_ns)}"
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row(
        "points", f"{profile.points:,} of {len(profile.series):,} series in {counted(profiled.files, profiled.noun)}"
    )
    if span:
        table.add_row("time", f"{format_time(span[0])} to {format_time(span[1])}")
    table.add_row("gaps", f"{profile.gap_count:,} {longer}")
    table.add_row("flat stretches", f"{profile.flat_count:,} {longer}")
    return table


def _table(series: tuple[SeriesFigures, ...]) -> Table:
    table = Table("series", box=None, pad_edge=False)
    for name in ("points", "minimum", "mean", "maximum", "bad", "longest gap", "gaps", "flat"):
        table.add_column(name, justify="right", no_wrap=True)
    table.columns[0].overflow = "fold"
    for each in series:
        interval = each.longest_interval
        table.add_row(
            one_line(f"{each.title} ({each.about.unit})" if each.about.unit else each.title),
            f"{each.points:,}",
            value_text(each.minimum),
            value_text(each.mean),
            value_text(each.maximum),
            percent(each.share_bad),
            gap_text(interval.length_ns) if interval else "",
            f"{each.gaps.count:,}",
            f"{each.flats.count:,}",
        )
    return table
