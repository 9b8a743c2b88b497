"""Make chunks of what queries brought, once the server's own count says that nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import IncompleteReadError, OmniaBeamError, TransientServiceError, UnauthorizedError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.pi.calls import Counted, Span
from omnia_beam.io.pi.queries import PiAnswer, PiQueries
from omnia_beam.io.pi.recorded import NO_VALUES, Recorded
from omnia_beam.io.pi.values import PiValues, ValueRules, resolve_same_time, understood

_TRIES: Final = 3
"""How often a series is read again of which the server counts more than it sent."""

_LEAST_LIMIT: Final = 100
"""Smallest limit of a response that is taken for one: to read a window in smaller parts has no end. [ours]"""

SEVERAL: Final = "one of several values at one time"

Found = Callable[[str, str, int], None]
"""A function that counts points to which a finding applies: its name, the series, how many."""

_CONFIRMATIONS: Final = 2
"""How often a series is read once more whose values no count confirms. [ours]"""

KeepLetters = Callable[[ChunkKey, Sequence[DeadLetter]], None]


@dataclass
class ChunkMaker:
    """Makes the chunks of one service.

    Args:
        queries: reads a series again.
        rules: how values are understood.
        planned: by range, how many values the plan has found.
        counts: whether the server is asked for counts.
        found: counts points that are not held as they were.
        keep: makes dead letters durable; None where `same_time` makes none.
    """

    queries: PiQueries
    rules: ValueRules
    planned: Mapping[TimeRange, Mapping[str, Counted]] = field(default_factory=dict)
    counts: bool = True
    found: Found = lambda finding, series_id, points: None
    keep: KeepLetters | None = None

    def __call__(self, key: ChunkKey, answers: Sequence[PiAnswer]) -> Iterator[Chunk | WindowFailure]:
        """Yield the chunk of the series that were read whole, and a failure for the others.

        Where recorded points are replaced, the window fails as a whole.
        """
        failed: dict[str, OmniaBeamError] = {}
        for response in answers:
            failed.update(response.failed)
        values = {
            each: self._understood(each, Recorded.joined([a.values.get(each, NO_VALUES) for a in answers]))
            for each in key.series_ids
            if each not in failed
        }
        recorded = frozenset[str]().union(*(response.recorded for response in answers))
        failed |= self._asked_alone(key.range, values, recorded)
        failed |= self._replaced(key.range, values)
        if failed and recorded:
            yield WindowFailure.of(key, next(iter(failed.values())))
            return
        for series_id, error in failed.items():
            yield WindowFailure.of(ChunkKey((series_id,), key.range), error)
        whole = tuple(each for each in key.series_ids if each not in failed)
        if whole:
            yield self._chunk(ChunkKey(whole, key.range), values)

    def _understood(self, series_id: str, recorded: Recorded) -> PiValues:
        return understood(recorded, self.queries.points.get(series_id), self.rules)

    def _replaced(self, requested: TimeRange, values: dict[str, PiValues]) -> dict[str, OmniaBeamError]:
        """Read again what the server counts more of than it sent; return the series of which it still does, with the reason."""
        span = Span.of(requested)
        if span is None:
            return {}
        planned = self.planned.get(requested, {})
        # A window of other series may have had the same range when it was planned.
        counts = {**planned, **self._counted(span, [each for each in values if each not in planned], {})}
        self._confirmed(requested, values, counts)
        short = _short(values, counts)
        if short and planned:
            short = _short(values, self._counted(span, short, planned))  # some may have been deleted since
        failed: dict[str, OmniaBeamError] = {}
        sizes: dict[str, int] = {}
        limits: dict[str, int] = {}
        for _ in range(_TRIES):
            for series_id in short:
                size = self._again(series_id, requested, values, failed, limits.get(series_id))
                if size == sizes.get(series_id) and size >= _LEAST_LIMIT:
                    limits[series_id] = size  # the same size twice: perhaps a limit that the server does not tell
                sizes[series_id] = size
            rest = {each: values[each] for each in short if each not in failed}
            short = _short(rest, self._counted(span, rest, planned)) if rest else {}
            for series_id in limits.keys() & rest.keys() - short.keys():
                self.queries.page.lower(limits[series_id])
        for series_id, counted in short.items():
            came = values[series_id]
            failed[series_id] = IncompleteReadError(
                _contradiction(series_id, requested, counted, came),
                expected=counted.all,
                received=len(came.points.times),
            )
        return failed

    def _asked_alone(
        self, requested: TimeRange, values: dict[str, PiValues], recorded: frozenset[str]
    ) -> dict[str, OmniaBeamError]:
        """Ask once more, alone, for series that held points and show none; return those that could not be read."""
        failed: dict[str, OmniaBeamError] = {}
        for series_id in sorted(recorded & self.queries.points.keys() & values.keys()):
            if not len(values[series_id].points.times):
                self._again(series_id, requested, values, failed)
        return failed

    def _again(
        self,
        series_id: str,
        requested: TimeRange,
        values: dict[str, PiValues],
        failed: dict[str, OmniaBeamError],
        limit: int | None = None,
    ) -> int:
        """Read a series alone, and note its values or why it could not be read; return the size of the largest response."""
        try:
            recorded, size = self.queries.again(series_id, requested, limit)
        except (UnauthorizedError, TransientServiceError):
            raise
        except OmniaBeamError as error:
            failed[series_id] = error
            return 0
        values[series_id] = self._understood(series_id, recorded)
        return size

    def _counted(self, span: Span, series_ids: Iterable[str], planned: Mapping[str, Counted]) -> Mapping[str, Counted]:
        """Return the server's counts of now, and what the plan saw of series that the server does not count."""
        if not self.counts:
            return planned
        web_ids = {p.web_id: p.series_id for p in map(self.queries.points.get, series_ids) if p is not None}
        found = self.queries.calls.counts(list(web_ids), span)
        return {**planned, **{web_ids[web_id]: counted for web_id, counted in found.items()}}

    def _confirmed(self, requested: TimeRange, values: dict[str, PiValues], counts: Mapping[str, Counted]) -> None:
        """Read series again of which no count says how many values there are, and keep the fullest response.

        System states show in the share of good values alone, and where no value is good there is no share.
        """
        doubtful = [
            each
            for each, found in values.items()
            if each in self.queries.points and not _says_how_many(counts.get(each), found)
        ]
        for _ in range(_CONFIRMATIONS):
            if not doubtful:
                return
            for series_id, recorded in self.queries.once_more(doubtful, requested).items():
                if len(recorded) > len(values[series_id].points.times):
                    values[series_id] = self._understood(series_id, recorded)

    def _chunk(self, key: ChunkKey, values: Mapping[str, PiValues]) -> Chunk:
        letters: list[DeadLetter] = []
        kept: dict[str, Points] = {}
        for series_id in key.series_ids:
            found = values[series_id]
            points = found.points
            resolved = resolve_same_time(points.times, self.rules.same_time)
            if not self.rules.texts:
                self.found("text_values", series_id, int(found.is_text.sum()))
            if resolved.kept is None:
                kept[series_id] = points
                continue
            kept[series_id] = points.take(resolved.kept)
            others = points.take(resolved.others)
            self.found("same_time", series_id, len(others.times))
            if self.rules.same_time == "dead_letter":
                letters.append(DeadLetter(key, series_id, series_id, others, SEVERAL))
            else:
                self.found("duplicates", series_id, len(others.times))
        if self.keep is not None:
            self.keep(key, letters)
        return Chunk.from_points(key, {each: _plain(points) for each, points in kept.items()})


