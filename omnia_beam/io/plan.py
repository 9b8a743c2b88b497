"""The plan: which windows are to be read, held compactly.

A window in memory is a row of numbers and the index of its group of series, so that a million windows take tens of
megabytes; `Window` objects are made when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.packing import PackedWindow

_ROW: Final = np.dtype(
    [("group", np.int32), ("requests", np.int32), ("start", np.int64), ("end", np.int64), ("points", np.int64)]
)


@dataclass(frozen=True, slots=True)
class WindowShard:
    """Some windows of a plan, to be read by one worker: the element of the source. A few hundred windows or fewer."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """Windows in the order in which they are to be read.

    Args:
        groups: tuples of series ids, ascending.
        rows: structured array: group index, requests, start (ns), end (ns), expected points.
    """

    groups: tuple[tuple[str, ...], ...]
    rows: npt.NDArray[Any] = field(repr=False)

    @classmethod
    def of(cls, packed: Iterable[PackedWindow], *, newest_first: bool = False) -> Plan:
        """Gather windows; the order is by start (then by group), oldest first unless asked otherwise."""
        groups: dict[tuple[str, ...], int] = {}
        rows = np.fromiter(
            (
                (
                    groups.setdefault(w.series_ids, len(groups)),
                    w.requests,
                    w.range.start_ns,
                    w.range.end_ns,
                    w.expected_points,
                )
                for w in packed
            ),
            dtype=_ROW,
        )
        order = np.lexsort((rows["group"], -rows["end"] if newest_first else rows["start"]))
        return cls(tuple(groups), rows[order])

    @classmethod
    def of_windows(cls, windows: Iterable[Window]) -> Plan:
        """From windows, in their own order."""
        groups: dict[tuple[str, ...], int] = {}
        rows = np.fromiter(
            (
                (
                    groups.setdefault(w.key.series_ids, len(groups)),
                    w.requests,
                    w.key.range.start_ns,
                    w.key.range.end_ns,
                    w.expected_points,
                )
                for w in windows
            ),
            dtype=_ROW,
        )
        return cls(tuple(groups), rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Window]:
        return (self.window(i) for i in range(len(self.rows)))

    def window(self, index: int) -> Window:
        """The window at this place of the order."""
        group, requests, start, end, points = self.rows[index].tolist()
        return Window(ChunkKey(self.groups[group], TimeRange(start, end)), points, requests)

    @property
    def expected_points(self) -> int:
        return int(self.rows["points"].sum())

    @property
    def requests(self) -> int:
        """Requests that the reading is expected to take."""
        return int(self.rows["requests"].sum())

    @property
    def series(self) -> int:
        """Distinct series."""
        return len({series_id for group in self.groups for series_id in group})

    def shards(self, windows_each: int) -> Iterator[WindowShard]:
        """Cut into elements for the source, in order."""
        return shard_windows(self, windows_each)


def shard_windows(windows: Iterable[Window], windows_each: int) -> Iterator[WindowShard]:
    """Cut a sequence of windows into elements for the source, in order.

    Raises:
        ValueError: less than one window to a shard.
    """
    if windows_each < 1:
        raise ValueError(f"a shard holds at least one window, not {windows_each}")
    rest = iter(windows)
    while batch := tuple(islice(rest, windows_each)):
        yield WindowShard(batch)
