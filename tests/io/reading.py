"""What the tests of the window reader share: windows by hand, a reader over a scripted service, and the check of what came."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any

from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.errors import (
    IncompleteReadError,
    WireFormatError,
)
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.omnia.query_reader import QueryReader, QueryResult, raw_chunks
from omnia_beam.io.window_reader import WindowReader
from omnia_beam.transforms.assemble import assemble_chunk
from tests.io.scripted_service import ScriptedService, held, joins_up, oracle

SECOND = 10**9

Outcome = RawChunk | WindowFailure


class AtOnce(Executor):
    """Runs what is submitted there and then: the order of requests is the order of submission, the same every time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def reader_of(
    service: ScriptedService,
    pool: Executor | None = None,
    *,
    ahead: int = 4,
    max_points: int = 1_000,
    retry_for_s: float = 30,
    stopped: Callable[[], bool] = lambda: False,
) -> WindowReader[QueryResult, RawChunk]:
    format: Any = service.format
    queries = QueryReader(service.fetch, format=format, page_limit=service.limit, max_points=max_points)
    return WindowReader(
        queries,
        pool or AtOnce(),
        ahead=ahead,
        max_chunk_points=max_points,
        assemble=raw_chunks(format),
        retry_for_s=retry_for_s,
        stopped=stopped,
    )


def window_of(series_ids: str, start_ns: int, end_ns: int, requests: int = 1, points: int = 1) -> Window:
    return Window(ChunkKey(tuple(series_ids), TimeRange(start_ns, end_ns)), points, requests)


def in_a_row(series_ids: str, n: int, requests: int = 1) -> list[Window]:
    """Windows of ten seconds, one after the other."""
    return [window_of(series_ids, i * 10 * SECOND, (i + 1) * 10 * SECOND, requests) for i in range(n)]


def read(
    reader: WindowReader[QueryResult, RawChunk],
    windows: Iterable[Window],
    claim: Callable[[int], bool] = lambda _: True,
) -> list[Outcome]:
    return list(reader.read(enumerate(windows), claim))


def check(outcomes: Iterable[Outcome], windows: Iterable[Window], service: ScriptedService) -> set[int]:
    """That each window came whole and in order, or failed. Gives the places of those that failed."""
    rest = list(outcomes)
    failed: set[int] = set()
    for place, window in enumerate(windows):
        parts: list[TimeRange] = []
        while rest and rest[0].key.series_ids == window.key.series_ids and window.key.range.covers(rest[0].key.range):
            outcome = rest.pop(0)
            if isinstance(outcome, WindowFailure):
                assert outcome.key == window.key
                failed.add(place)
                break
            try:
                chunk = assemble_chunk(outcome)
            except (IncompleteReadError, WireFormatError):
                failed.add(place)
            else:
                assert held(chunk) == oracle(service.points, window.key.series_ids, outcome.key.range)
            parts.append(outcome.key.range)
            if outcome.key.range.end_ns == window.key.range.end_ns:
                break
        assert place in failed or joins_up(parts, window.key.range)
    assert rest == []
    return failed