def _says_how_many(counted: Counted | None, found: PiValues) -> bool:
    """Return whether the server's count, or else any value at all, tells that the response was not an empty one."""
    return bool(len(found.points.times) if counted is None or counted.good is None else counted.good)


def _contradiction(series_id: str, requested: TimeRange, counted: Counted, came: PiValues) -> str:
    if counted.good is None:
        return (
            f"{series_id} {requested}: the server sent {counted.all:,} values or more when the window was planned, and sends "
            f"{len(came.points.times):,} now: run again"
        )
    return (
        f"{series_id} {requested}: the server counts {counted.good:,} values, {counted.all:,} with system states, and "
        f"sends {came.counted:,} and {len(came.points.times):,}. If it counts otherwise than it returns, which docs/pi.md "
        "explains: source.counts: false"
    )


def _short(values: Mapping[str, PiValues], counts: Mapping[str, Counted]) -> dict[str, Counted]:
    """Return the counts of series of which more is counted than came."""
    return {
        each: counts[each]
        for each, found in values.items()
        if each in counts and ((counts[each].good or 0) > found.counted or counts[each].all > len(found.points.times))
    }


def _plain(points: Points) -> Points:
    """Return columns as contiguous arrays of their types."""
    return Points(
        np.ascontiguousarray(points.times, np.int64),
        np.ascontiguousarray(points.values, np.float64),
        np.ascontiguousarray(points.statuses, np.uint32),
        points.texts,
    )
