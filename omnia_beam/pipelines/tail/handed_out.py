"""The windows that one cycle of a streaming tail gives out, and which of them are still under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import Window
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.pipelines.work_plan import WorkPlan
from omnia_beam.plan.plan import Plan

MOST_WINDOWS = 2_000
"""Windows of one cycle, at most: they are in every checkpoint. The next cycle gives out the rest of a backlog at once."""


def first_windows(work: WorkPlan) -> tuple[WorkPlan, bool]:
    """Return as many windows of a plan as one cycle gives out, and whether that is all of them."""
    if len(work.plan) <= MOST_WINDOWS:
        return work, True
    plan: Plan = work.plan.having(work.plan.rows[:MOST_WINDOWS])
    keys = {window.key for window in plan}
    return WorkPlan(plan, tuple(each for each in work.again if each.key in keys), work.recorded), False


def under_way(ledger: Ledger, scope: str, windows: Iterable[Window], failures: Iterable[Mapping[str, Any]]) -> int:
    """Return how many windows are neither recorded whole nor reported as failed in what is missing of them.

    Args:
        ledger: just loaded.
        scope: digest.
        windows: as given out.
        failures: as `read_failures` returns them.
    """
    failed: dict[str, list[TimeRange]] = {}
    for failure in failures:
        for series_id in failure["series"]:
            failed.setdefault(series_id, []).append(TimeRange(failure["start_ns"], failure["end_ns"]))
    windows = list(windows)
    by_range: dict[TimeRange, set[str]] = {}
    for window in windows:
        by_range.setdefault(window.key.range, set()).update(window.key.series_ids)
    pending: set[tuple[str, TimeRange]] = set()
    for part, series_ids in by_range.items():
        for ids, holes in ledger.missing(scope, series_ids, part):
            pending.update((each, part) for each in ids if len(holes.subtract(failed.get(each, ()))))
    return sum(any((each, window.key.range) in pending for each in window.key.series_ids) for window in windows)
