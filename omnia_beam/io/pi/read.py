"""The reading of a PI data server on a pipeline: planned windows to chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.base import ReadResult
from omnia_beam.io.fetch import FetchShards, queries_ahead, retry_for_s
from omnia_beam.io.letters import MappingLetters
from omnia_beam.io.pi.calls import Counted, PiCalls
from omnia_beam.io.pi.chunks import ChunkMaker
from omnia_beam.io.pi.queries import PageLimit, PiAnswer, PiQueries
from omnia_beam.io.pi.values import PiPoint, ValueRules
from omnia_beam.io.window_reader import MoreAhead, WindowReader
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.plan.plan import WindowShard

coders.register_coders()

_CHUNKS = "chunks"
_FAILURES = "failures"
_MORE_QUERIES = 1_024
"""Queries ahead while requests wait for the service. [ours]"""


@dataclass(frozen=True)
class PiReading:
    """The reading of a data server for the engine: WindowShard to `ReadResult`. It is pickled to the workers.

    Args:
        service: with this worker's share of the budget.
        points: by series id, as they were found today.
        gone: series that the server no longer has.
        rules: how values are understood.
        page: how many values are asked for at once.
        max_chunk_points: the most points of a chunk.
        planned: by range, how many values the plan has found.
        counts: whether the server is asked for counts.
        keep: makes dead letters durable; None where there are none.
        keep_trying: whether a service that is down fails its windows only.
    """

    service: ServiceSettings
    points: Mapping[str, PiPoint]
    gone: frozenset[str]
    rules: ValueRules
    page: int
    max_chunk_points: int
    planned: Mapping[TimeRange, Mapping[str, Counted]] = field(default_factory=dict, repr=False)
    counts: bool = True
    keep: MappingLetters | None = None
    keep_trying: bool = False

    def __call__(self, shards: Any) -> ReadResult:
        fetch = beam.ParDo(_FetchPi(self, board_of(shards))).with_output_types(Chunk, **{_FAILURES: WindowFailure})
        found = shards | "Read" >> fetch.with_outputs(_FAILURES, main=_CHUNKS)
        return ReadResult(found[_CHUNKS], found[_FAILURES])


class _FetchPi(FetchShards):
    """Windows of a data server to chunks."""

    def __init__(
        self,
        reading: PiReading,
        board: RunBoard,
        session_of: Callable[[ServiceSettings], ServiceSession] = shared_session,
    ) -> None:
        super().__init__(reading.service, _FAILURES, board, session_of, keep_trying=reading.keep_trying)
        self._reading = reading
        self._points = Metrics.counter("omnia_beam", "points_read")
        self._repeats = Metrics.counter("omnia_beam", "points_repeated")

    def _outcomes(self, shard: WindowShard, tracker: Any) -> Any:
        for outcome in super()._outcomes(shard, tracker):
            if isinstance(outcome, Chunk):
                self._points.inc(outcome.num_points)
            yield outcome

    def _reader(self, shard: WindowShard, session: ServiceSession, pool: Executor) -> WindowReader[PiAnswer, Chunk]:
        given = self._reading
        queries = PiQueries(PiCalls(session), given.points, PageLimit(given.page), given.max_chunk_points, given.gone)
        maker = ChunkMaker(queries, given.rules, given.planned, given.counts, self._found, given.keep)
        ahead = queries_ahead(self._service)
        return WindowReader(
            queries,
            pool,
            ahead=ahead,
            more_ahead=MoreAhead(_MORE_QUERIES, ahead * given.page, lambda: session.is_throttled),
            max_chunk_points=given.max_chunk_points,
            assemble=maker,
            retry_for_s=retry_for_s(self._service),
            stopped=self._board.stop.is_set,
            keep_trying=given.keep_trying,
        )

    def _found(self, finding: str, series_id: str, points: int) -> None:
        if finding == "duplicates":
            self._repeats.inc(points)
        self._board.note_found(finding, series_id, points)
