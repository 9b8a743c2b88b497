"""The content of one response of the service as columns: the page, in whichever format it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnia_beam.core.errors import WireFormatError
from omnia_beam.core.text import counted, html_table
from omnia_beam.core.timestamps import format_time

Column = npt.NDArray[Any]
"""One column of an item: one-dimensional, of its own dtype."""

_SHOWN = 50
"""Number of items that a notebook shows."""

TIME = "time"
VALUE = "value"
STATUS = "status"


@dataclass(frozen=True, slots=True, eq=False)
class PageItem:
    """The datapoints of one series in one page.

    series_id: the id as the service wrote it, "" where it wrote none.
    total_count: points in the whole query, also where the page is cut by a limit (protobuf only; 0 where the service
        wrote none, because proto3 does not distinguish the two); None in JSON, which has no such number.
    columns: name -> array, all of one length. Raw data has `time` int64 (ns since the Unix epoch, UTC), `value`
        float64 and `status` uint32; every other name (aggregates) keeps the kind of number that the service sent:
        float64, int64, uint32 or uint64. The arrays own their memory: none refers to the page's bytes.
    """

    series_id: str
    total_count: int | None
    columns: Mapping[str, Column]

    @property
    def times(self) -> npt.NDArray[np.int64] | None:
        """Times, int64, ns since the Unix epoch, in the order of the page; None where the page has no such column."""
        return self.columns.get(TIME)

    @property
    def values(self) -> npt.NDArray[np.float64] | None:
        """Values, float64, NaN payloads as they were sent; None where the page has no such column."""
        return self.columns.get(VALUE)

    @property
    def statuses(self) -> npt.NDArray[np.uint32] | None:
        """Statuses, uint32, unlisted codes unchanged; None where the page has no such column."""
        return self.columns.get(STATUS)

    @property
    def n_points(self) -> int:
        """Points in this page: the length of every column, 0 where there is no column."""
        return next((len(column) for column in self.columns.values()), 0)

    @property
    def edges(self) -> tuple[int, ...]:
        """The least and the greatest time, ns; none where there are no points or no times."""
        times = self.times
        return (int(times.min()), int(times.max())) if times is not None and len(times) else ()

    def check_raw(self, what: str) -> bool:
        """Return whether the item has columns; an item without points need not name them.

        Args:
            what: the data, for the message.

        Raises:
            WireFormatError: it has columns, but not all three of raw data.
        """
        if self.columns and not self.columns.keys() >= {TIME, VALUE, STATUS}:
            raise WireFormatError(f"{what}: raw data needs time, value and status, not {sorted(self.columns)}")
        return bool(self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One response of the service.

    items: in the order of the response; a series may occur in more than one.
    continuation_token: what to send for the next page; None at the end (where the service sends null, "" or nothing).
    """

    items: tuple[PageItem, ...]
    continuation_token: str | None

    @property
    def n_points(self) -> int:
        """Points in all items together."""
        return sum(item.n_points for item in self.items)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row for each of the first items, with its times."""
        rows = []
        for item in self.items[:_SHOWN]:
            edges = [format_time(each) for each in item.edges] or ["", ""]
            rows.append((item.series_id, f"{item.n_points:,}", ", ".join(item.columns), *edges))
        left = len(self.items) - len(rows)
        caption = f"page: {counted(len(self.items), 'item')}, {counted(self.n_points, 'point')}"
        caption += f"; the first {len(rows)} are shown" if left else ""
        caption += "" if self.continuation_token is None else "; more pages follow"
        return html_table(("series_id", "points", "columns", "first", "last"), rows, caption)

    def content(self) -> bytes:
        """Return the items as bytes that are equal for equal items."""
        parts: list[bytes] = []
        for item in self.items:
            parts.append(repr((item.series_id, item.total_count, *item.columns)).encode())
            parts += [column.tobytes() for column in item.columns.values()]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class ItemScan:
    """The findings of a scan about one item.

    n_values: entries of the flat list of values; points = n_values // n_fields.
    edges: times of the item's first and last points, ns, where they can be read directly; see edges.py.
    """

    series_id: str
    total_count: int
    n_fields: int
    n_values: int
    edges: tuple[int, ...] = ()

    @property
    def n_points(self) -> int:
        """Whole points in the item, 0 where it names no columns."""
        return self.n_values // self.n_fields if self.n_fields else 0


@dataclass(frozen=True, slots=True)
class PageScan:
    """The facts about a page that are known without decoding its values."""

    items: tuple[ItemScan, ...]
    continuation_token: str | None

    @property
    def n_points(self) -> int:
        """Points in all items together."""
        return sum(item.n_points for item in self.items)
