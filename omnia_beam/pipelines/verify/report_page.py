"""The content of a report's page: the verdict for whoever signs, what was not looked at, differences, gaps, and each series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from omnia_beam.core.fingerprint import RECIPE, Fingerprint, reading_program, reading_query
from omnia_beam.core.text import counted
from omnia_beam.io.difference import KINDS, POINT_KINDS
from omnia_beam.pipelines.pages.formats import moment_text
from omnia_beam.pipelines.pages.render import render_page
from omnia_beam.pipelines.profile.figures import SeriesFigures, Stretch, note_of_rare_points
from omnia_beam.pipelines.profile.spark import HEIGHT, Drawing, drawing_of, used_steps
from omnia_beam.pipelines.verify.range_rows import rows_of, some_of_each
from omnia_beam.pipelines.verify.ranges import DifferenceRange
from omnia_beam.pipelines.verify.report import HOLES, VerifyReport
from omnia_beam.pipelines.verify.report_digest import CSV_MARK, CSV_NAME, MARK, NO_DIGEST
from omnia_beam.pipelines.verify.report_pictures import coverage_svg, difference_svg
from omnia_beam.store import is_remote

_RANGES: Final = 200
_GAPS: Final = 20
_GAPS_EACH: Final = 2
"""Number of gaps shown of a series that nothing explains, so that one whose points are rare does not hide the others."""
_SERIES: Final = 300
_PRINTS: Final = 50
_FOREIGN: Final = "Not examined: "
"""Begin of the note about files of other jobs, which the page shows among what was not looked at."""


def report_page(report: VerifyReport) -> str:
    """Return the page as HTML, with zeros in place of its digest."""
    prints = report.fingerprints
    ranges = report.last.ranges.ranges()
    shown = rows_of(ranges, report.title_of)
    holes = rows_of((each for each in ranges if each.kind in HOLES and each.span is not None), report.title_of)
    gaps = _gap_rows(_first_of_each(report.data_gaps()), report)[:_GAPS]
    gaps_shown = sum(len(row.series_ids) for row in gaps)
    rows = list(_series_rows(report, prints))
    names = {each: report.name_of(each) for each in report.before.grid.series_ids}
    return render_page(
        __package__,
        "report.html.j2",
        "report.css",
        report=report,
        mark=f"{MARK}{NO_DIGEST}",
        digest=NO_DIGEST,
        csv_mark="" if report.differences is None else f"{CSV_MARK}{report.differences[1]}:{CSV_NAME}",
        csv_name=CSV_NAME,
        verdict=headline(report),
        paragraph=" ".join(_paragraph(report)),
        unseen=list(_unseen(report)),
        notes=list(_notes(report)),
        kinds=KINDS,
        point_kinds=POINT_KINDS,
        affected=_affected(ranges),
        ranges=some_of_each(shown, _RANGES),
        ranges_left=len(shown) - _RANGES,
        holes=holes[:_GAPS],
        holes_left=len(holes) - _GAPS,
        gaps=gaps,
        gaps_left=0 if report.profile is None else report.profile.gap_count - gaps_shown,
        gaps_each=_GAPS_EACH,
        rare="" if report.profile is None else note_of_rare_points(report.profile),
        rows=rows[:_SERIES],
        rows_left=len(rows) - _SERIES,
        columns=1 if report.profile is None else used_steps(report.profile.series),
        height=HEIGHT,
        coverage=coverage_svg(report.before.grid, names),
        plots=[(curve, difference_svg(curve)) for curve in report.before.curves],
        recipe=_recipe(report),
        query="" if report.copy is None else reading_query(report.copy.pattern, texts=report.copy.texts),
        fingerprints=dict(islice(prints.items(), _PRINTS)),
        more_fingerprints=len(prints) - _PRINTS,
    )


def _recipe(report: VerifyReport) -> str:
    """Return the program that computes fingerprints, with what reads the copy's files where they lie on a disk."""
    if report.copy is None or is_remote(report.copy.pattern):
        return RECIPE
    return f"{RECIPE}\n\n{reading_program(report.copy.pattern)}"


