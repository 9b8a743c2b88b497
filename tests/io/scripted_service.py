"""A service in memory that a test scripts: brute-force points, its own paging, and one fault for each request.

It speaks through the reader's `Fetch`, so that no socket, retry or session is in the way of what is tested.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import BadRequestError, NotTheServiceError, OmniaBeamError, TransientServiceError
from omnia_beam.core.time_range import TimeRange
from tests.core.strategies import as_rows
from tests.wire.timeseries_pb2 import CompactDatapointsDto

Row = tuple[int, int, int]
"""Time in ns, bits of the value, status."""

FAULTS = (
    "refuse token",
    "high total",
    "low total",
    "duplicate page",
    "token to itself",
    "lose the tail",
    "reorder",
    "split items",
    "repeat items",
    "garbage",
    "cut short",
    "empty body",
    "html",
    "give up",
    "nonce",
)
"""What one request can be struck by; None for nothing. `give up` is a request that failed for good in all its retries."""

SILENT_IN_JSON = {"lose the tail"}
"""What nobody can notice where the service tells no totals."""


@dataclass
class ScriptedService:
    """Answers queries from `points`; request n is struck by `script[n]`, those past its end by `ever_after`.

    `limit` is the points of a page: of each item, or (`per_answer`) of all together, where series that a page does not
    reach are not mentioned by it. `tick_ns` and `end_inclusive` widen the range, as the true service may.
    """

    points: Mapping[str, Sequence[Row]]
    limit: int = 5
    format: str = "protobuf"
    per_answer: bool = False
    end_inclusive: bool = False
    tick_ns: int = 1
    mentions_empty: bool = True
    tells_totals: bool = True
    script: Sequence[str | None] = ()
    ever_after: str | None = None
    errors: Mapping[str, OmniaBeamError] = field(default_factory=dict)
    """Series whose every query fails with this error."""
    most_requests: int = 20_000
    requests: list[tuple[tuple[str, ...], TimeRange, str | None]] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        """One page, as `query_reader.Fetch` wants it."""
        with self._lock:
            number = len(self.requests)
            self.requests.append((series_ids, query, token))
        assert number < self.most_requests, "the reader asks without end"
        for series_id in series_ids:
            if series_id in self.errors:
                raise self.errors[series_id]
        fault = self.script[number] if number < len(self.script) else self.ever_after
        if fault:
            self.struck.append(fault)
        return self._answer(series_ids, query, token, fault, number)

    def rows(self, series_id: str, query: TimeRange) -> list[Row]:
        """What the service counts into the query: at least its points."""
        start = query.start_ns // self.tick_ns * self.tick_ns
        end = -(-query.end_ns // self.tick_ns) * self.tick_ns + self.end_inclusive
        return [row for row in self.points.get(series_id, ()) if start <= row[0] < end]

    def _answer(
        self, series_ids: tuple[str, ...], query: TimeRange, token: str | None, fault: str | None, number: int
    ) -> bytes:
        if fault == "give up":
            raise TransientServiceError("503 in every try", method="POST", path="/query/data", status=503, attempts=8)
        if fault == "html":
            raise NotTheServiceError("an HTML page", status=200)
        if fault == "garbage":
            return b"\xff\xfe garbage \x00" * 5
        if fault == "empty body":
            return b""
        if fault == "refuse token" and token is not None:
            raise BadRequestError("continuation token refused", status=400)
        page = int(token.split("|")[0]) if token else 0
        shown = max(page - 1, 0) if fault == "duplicate page" else page
        items, more = self._page(series_ids, query, shown)
        if fault == "lose the tail" and any(rows for _, rows, _ in items):
            items, more = [(series_id, rows[:-1], total) for series_id, rows, total in items], False
        items = [self._struck_item(item, fault) for item in items]
        if fault == "split items":
            items = [(s, part, t) for s, rows, t in items for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
        if fault == "repeat items":
            items = [item for item in items for _ in range(2)]
        following = page if fault == "token to itself" else shown + 1
        next_token = f"{following}|" + (f"nonce-{number}" if fault == "nonce" else "") if more else None
        if fault == "token to itself":
            next_token = f"{following}|"
        body = self._encode(items, next_token)
        return body[: len(body) * 2 // 3] if fault == "cut short" else body

    def _page(
        self, series_ids: tuple[str, ...], query: TimeRange, page: int
    ) -> tuple[list[tuple[str, list[Row], int]], bool]:
        held = {series_id: self.rows(series_id, query) for series_id in series_ids}
        part = slice(page * self.limit, (page + 1) * self.limit)
        if self.per_answer:
            flat = [(series_id, row) for series_id, rows in held.items() for row in rows]
            in_page: dict[str, list[Row]] = {s: [] for s in held if page == 0 and self.mentions_empty and not held[s]}
            for series_id, row in flat[part]:
                in_page.setdefault(series_id, []).append(row)
            more = len(flat) > part.stop
        else:
            in_page = {s: rows[part] for s, rows in held.items() if rows[part] or (self.mentions_empty and not page)}
            more = any(len(rows) > part.stop for rows in held.values())
        return [(s, rows, len(held[s]) if self.tells_totals else 0) for s, rows in in_page.items()], more

    @staticmethod
    def _struck_item(item: tuple[str, list[Row], int], fault: str | None) -> tuple[str, list[Row], int]:
        series_id, rows, total = item
        off = {"high total": 1, "low total": -1}.get(fault or "", 0)
        return series_id, rows[::-1] if fault == "reorder" else rows, max(0, total + off)

    def _encode(self, items: Iterable[tuple[str, list[Row], int]], token: str | None) -> bytes:
        return json_page(items, token) if self.format == "json" else protobuf_page(items, token)


def protobuf_page(items: Iterable[tuple[str, Sequence[Row], int]], token: str | None = None) -> bytes:
    """(series id, rows, total) items as the service's protobuf, by google's own encoder."""
    page = CompactDatapointsDto()
    for series_id, rows, total in items:
        item = page.data.add(id=series_id, totalCount=total, fields=["time", "value", "status"])
        for time_ns, bits, status in rows:
            item.values.add(int64=time_ns)
            item.values.add(double=double(bits))
            item.values.add(uint32=status)
    if token is not None:
        page.continuationToken = token
    return page.SerializeToString()


def json_page(items: Iterable[tuple[str, Sequence[Row], int]], token: str | None = None) -> bytes:
    """The same as the service's JSON; times need to be whole ticks of 100 ns, values finite."""
    content = [{"id": s, "datapoints": [_json_point(row) for row in rows]} for s, rows, _ in items]
    return json.dumps({"data": {"items": content}, "count": len(content), "continuationToken": token}).encode()


