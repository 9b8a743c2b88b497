"""Ranges of differences as rows for people: series that differ alike share one, and a kind with many rows hides no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from omnia_beam.core.text import counted
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import KINDS, POINT_KINDS
from omnia_beam.pipelines.verify.ranges import DifferenceRange


@dataclass(frozen=True)
class RangeRow:
    """A range of one series, or the same range of several.

    Args:
        range: the first of them.
        series_ids: by name.
        count, points: of all of them.
    """

    range: DifferenceRange
    series_ids: tuple[str, ...]
    count: int
    points: int

    def line(self, title_of: Callable[[str], str]) -> str:
        """Return kind, series, number, time and first example as one line."""
        title, others = title_of(self.series_ids[0]), len(self.series_ids) - 1
        whose = f"{title} and {others:,} more series" if others else title
        return ": ".join(part for part in (self.range.kind, whose, self._extent(), self.range.examples[0]) if part)

    def _extent(self) -> str:
        """Return the number and the time; empty for a single point, whose example gives it."""
        span = self.range.span
        if self.range.kind in POINT_KINDS and span is not None:
            times = f"from {format_time(span.start_ns)} to {format_time(span.end_ns - 1)}"
            return "" if self.count == 1 else f"{self.count:,} points {times}, the first"
        when = "" if span is None else str(span)
        return f"{self.count:,} times {when}" if self.count > len(self.series_ids) else when


def rows_of(ranges: Iterable[DifferenceRange], title_of: Callable[[str], str]) -> list[RangeRow]:
    """Return rows by kind, name and time; series that differ in the same way over the same time share one."""
    found: dict[tuple[object, ...], list[DifferenceRange]] = {}
    for each in ranges:
        alike = (each.span, each.examples) if each.kind not in POINT_KINDS else (each.series_id, each.span)
        found.setdefault((each.kind, *alike), []).append(each)
    rows = []
    for same in found.values():
        same.sort(key=lambda each: title_of(each.series_id).casefold())
        ids = tuple(dict.fromkeys(each.series_id for each in same))
        rows.append(RangeRow(same[0], ids, sum(each.count for each in same), sum(each.points for each in same)))
    order = {kind: at for at, kind in enumerate(KINDS)}
    return sorted(
        rows, key=lambda row: (order[row.range.kind], title_of(row.series_ids[0]).casefold(), row.range.start_ns)
    )


def some_of_each(rows: Sequence[RangeRow], at_most: int) -> list[RangeRow]:
    """Return so many rows, in their order; of each kind the first ones."""
    ranked = []
    seen: Counter[str] = Counter()
    for at, row in enumerate(rows):
        seen[row.range.kind] += 1
        ranked.append((seen[row.range.kind], at))
    return [rows[at] for at in sorted(at for _, at in sorted(ranked)[:at_most])]


def more_rows(left: int) -> str:
    """Return the line about rows that are not shown."""
    return f"and {counted(left, 'more range')} of differences: see the report"
