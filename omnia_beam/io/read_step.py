"""The step of a pipeline that reads windows of a place; see `kind_source`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import NO_POINTS, Chunk, Points
from omnia_beam.core.errors import CredentialError, IncompleteReadError, OmniaBeamError, UnreachableError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import PointStore, ReadResult
from omnia_beam.plan.plan import WindowShard

coders.register_coders()

_FAILURES: Final = "failures"


@dataclass(frozen=True)
class ReadWindows:
    """The reading of a place for the engine, from WindowShard to `ReadResult`. It is pickled to the workers.

    Args:
        store: the place.
        max_chunk_points: points of one chunk, at most.
        endless: whether a place that does not respond fails its windows only.
    """

    store: PointStore
    max_chunk_points: int
    endless: bool = False

    def __call__(self, shards: Any) -> ReadResult:
        # The types belong to the ParDo: on the result of with_outputs they would be lost, and pickle would be the coder.
        step = beam.ParDo(_ReadWindows(self, board_of(shards))).with_output_types(Chunk, **{_FAILURES: WindowFailure})
        found = shards | "Read" >> step.with_outputs(_FAILURES, main="chunks")
        return ReadResult(found.chunks, found.failures)


class _ReadWindows(beam.DoFn):
    def __init__(self, reading: ReadWindows, board: RunBoard) -> None:
        self._reading = reading
        self._board = board
        self._counters = {
            name: Metrics.counter("omnia_beam", name)
            for name in ("points_read", "points_repeated", "windows_read", "windows_failed")
        }

    def process(self, shard: WindowShard) -> Iterator[Any]:
        for window in shard.windows:
            if self._board.stop.is_set():
                break  # windows that are not read stay out of the ledger
            try:
                points = self._read(window.key)
            except OmniaBeamError as error:
                if isinstance(error, CredentialError | UnreachableError) and not self._reading.endless:
                    with self._board.noting_fatal():
                        raise
                self._count(windows_failed=1)
                yield beam.pvalue.TaggedOutput(_FAILURES, WindowFailure.of(window.key, error))
                continue
            for chunk in cut(window.key, points, self._reading.max_chunk_points):
                self._counters["points_read"].inc(chunk.num_points)
                yield chunk
            self._count(windows_read=1)

    def _read(self, key: ChunkKey) -> dict[str, Points]:
        found = self._reading.store.read(key.series_ids, key.range)
        return checked(key, found, self._repeated)

    def _repeated(self, series_id: str, points: int) -> None:
        self._counters["points_repeated"].inc(points)
        self._board.note_found("duplicates", series_id, points)

    def _count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            self._counters[name].inc(amount)
            self._board.add(**{name: amount})


def checked(key: ChunkKey, found: Mapping[str, Points], repeated: Callable[[str, int], None]) -> dict[str, Points]:
    """Return the points of a window ascending in time, each time once.

    Args:
        key: of the window.
        found: what the place gave, in any order.
        repeated: receives a series and how many of its points were left out, since a later one has the same time.

    Raises:
        IncompleteReadError: there are points of other series or of other times, so the response is to another question.
    """
    if others := found.keys() - set(key.series_ids):
        raise IncompleteReadError(f"{key}: the source gave points of {min(others)}, which was not requested")
    points = {}
    for series_id in key.series_ids:
        each = found.get(series_id, NO_POINTS)
        if len(each.times) and (each.times.min() < key.range.start_ns or each.times.max() >= key.range.end_ns):
            raise IncompleteReadError(f"{key}: the source gave points of {series_id} outside of the range")
        points[series_id] = _by_time(each)
        if left_out := len(each.times) - len(points[series_id].times):
            repeated(series_id, left_out)
    return points


def cut(key: ChunkKey, points: Mapping[str, Points], most: int) -> Iterator[Chunk]:
    """Yield the chunks of a window: one, or several of adjoining ranges where it holds more than `most` points.

    A chunk holds more than `most` only where that many series have a point at one time.
    """
    if sum(len(each.times) for each in points.values()) <= most:
        yield Chunk.from_points(key, dict(points))
        return
    times = np.sort(np.concatenate([each.times for each in points.values()]))
    bounds = sorted({key.range.start_ns, *times[most::most].tolist(), key.range.end_ns})
    for start, end in itertools.pairwise(bounds):
        part = {
            series_id: each.take(slice(*np.searchsorted(each.times, [start, end]).tolist()))
            for series_id, each in points.items()
        }
        yield Chunk.from_points(ChunkKey(key.series_ids, TimeRange(start, end)), part)


def _by_time(points: Points) -> Points:
    if (points.times[1:] > points.times[:-1]).all():
        return points
    ordered = points.by_time()
    return ordered.take(np.append(ordered.times[1:] != ordered.times[:-1], True))
