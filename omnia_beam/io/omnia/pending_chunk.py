"""Follow a chunk while it is written to a service, and produce its receipt and dead letters when all of it is settled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import TransientServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.omnia.delivery import Refusal
from omnia_beam.io.omnia.group import Run
from omnia_beam.io.omnia.policy import FINDING_OF, WriteOptions, apply_policy
from omnia_beam.io.policy import PolicyResult


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """Numbers of points that a policy changed or left out; see `PolicyResult`."""

    dropped: int = 0
    substituted: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class WrittenChunk:
    """The result of writing one chunk.

    Args:
        ticket: the object that the chunk was submitted with.
        receipt: None where the chunk failed.
        failure: None where the chunk did not fail.
        dead_letters: those of the chunk; none where it failed.
        counts: points that the policies changed or left out.
        found: points by finding and series id, of those that a policy refused; none where the chunk failed.
    """

    ticket: Any
    receipt: Receipt | None
    failure: WindowFailure | None
    dead_letters: tuple[DeadLetter, ...]
    counts: WriteCounts
    found: tuple[tuple[str, str, int], ...] = ()


class _PendingSeries:
    """One series of a chunk: its original points, those that are sent, and which of them are dead."""

    __slots__ = ("by_policy", "chunk", "dead", "source_id", "target_id")

    def __init__(self, chunk: PendingChunk, source_id: str, target_id: str, by_policy: PolicyResult) -> None:
        self.chunk = chunk
        self.source_id = source_id
        self.target_id = target_id
        self.by_policy = by_policy
        self.dead: list[tuple[int, int, Refusal, str]] = []

    def receipt(self) -> SeriesReceipt:
        good = self.by_policy.good
        if self.dead:
            keep = np.ones(len(good.times), bool)
            for start, stop, _, _ in self.dead:
                keep[start:stop] = False
            good = good.take(keep)
        return SeriesReceipt.of(self.source_id, self.target_id, good)

    def letters(self) -> Iterator[DeadLetter]:
        for points, reason in self.by_policy.dead:
            yield DeadLetter(self.chunk.key, self.source_id, self.target_id, points, reason)
        for start, stop, refusal, note in sorted(self.dead, key=lambda each: each[:2]):
            yield DeadLetter(
                self.chunk.key,
                self.source_id,
                self.target_id,
                self.by_policy.good.take(slice(start, stop)),
                f"{refusal.reason} ({note})" if note else refusal.reason,
                refusal.http_status,
                refusal.trace_id,
                refusal.at_ns,
                refusal.at_ns,
            )


class PendingChunk:
    """A chunk that is being written. It is not thread-safe: its writer holds a lock around `settle`, `refuse_run` and `fail`."""

    def __init__(self, chunk: Chunk, ticket: Any, options: WriteOptions) -> None:
        self.key: ChunkKey = chunk.key
        self.ticket = ticket
        self._rejected, self._kept = chunk.rejected, chunk.kept
        self.failure: WindowFailure | None = None
        self._series = [
            _PendingSeries(self, source_id, target_id, apply_policy(points, chunk.key.range, options))
            for source_id, target_id, points in chunk.by_series()
        ]
        self._left = sum(len(each.by_policy.good.times) for each in self._series)

    def runs(self) -> Iterator[Run]:
        """Yield everything that has to be sent: one run for each series that has points to send."""
        for each in self._series:
            good: Points = each.by_policy.good
            if len(good.times):
                yield Run(each.target_id, good, 0, len(good.times), each)

    @property
    def is_settled(self) -> bool:
        """Whether every point is stored, dead or, in a chunk that failed, given up."""
        return self._left == 0

    def settle(self, points: int) -> bool:
        """Note that so many more points are settled, and return whether they were the last."""
        self._left -= points
        return self._left == 0

    def fail(self, error: TransientServiceError) -> None:
        """Note that the chunk cannot be stored as a whole in this run."""
        self.failure = self.failure or WindowFailure.of(self.key, error)

    def written(self, sink: str) -> WrittenChunk:
        """Return the result; call this once, when everything is settled."""
        by_policy = [each.by_policy for each in self._series]
        counts = WriteCounts(
            sum(each.dropped for each in by_policy),
            sum(each.substituted for each in by_policy),
            sum(each.truncated for each in by_policy),
        )
        if self.failure is not None:
            return WrittenChunk(self.ticket, None, self.failure, (), counts)
        letters = tuple(letter for each in self._series for letter in each.letters())
        dead = sum(letter.count for letter in letters)
        found = tuple(
            (FINDING_OF[reason], each.source_id, len(points.times))
            for each in self._series
            for points, reason in each.by_policy.dead
        )
        stands = {each.series_id: SeriesReceipt(each.series_id, *each.stored) for each in self._kept if each.stored}
        series = tuple(stands.get(each.source_id) or each.receipt() for each in self._series)
        kept = tuple(replace(each, stored=None) for each in self._kept)
        receipt = Receipt(self.key, sink, series, dead_letters=dead, rejected=self._rejected, kept=kept)
        return WrittenChunk(self.ticket, receipt, None, letters, counts, found)


def refuse_run(run: Run, refusal: Refusal, note: str) -> None:
    """Mark the points of a run as dead."""
    series: _PendingSeries = run.owner
    series.dead.append((run.start, run.stop, refusal, note))


def chunk_of(run: Run) -> PendingChunk:
    """Return the chunk that a run belongs to."""
    series: _PendingSeries = run.owner
    return series.chunk
