"""What a verification has found so far: every difference counted, so many of each kind named, the rest bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from omnia_beam.core.chunk import Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.pipelines.verify_coverage import DIFFERENT, CoverageGrid
from omnia_beam.pipelines.verify_difference import Difference, point_counts, point_differences
from omnia_beam.pipelines.verify_fingerprint import Fingerprint
from omnia_beam.pipelines.verify_points import PointComparison

NAMED: Final = 500
"""Differences of each kind that are named one by one; all are counted."""

MAX_CURVES: Final = 12


@dataclass(frozen=True, eq=False)
class DifferingCurve:
    """Material for one plot: a series in one window, both copies, and how they differ."""

    series_id: str
    range: TimeRange
    expected: Points
    found: Points
    comparison: PointComparison


@dataclass(slots=True)
class SeriesTotals:
    """One series over all windows compared, and of those that should hold points and do not, how many and which range."""

    expected: int = 0
    found: Fingerprint = field(default_factory=Fingerprint)
    windows: int = 0
    start_ns: int = 0
    end_ns: int = 0


@dataclass
class Findings:
    """Collected by `verify_examination`; memory grows with the number of series and of windows that differ, not of points.

    Args:
        grid: the coverage picture.
        counts: by kind, all differences, also those not named.
        differences: those named.
        concerned: windows to copy again.
        strays: files to put out of the way, relative to the destination.
        curves: material for plots.
        notes: what a reader of the report should know besides.
        windows, points, files: looked at in the destination.
        source_points: read from the source.
        foreign_files: files of other jobs in the same destination, not judged.
        kept_points: points that are recorded as kept although the source no longer shows them; no difference.
    """

    grid: CoverageGrid
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    concerned: set[ChunkKey] = field(default_factory=set)
    strays: list[str] = field(default_factory=list)
    curves: list[DifferingCurve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    windows: int = 0
    points: int = 0
    files: int = 0
    source_points: int = 0
    foreign_files: int = 0
    kept_points: int = 0
    _named: Counter[str] = field(default_factory=Counter)
    _totals: dict[str, SeriesTotals] = field(default_factory=dict)
    _empty_windows: list[Difference] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All differences."""
        return self.counts.total()

    def add(self, difference: Difference, count: int = 1, series_ids: Sequence[str] = ()) -> None:
        """Count a difference `count` times, name it if there is room, and mark its series and range in the picture."""
        self.counts[difference.kind] += count
        self._name(difference)
        if difference.range is not None and difference.kind != "not_covered":  # that has a colour of its own
            for series_id in series_ids or [difference.series_id]:
                self.grid.mark(series_id, difference.range, DIFFERENT)

    def add_points(
        self, series_id: str, range: TimeRange, expected: Points, found: Points, comparison: PointComparison
    ) -> None:
        """Two copies of one series in one window that differ."""
        self.counts.update(point_counts(comparison))
        for difference in point_differences(series_id, comparison, NAMED):
            self._name(difference)
        changed, shifted = comparison.changed, comparison.shifted
        for points in (comparison.missing, comparison.extra, changed[0], *shifted):
            self.grid.mark_times(series_id, points.times, DIFFERENT)
        if len(self.curves) < MAX_CURVES:
            self.curves.append(DifferingCurve(series_id, range, expected, found, comparison))

    def add_empty(self, series_id: str, range: TimeRange, points: int) -> None:
        """A window of a series of which nothing is there: `finish` tells whether the whole series is gone."""
        text = f"all {points:,} points of the window are missing"
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
        """Once."""
        if text not in self.notes:
            self.notes.append(text)

    def finish(self) -> Findings:
        """Tell series that are gone altogether from single windows that are, and put the differences in order."""
        gone = {
            series_id
            for series_id, each in self._totals.items()
            if each.windows and not each.found.count and each.expected
        }
        for series_id in sorted(gone):
            each = self._totals[series_id]
            text = f"no point is there; {each.expected:,} in {each.windows:,} windows were copied"
            where = TimeRange(each.start_ns, each.end_ns)
            self.add(Difference("missing_series", text, series_id, where, points=each.expected))
        for difference in self._empty_windows:
            if difference.series_id not in gone:
                self.add(difference)
        self._empty_windows.clear()
        self.differences.sort(key=_order)
        return self

    def series_prints(self) -> dict[str, Fingerprint]:
        """By series, of all that was found in the destination: those of its windows, added up."""
        return {series_id: self._totals[series_id].found for series_id in sorted(self._totals)}

    def counts_json(self) -> dict[str, int]:
        """By kind, ascending by name."""
        return dict(sorted((kind, count) for kind, count in self.counts.items() if count))

    def to_json(self) -> dict[str, Any]:
        """Plain data for a report."""
        return {
            "windows": self.windows,
            "points": self.points,
            "files": self.files,
            "source_points": self.source_points,
            "foreign_files": self.foreign_files,
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


_RANK: Final = {"missing_series": 0, "missing_file": 1, "unreadable_file": 2}
"""The largest first; then by series and time."""


def _order(difference: Difference) -> tuple[int, str, int, str]:
    start = difference.range.start_ns if difference.range is not None else 0
    return _RANK.get(difference.kind, len(_RANK)), difference.series_id, start, difference.file