def headline(report: VerifyReport) -> str:
    """Return the verdict in one line."""
    before, last = report.before, report.last
    if last.not_compared:
        rest = last.total - last.counts["not_compared"]
        found = f"there {'is' if rest == 1 else 'are'} {counted(rest, 'difference')}" if rest else "nothing differs"
        return f"Not everything was compared. In the rest {found}."
    if not before.total and not before.points:
        return (
            "Equal: neither side holds a point."
            if report.against_source
            else "Equal: no point was copied, and none is there."
        )
    if not before.total:
        return "Equal: nothing differs."
    if report.repair is None:
        return f"{counted(before.total, 'difference')}."
    if not last.total:
        return f"Repaired: {counted(before.total, 'difference')} found, and none is left."
    return f"{counted(before.total, 'difference')} found, and {last.total:,} left after the repair."


def _paragraph(report: VerifyReport) -> Iterator[str]:
    """Yield the sentences of the verdict for whoever signs."""
    before, last, wanted = report.before, report.last, report.wanted
    span = f"{moment_text(wanted.start_ns)} to {moment_text(wanted.end_ns)} UTC"
    sink = report.configuration.get("sink", "the destination")
    yield f"Job {report.job} copies {report.series:,} series of the time {span} to {sink}."
    whom = (
        f"the source, which was read again ({counted(before.source_points, 'point')})"
        if report.against_source
        else "what was read when it was copied"
    )
    compared = f"{counted(before.points, 'point')} of {counted(before.windows, 'window')}"
    yield f"On {_made(report)} {compared} were read at the destination and compared, to the last bit, with {whom}."
    if last.not_compared:
        yield "Of a part nothing is known, so the copy cannot be called whole."
    if last.total - last.counts["not_compared"]:
        yield f"It is not equal: {_kinds_text(last.counts)}, in {_where(last.ranges.ranges())}."
        yield (
            "verify --repair copies again what differs."
            if report.repair is None
            else "Run verify again once the cause is known."
        )
    elif not last.not_compared:
        found = f" {counted(before.total, 'difference')} had been found and repaired." if before.total else ""
        yield f"Every value, time and status is the same, and nothing that was wanted is missing.{found}"
        if not before.points:
            yield "Where points were expected, look at the window and the selection of series."
    if last.kept_points:
        yield f"{counted(last.kept_points, 'point')} are kept although the source no longer shows them."


def _made(report: VerifyReport) -> str:
    return f"{report.created[:16].replace('T', ' ')} UTC"


_NOUNS: Final = {
    "missing_series": "series missing",
    "not_covered": "range never copied",
    "wrong_receipt": "wrong receipt",
    "replaced_in_part": "window replaced in part",
}
"""How the verdict names kinds whose names are no nouns, in the singular."""

_PLURALS: Final = {
    "missing_series": "series missing",
    "not_covered": "ranges never copied",
    "shifted_time": "shifted times",
    "changed_status": "changed statuses",
    "replaced_in_part": "windows replaced in part",
    "missing_points": "windows without their points",
}


def _kinds_text(counts: Mapping[str, int]) -> str:
    """Return how many differences of each kind there are, in words."""
    every = [(kind, counts[kind]) for kind in KINDS if counts.get(kind) and kind != "not_compared"]
    return ", ".join(f"{count:,} {_noun(kind, count)}" for kind, count in every)


def _noun(kind: str, count: int) -> str:
    one = _NOUNS.get(kind, kind.replace("_", " "))
    if count == 1:
        return "window without its points" if kind == "missing_points" else one
    return _PLURALS.get(kind, f"{one}s")


def _where(ranges: tuple[DifferenceRange, ...]) -> str:
    return f"{len({each.series_id for each in ranges if each.series_id}):,} series"


def _unseen(report: VerifyReport) -> Iterator[str]:
    """Yield what was not looked at, a text each."""
    last = report.last
    if last.not_compared:
        yield f"Not compared: {last.not_compared}"
    yield from last.limits
    yield from (note for note in report.before.notes if note.startswith(_FOREIGN))
    if not report.against_source:
        yield (
            "The source was not read again: what has changed there since it was copied does not show here. verify --source "
            "reads it."
        )
    yield from report.unseen


