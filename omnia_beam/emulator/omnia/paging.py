"""One page of a query of one or many series: which series it holds, how many rows of each, and the token of the next page.

The emulator implements two readings of `limit` in a query of many series [unknown which the service has]:
- per item: every series has up to its own limit in a page; those with more come again in the next page;
- per answer: the page ends when the largest limit of the query is reached; series not reached yet are absent from it.
Series whose rows have all been sent are absent from later pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from omnia_beam.emulator.common.counterhash import hashes, key_of
from omnia_beam.emulator.common.rows import Column, Rows
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.omnia import jsontext, protobuf
from omnia_beam.emulator.omnia.call import Call
from omnia_beam.emulator.omnia.faults import PageFaults
from omnia_beam.emulator.omnia.pagetoken import DONE, START, PageToken, Position, TokenSealer

LimitScope = Literal["item", "answer"]


class Query(Protocol):
    """The query of one series: rows from any position on."""

    @property
    def limit(self) -> int: ...

    def rows(self, position: Position, limit: int) -> tuple[Rows, bool]:
        """Return the next rows, at most `limit`, and whether they are the last."""


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one response, and where each series stands after it."""

    rows: tuple[Rows, ...]
    after: tuple[Position, ...]

    @property
    def complete(self) -> bool:
        return all(position == DONE for position in self.after)


async def page_of(queries: Sequence[Query], positions: Sequence[Position], scope: LimitScope) -> Page:
    """Return the page that begins at these positions."""
    left = max((query.limit for query in queries), default=0) if scope == "answer" else None
    after, found = list(positions), []
    for number, query in enumerate(queries):
        if positions[number] == DONE:
            continue
        if left == 0:
            break
        limit = query.limit if left is None else min(query.limit, left)
        rows, last = query.rows(positions[number], limit)
        found.append(rows)
        after[number] = DONE if last else int(rows.times[-1])
        if left is not None:
            left -= len(rows)
        if len(queries) > 1 and len(rows) > 10_000:
            await asyncio.sleep(0)  # so that other clients wait for one series at most
    return Page(tuple(found), tuple(after))


async def respond_page(
    call: Call, queries: Sequence[Query], query: Any, token: str | None, sealer: TokenSealer, scope: LimitScope
) -> tuple[Page, str | None]:
    """Return the page that the token names, or the first one, and the token of the next page.

    `query` distinguishes queries: a token is valid only for its own. Refuses any other token with 400.
    """
    begin = _begin(call, len(queries), query, token, sealer)
    page = await page_of(queries, begin.positions, scope)
    if call.faults.repeat:
        following: str | None = sealer.seal(query, PageToken(begin.positions, begin.before), call.now_ns)
    elif page.complete:
        following = None
    else:
        following = sealer.seal(query, PageToken(page.after, begin.positions), call.now_ns)
    return _spoiled(page, call.faults, key_of(call.trace_id)), following


def encoded(call: Call, page: Page, token: str | None, *, federated: bool, protobuf_on: bool) -> ServiceResponse:
    """Return the page as a response, in protobuf where the client accepts it and `protobuf_on`, else in JSON."""
    points = sum(len(rows) for rows in page.rows)
    media_type = call.protobuf_type() if protobuf_on else None
    if media_type:
        parts = protobuf.encode_page(page.rows, token)
        return ServiceResponse(200, tuple(parts), media_type, points=points)
    text = jsontext.encode_page([jsontext.encode_item(rows) for rows in page.rows], token, federated=federated)
    return ServiceResponse(200, (text,), points=points)


def _begin(call: Call, count: int, query: Any, token: str | None, sealer: TokenSealer) -> PageToken:
    if not token:
        start: tuple[Position, ...] = (START,) * count
        return PageToken(start, start)
    if call.faults.refuse_token:
        raise Refusal(400, "The continuation token is not valid.")
    given = sealer.unseal(query, token, call.now_ns)
    return PageToken(given.before, given.before) if call.faults.duplicate else given


def _spoiled(page: Page, faults: PageFaults, key: int) -> Page:
    """Return the page as the fault rules require; its positions after the page stay true."""
    if not faults.reorder and not faults.total_off:
        return page
    rows = tuple(_spoiled_rows(one, faults, key) for one in page.rows)
    return Page(rows, page.after)


def _spoiled_rows(rows: Rows, faults: PageFaults, key: int) -> Rows:
    order: Any = slice(None)
    if faults.reorder:
        order = np.argsort(hashes(key, 0, len(rows)))
    columns = tuple(Column(column.name, column.kind, column.values[order]) for column in rows.columns)
    return Rows(rows.series_id, max(0, rows.total + faults.total_off), rows.times[order], columns, rows.labels)
