"""Hold a plan, the windows to be read, compactly.

A window in memory is a row of numbers and the index of its group of series, so that a million windows take tens of
megabytes; `Window` objects are created when they are requested.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.text import counted, html_table
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.plan.packing import PackedWindow

ROW: Final = np.dtype(
    [("group", np.int32), ("requests", np.int32), ("start", np.int64), ("end", np.int64), ("points", np.int64)]
)


_REQUEST_POINTS: Final = 5_000
"""Cost of a request by itself, in points; it decides how plans of sparse series are divided."""


_SHOWN: Final = 20
"""Number of windows that a notebook shows."""

Wanted = tuple[Sequence[str], TimeRange]
"""Series ids and the range that is wanted of all of them."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The service's count of points at the time of planning.

    Args:
        range: the range that was counted.
        points: number of points by series id; exact, except for a point at the bounds.
    """

    range: TimeRange
    points: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WindowShard:
    """Some windows of a plan, a few hundred or fewer, for one worker to read: the element of the source."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """Windows in the order in which they are to be read.

    Args:
        groups: tuples of series ids, ascending.
        rows: structured array: group index, requests, start (ns), end (ns), expected points.
        recorded: points that are recorded of a window (see `Window`), by key of those windows that have any.
        counted: the ranges and series that the service counted, and their points, which the windows must bring.
    """

    groups: tuple[tuple[str, ...], ...]
    rows: npt.NDArray[Any] = field(repr=False)
    recorded: Mapping[ChunkKey, tuple[int, ...]] = field(default_factory=dict, repr=False)
    counted: tuple[Counted, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, packed: Iterable[PackedWindow], *, newest_first: bool = False) -> Plan:
        """Return a plan of packed windows, in order; see `ordered`."""
        plan = cls._gather((w.series_ids, w.requests, w.range, w.expected_points) for w in packed)
        return plan.ordered(newest_first=newest_first)

    @classmethod
    def of_windows(cls, windows: Iterable[Window]) -> Plan:
        """Return a plan of windows, in their own order."""
        kept = list(windows)
        plan = cls._gather((w.key.series_ids, w.requests, w.key.range, w.expected_points) for w in kept)
        return replace(plan, recorded={w.key: w.recorded for w in kept if w.recorded})

    @classmethod
    def _gather(cls, windows: Iterable[tuple[tuple[str, ...], int, TimeRange, int]]) -> Plan:
        groups: dict[tuple[str, ...], int] = {}
        rows = np.fromiter(
            (
                (groups.setdefault(ids, len(groups)), requests, each.start_ns, each.end_ns, points)
                for ids, requests, each, points in windows
            ),
            dtype=ROW,
        )
        return cls(tuple(groups), rows)

    def joined(self, other: Plan) -> Plan:
        """Return this plan and another as one, in no particular order."""
        groups = {group: number for number, group in enumerate(self.groups)}
        numbers = np.array([groups.setdefault(group, len(groups)) for group in other.groups], np.int32)
        rows = other.rows.copy()
        rows["group"] = numbers[rows["group"]] if len(rows) else rows["group"]
        recorded = {**self.recorded, **other.recorded}
        return Plan(tuple(groups), np.concatenate([self.rows, rows]), recorded, self.counted + other.counted)

    def merged(self, windows: Iterable[Window]) -> Plan:
        """Return this plan with further windows appended."""
        more = list(windows)
        return replace(Plan.of_windows([*self, *more]), counted=self.counted) if more else self

    def ordered(self, *, newest_first: bool = False) -> Plan:
        """Return the plan sorted by start, then by group: oldest first, or newest first by end."""
        first = -self.rows["end"] if newest_first else self.rows["start"]
        return replace(self, rows=self.rows[np.lexsort((self.rows["group"], first))])

    def divided(self, parts: int) -> list[Plan]:
        """Divide into at most so many plans of about the same work, none of them empty; each window is in one of them.

        Each plan takes its windows from the whole order, which it keeps, so that all together they advance as one plan would.
        """
        costs = (self.rows["points"] + _REQUEST_POINTS * self.rows["requests"].astype(np.int64)).tolist()
        heap = [(0, part) for part in range(parts)]
        of = np.empty(len(self.rows), np.int32)
        for place, cost in enumerate(costs):
            taken, part = heap[0]
            of[place] = part
            heapq.heapreplace(heap, (taken + cost, part))
        alone = replace(self, counted=())  # the counts stay with the driver
        return [alone.having(self.rows[of == part]) for part in range(parts) if (of == part).any()]

    def having(self, rows: npt.NDArray[Any]) -> Plan:
        """Return a plan of these of its rows, with no groups but theirs."""
        used, numbers = np.unique(rows["group"], return_inverse=True)
        renumbered = rows.copy()
        renumbered["group"] = numbers
        return replace(self, groups=tuple(self.groups[group] for group in used.tolist()), rows=renumbered)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Window]:
        return (self.window(i) for i in range(len(self.rows)))

    def window(self, index: int) -> Window:
        """Return the window at this place of the order."""
        group, requests, start, end, points = self.rows[index].tolist()
        key = ChunkKey(self.groups[group], TimeRange(start, end))
        return Window(key, points, requests, self.recorded.get(key, ()) if self.recorded else ())

    @property
    def expected_points(self) -> int:
        return int(self.rows["points"].sum())

    @property
    def requests(self) -> int:
        """Requests that the reading is expected to take."""
        return int(self.rows["requests"].sum())

    @property
    def series(self) -> int:
        """Number of distinct series."""
        return len({series_id for group in self.groups for series_id in group})

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the totals, and a row for each of the first windows."""
        rows = []
        for window in islice(self, _SHOWN):
            key = window.key
            some = ", ".join(key.series_ids[:3]) + (", …" if len(key.series_ids) > 3 else "")
            bounds = format_time(key.range.start_ns), format_time(key.range.end_ns)
            rows.append(
                (*bounds, f"{len(key.series_ids):,}", f"{window.expected_points:,}", f"{window.requests:,}", some)
            )
        caption = f"plan: {counted(len(self), 'window')} of {self.series:,} series, about {counted(self.expected_points, 'point')}"
        caption += f"; the first {len(rows)} are shown" if len(rows) < len(self) else ""
        return html_table(("start", "end", "series", "points", "requests", "of"), rows, caption)

    def shards(self, windows_each: int) -> Iterator[WindowShard]:
        """Yield the windows as elements of the source, in order."""
        return shard_windows(self, windows_each)


def shard_windows(windows: Iterable[Window], windows_each: int) -> Iterator[WindowShard]:
    """Yield a sequence of windows as elements of the source, in order.

    Raises:
        ValueError: a shard would have less than one window.
    """
    if windows_each < 1:
        raise ValueError(f"a shard holds at least one window, not {windows_each}")
    rest = iter(windows)
    while batch := tuple(islice(rest, windows_each)):
        yield WindowShard(batch)