def _notes(report: VerifyReport) -> Iterator[str]:
    notes = dict.fromkeys([*report.before.notes, *(report.after.notes if report.after is not None else ())])
    yield from (note for note in notes if not note.startswith(_FOREIGN) and note not in report.unseen)
    if report.repair is not None:
        yield from report.repair.words()
        yield (
            "After the repair these were examined: what was copied again, what differed or could not be compared, the coverage, "
            "and files without a receipt."
        )


def _first_of_each(gaps: Iterable[tuple[Stretch, str, str]]) -> Iterator[tuple[Stretch, str, str]]:
    """Yield the longest gaps of each series, and all those where the copy misses something."""
    seen: Counter[str] = Counter()
    for gap, series_id, cause in gaps:
        seen[series_id] += cause == "data"
        if cause != "data" or seen[series_id] <= _GAPS_EACH:
            yield gap, series_id, cause


@dataclass(frozen=True)
class _GapRow:
    """A row of the table of gaps in the data: a time that one series, or several, have no points in."""

    stretch: Stretch
    cause: str
    series_ids: tuple[str, ...]


def _gap_rows(gaps: Iterable[tuple[Stretch, str, str]], report: VerifyReport) -> list[_GapRow]:
    """Return rows, the longest first; series that have no points in the same time share one."""
    found: dict[tuple[int, int, str], list[tuple[Stretch, str]]] = {}
    for stretch, series_id, cause in gaps:
        found.setdefault((stretch.start_ns, stretch.end_ns, cause), []).append((stretch, series_id))
    return [
        _GapRow(
            same[0][0], cause, tuple(sorted((each for _, each in same), key=lambda id: report.title_of(id).casefold()))
        )
        for (_, _, cause), same in found.items()
    ]


def _affected(ranges: tuple[DifferenceRange, ...]) -> dict[str, int]:
    """Return the number of series by kind of difference."""
    found: dict[str, set[str]] = {}
    for each in ranges:
        found.setdefault(each.kind, set()).add(each.series_id)
    return {kind: len(series - {""}) for kind, series in found.items()}


@dataclass(frozen=True)
class _SeriesRow:
    """A row of the table of series.

    Args:
        series_id: at the source; `target_id` at the destination where that is another one.
        print: the fingerprint of the copy; None where nothing of it was compared.
        differences: by kind.
        figures, drawing: of the copy; None where it was not read for that, or holds nothing.
    """

    series_id: str
    target_id: str
    print: Fingerprint | None
    differences: Mapping[str, int]
    figures: SeriesFigures | None
    drawing: Drawing | None

    @property
    def words(self) -> list[str]:
        """The differences by kind, in words."""
        return [f"{self.differences[kind]:,} {kind}" for kind in KINDS if kind in self.differences]


def _series_rows(report: VerifyReport, prints: Mapping[str, Fingerprint]) -> Iterator[_SeriesRow]:
    """Yield a row a series: those that differ first, then by name."""
    counts: dict[str, Counter[str]] = {}
    for each in report.last.ranges.ranges():
        counts.setdefault(each.series_id, Counter())[each.kind] += each.count
    profile = report.profile
    figures = {} if profile is None else {each.series_id: each for each in profile.series}
    steps = 1 if profile is None else used_steps(profile.series)
    every = {*prints, *report.before.grid.series_ids, *counts} - {""}
    for at, series_id in enumerate(
        sorted(every, key=lambda id: (id not in counts, report.title_of(id).casefold(), id))
    ):
        target = report.last.targets.get(series_id, series_id)
        found = figures.get(target)
        drawn = found is not None and profile is not None and at < _SERIES
        yield _SeriesRow(
            series_id,
            "" if target == series_id else target,
            prints.get(series_id),
            counts.get(series_id, {}),
            found,
            drawing_of(found, profile.gap_ns, steps) if drawn and found and profile else None,
        )