def _json_point(row: Row) -> dict[str, Any]:
    assert row[0] % 100 == 0
    seconds, fraction = divmod(row[0], 10**9)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return {
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction // 100:07d}Z",
        "value": double(row[1]),
        "status": row[2],
    }


def double(bits: int) -> float:
    return float(np.array([bits], np.uint64).view(np.float64)[0])


def bits_of(value: float) -> int:
    return int(np.array([value]).view(np.uint64)[0])


def oracle(points: Mapping[str, Sequence[Row]], series_ids: Sequence[str], wanted: TimeRange) -> dict[str, list[Row]]:
    """The points that a chunk of these series and this range has to hold, by brute force."""
    return {s: sorted(row for row in points.get(s, ()) if row[0] in wanted) for s in series_ids}


def held(chunk: Chunk) -> dict[str, list[Row]]:
    """The points that a chunk holds."""
    return {source_id: as_rows(points) for source_id, _, points in chunk.by_series()}


def steady(series_ids: Iterable[str], wanted: TimeRange, step_ns: int) -> dict[str, list[Row]]:
    """A point every `step_ns`, with a value and a status of its own."""
    times = range(wanted.start_ns, wanted.end_ns, step_ns)
    return {
        s: [(t, bits_of(i + n / 8), 192 if i % 7 else 64) for i, t in enumerate(times)]
        for n, s in enumerate(series_ids)
    }


def joins_up(parts: Iterable[TimeRange], whole: TimeRange) -> bool:
    """Whether the parts follow each other from the start of the whole to its end."""
    bounds = [whole.start_ns, *itertools.chain(*((part.start_ns, part.end_ns) for part in parts)), whole.end_ns]
    return all(bounds[i] == bounds[i + 1] for i in range(0, len(bounds), 2))
