"""Cut time at the start of the trailing interval that every run reads again, so that it reads little else.

A recorded window is read again as a whole. So what is missing is planned in windows that end where the interval begins, and a
window that reaches into it from far before (planned for another interval, or by a release that did not cut) is stored as
two once it has been read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from omnia_beam.core.time_range import TimeRange
from omnia_beam.plan.plan import Wanted


def cut_wanted(wanted: Iterable[Wanted], trailing: TimeRange | None) -> Iterator[Wanted]:
    """Yield what is wanted with each range cut where the trailing interval begins; None cuts nothing."""
    for series_ids, whole in wanted:
        parts = [whole] if trailing is None else whole.split_at([trailing.start_ns])
        yield from ((series_ids, part) for part in parts)


def stored_parts(window: TimeRange, trailing: TimeRange) -> list[TimeRange]:
    """Return the ranges as which a window is stored: two where reading it again would cost twice the interval or more.

    A window that begins less than an interval before the interval stays whole. The interval moves on from run to run, and
    cutting at each of its starts would leave a file for each run.

    Examples:
        >>> [(each.start_ns, each.end_ns) for each in stored_parts(TimeRange(0, 60), TimeRange(59, 60))]
        [(0, 59), (59, 60)]
        >>> [(each.start_ns, each.end_ns) for each in stored_parts(TimeRange(40, 60), TimeRange(50, 70))]
        [(40, 60)]
    """
    before = trailing.start_ns - window.start_ns
    return window.split_at([trailing.start_ns]) if before >= max(1, trailing.duration_ns) else [window]
