"""Collect what a verification finds: every difference is counted, up to 500 of each kind are named, the rest is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from omnia_beam.core.chunk import Points
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.difference import Difference
from omnia_beam.io.observer import Stray
from omnia_beam.pipelines.verify.coverage import DIFFERENT, CoverageGrid
from omnia_beam.pipelines.verify.difference_log import DifferenceLog
from omnia_beam.pipelines.verify.points import PointComparison, point_counts, point_differences
from omnia_beam.pipelines.verify.ranges import RangeBook

NAMED: Final = 500
"""Number of differences of each kind that are named one by one; all are counted."""

MAX_CURVES: Final = 12


@dataclass(frozen=True, eq=False)
class DifferingCurve:
    """The data of one plot: a series in one window, both copies, and how they differ."""

    series_id: str
    range: TimeRange
    expected: Points
    found: Points
    comparison: PointComparison


@dataclass(slots=True)
class SeriesTotals:
    """The totals of one series over all windows compared.

    `windows` counts those that should hold points and hold none, and `start_ns` and `end_ns` are their range.
    """

    expected: int = 0
    found: Fingerprint = field(default_factory=Fingerprint)
    windows: int = 0
    start_ns: int = 0
    end_ns: int = 0


@dataclass
class Comparison:
    """The findings of `verify_examination`; memory grows with the number of series and of windows that differ, not of points.

    Args:
        grid: the coverage picture.
        counts: by kind, all differences, also those not named.
        differences: those named.
        concerned: windows to copy again, each with its series that differ; an empty set stands for all of them.
        unread: windows that could not be compared, in whole or in part, on either side.
        strays: files to set aside.
        gone: series that the destination does not know any more.
        limits: what is not compared by the nature of the destination. It is reported first.
        curves: data for plots.
        notes: what a reader of the report should know besides.
        windows, points, files: compared in the destination.
        source_points: read from the source.
        foreign_files: files of other jobs in the same destination, not judged.
        kept_points: points that are recorded as kept although the source no longer shows them; no difference.
        unchecked_files: compared files whose pages carry no checksums.
        ranges: all differences, as ranges of time.
        log: where all of them are written one by one; None for nowhere.
        targets: by series, the id under which the destination stores it, where that is another one.
    """

    grid: CoverageGrid
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    concerned: dict[ChunkKey, set[str]] = field(default_factory=dict)
    unread: dict[ChunkKey, str] = field(default_factory=dict)
    strays: list[Stray] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    limits: list[str] = field(default_factory=list)
    curves: list[DifferingCurve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    windows: int = 0
    points: int = 0
    files: int = 0
    source_points: int = 0
    foreign_files: int = 0
    kept_points: int = 0
    unchecked_files: int = 0
    ranges: RangeBook = field(default_factory=RangeBook)
    log: DifferenceLog | None = None
    targets: dict[str, str] = field(default_factory=dict)
    _named: Counter[str] = field(default_factory=Counter)
    _totals: dict[str, SeriesTotals] = field(default_factory=dict)
    _empty_windows: list[Difference] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of all differences, what could not be compared among them."""
        return self.counts.total()

    @property
    def not_compared(self) -> str:
        """What could not be compared, in words; empty where everything was. Reports show it first."""
        if not self.counts["not_compared"]:
            return ""
        first = next((each for each in self.differences if each.kind == "not_compared"), None)
        parts = [f"{len(self.unread):,} of {counted(self.windows, 'window')}"] if self.unread else []
        folders = sum(1 for each in self.differences if each.kind == "not_compared" and each.file)
        if folders:
            parts.append(counted(folders, "folder"))
        names = {} if self.log is None else self.log.names
        where = "" if first is None else first.file or names.get(first.series_id) or first.series_id
        why = "" if first is None else f", the first of {where}: {first.text}"
        return f"{' and '.join(parts)} could not be compared{why}"

    def concern(self, key: ChunkKey, series_ids: Iterable[str] = ()) -> None:
        """Note a window to be copied again, because of some of its series or, without any, of all."""
        mine = set(series_ids) & set(key.series_ids)
        before = self.concerned.get(key)
        self.concerned[key] = mine if before is None else before | mine if before and mine else set()

    def add(self, difference: Difference, count: int = 1, series_ids: Sequence[str] = ()) -> None:
        """Count a difference `count` times, name it if there is room, and mark its series and range in the picture."""
        self.counts[difference.kind] += count
        self.ranges.add_difference(difference, count)
        self._name(difference)
        if self.log is not None:
            self.log.add(difference)
        if difference.range is not None and difference.kind != "not_covered":  # `not_covered` has a colour of its own
            for series_id in series_ids or [difference.series_id]:
                self.grid.mark(series_id, difference.range, DIFFERENT)

    def add_points(
        self, series_id: str, range: TimeRange, expected: Points, found: Points, comparison: PointComparison
    ) -> None:
        """Add two differing copies of one series in one window.

        Their points are counted, named and marked in the picture; the first 12 pairs of copies are kept for plots.
        """
        self.counts.update(point_counts(comparison))
        for difference in point_differences(series_id, comparison, NAMED):
            self._name(difference)
        self.ranges.add_points(series_id, range, expected, found, comparison)
        if self.log is not None:
            for difference in point_differences(series_id, comparison, None):
                self.log.add(difference)
        changed, shifted = comparison.changed, comparison.shifted
        for points in (comparison.missing, comparison.extra, changed[0], *shifted):
            self.grid.mark_times(series_id, points.times, DIFFERENT)
        if len(self.curves) < MAX_CURVES:
            self.curves.append(DifferingCurve(series_id, range, expected, found, comparison))

    def add_empty(self, series_id: str, range: TimeRange, points: int) -> None:
        """Add a window of a series without any point; `finish` decides whether the whole series is gone."""
        text = f"no point of the window is there, of {points:,}"
        self.grid.mark(series_id, range, DIFFERENT)
        totals = self._totals.setdefault(series_id, SeriesTotals())
        if totals.windows == 0:
            totals.start_ns, totals.end_ns = range.start_ns, range.end_ns
        totals.windows += 1
        totals.start_ns = min(totals.start_ns, range.start_ns)
        totals.end_ns = max(totals.end_ns, range.end_ns)
        self._empty_windows.append(Difference("missing_points", text, series_id, range, points=points))

    def count_series(self, series_id: str, expected: Fingerprint, found: Fingerprint) -> None:
        """Add a window of a series to its totals."""
        totals = self._totals.setdefault(series_id, SeriesTotals())
        totals.expected += expected.count
        totals.found = totals.found.plus(found)

    def note(self, text: str) -> None:
        """Add a note, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def finish(self) -> Comparison:
        """Separate series that are wholly gone from single windows that are, and sort the differences. Returns itself."""
        gone = {
            series_id
            for series_id, each in self._totals.items()
            if each.windows and not each.found.count and each.expected
        }
        for series_id in sorted(gone):
            each = self._totals[series_id]
            what = "it does not exist in the destination any more" if series_id in self.gone else "no point is there"
            text = f"{what}; copied were {counted(each.expected, 'point')} in {counted(each.windows, 'window')}"
            where = TimeRange(each.start_ns, each.end_ns)
            self.add(Difference("missing_series", text, series_id, where, points=each.expected))
        for series_id in sorted(self.gone - gone):
            text = "it does not exist in the destination any more; in the windows that were examined it held no points"
            self.add(Difference("missing_series", text, series_id))
        for difference in self._empty_windows:
            if difference.series_id not in gone:
                self.add(difference)
        self._empty_windows.clear()
        self.differences.sort(key=_order)
        return self

    def series_prints(self) -> dict[str, Fingerprint]:
        """Return by series the fingerprint of all that was found in the destination, summed over its windows."""
        return {series_id: self._totals[series_id].found for series_id in sorted(self._totals)}

    def counts_json(self) -> dict[str, int]:
        """Return the counts by kind, ascending by name."""
        return dict(sorted((kind, count) for kind, count in self.counts.items() if count))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report."""
        return {
            "not_compared": self.not_compared,
            "windows_not_compared": len(self.unread),
            "limits": list(self.limits),
            "windows": self.windows,
            "points": self.points,
            "files": self.files,
            "source_points": self.source_points,
            "foreign_files": self.foreign_files,
            "files_without_checksums": self.unchecked_files,
            "kept_point": self.kept_points,
            "differences": self.total,
            "by_kind": self.counts_json(),
            "named": [each.to_json() for each in self.differences],
            "notes": list(self.notes),
        }

    def _name(self, difference: Difference) -> None:
        self._named[difference.kind] += 1
        if self._named[difference.kind] <= NAMED:
            self.differences.append(difference)


_RANK: Final = {"not_compared": 0, "missing_series": 1, "missing_file": 2, "unreadable_file": 3}
"""Order of the kinds: what is not known, then the largest; other kinds follow by series and time."""


def _order(difference: Difference) -> tuple[int, str, int, str]:
    start = difference.range.start_ns if difference.range is not None else 0
    return _RANK.get(difference.kind, len(_RANK)), difference.series_id, start, difference.file
