"""Decide what of a file of dead letters is sent again, and what is left of it afterwards: plain functions over plain data.

**Overtaken.** A dead letter is this job's last record of its points only as long as nothing recorded later covers the
same series and time. Where a later receipt does, a later run has read the source again there: what it found is stored,
or is a dead letter of its own, and sending the older value would undo that. Such points are overtaken: never sent,
counted, and dropped. The ledger decides, point by point:

- a receipt of another chunk counts at that series and time: overtaken.
- a receipt of the same chunk counts, is younger than the file and is about other points: the file is a leftover of an
  earlier run; all of it is overtaken.
- otherwise the points are sent.

What others have written to the target meanwhile, past this job and its ledger, a replay replaces, as running the job again
would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.fingerprint import add_hashes
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRangeSet
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.dead_letters import StoredLetters
from omnia_beam.ledger.ledger import Ledger, RecordedReceipt
from omnia_beam.ledger.record import Scope

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LetterRecords:
    """The ledger's records of some chunks.

    Args:
        recorded: by key, the receipt that counts (in whole or in part), and its scope.
        coverage: returns, for a series id, all ranges in which any receipt of the sink counts.
    """

    recorded: Mapping[ChunkKey, tuple[RecordedReceipt, Scope]]
    coverage: Callable[[str], TimeRangeSet]


@dataclass(frozen=True, slots=True)
class SortedLetters:
    """A file's letters, sorted by what happens to them.

    Args:
        send: to be sent again.
        kept: not sent, since only another run of the job can store them: times finer than the sink keeps.
        overtaken: the number of points that are dropped.
        is_leftover: whether the file is older than what the ledger records of its chunk.
    """

    send: tuple[DeadLetter, ...]
    kept: tuple[DeadLetter, ...]
    overtaken: int
    is_leftover: bool = False


def letter_records(ledger: Ledger, sink: str, keys: Iterable[ChunkKey]) -> LetterRecords:
    """Look chunks up in the ledger, in one pass over the receipts of the sink.

    Raises:
        StateError: the ledger is damaged.
    """
    wanted = set(keys)
    recorded: dict[ChunkKey, tuple[RecordedReceipt, Scope]] = {}
    scopes = [each.scope for each in ledger.scopes() if each.scope.sink == sink and each.receipts]
    for scope in scopes:
        for each in ledger.receipts(scope.digest):
            if each.receipt.key in wanted:
                recorded[each.receipt.key] = each, scope

    def coverage(series_id: str) -> TimeRangeSet:
        parts = [ledger.coverage(scope.digest, series_id) for scope in scopes]
        return TimeRangeSet(part for covered in parts for part in covered)

    return LetterRecords(recorded, coverage)


def sort_letters(stored: StoredLetters, records: LetterRecords, resolution_ns: int = 1) -> SortedLetters:
    """Decide for every point of a file whether it is sent, kept or overtaken.

    Args:
        resolution_ns: the grid of the sink's times; finer points are kept.
    """
    found = records.recorded.get(stored.key)
    recorded = None if found is None else found[0]
    if recorded is not None and _is_leftover(stored, recorded):
        return SortedLetters((), (), stored.count, is_leftover=True)
    send: list[DeadLetter] = []
    kept: list[DeadLetter] = []
    overtaken = 0
    for letter in stored.letters:
        gone = _overtaken(letter, recorded, records)
        fine = letter.points.times % resolution_ns != 0
        overtaken += int(np.count_nonzero(gone))
        send.extend(_part(letter, ~gone & ~fine))
        kept.extend(_part(letter, ~gone & fine))
    return SortedLetters(tuple(send), tuple(kept), overtaken)


def chunk_of_letters(key: ChunkKey, letters: Sequence[DeadLetter]) -> Chunk:
    """Return the letters' points as a chunk of their key, each series under its target's id."""
    parts: dict[str, list[Points]] = {}
    targets: dict[str, str] = {}
    for letter in letters:
        parts.setdefault(letter.source_id, []).append(letter.points)
        targets[letter.source_id] = letter.target_id
    points = {source_id: Points.concat(each).by_time() for source_id, each in parts.items()}
    return Chunk.from_points(key, points, [targets.get(source_id, source_id) for source_id in key.series_ids])


def with_history(refused: Sequence[DeadLetter], before: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Return the letters of a replay with the first attempts of those that were sent.

    Args:
        refused: what the service refused now, or could not be sent.
        before: the letters that were sent; every point of `refused` is in one of them.
    """
    history: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
    for source_id in {letter.source_id for letter in refused}:
        mine = [letter for letter in before if letter.source_id == source_id]
        times = np.concatenate([letter.points.times for letter in mine])
        indices = np.repeat(
            np.arange(len(before))[[letter.source_id == source_id for letter in before]], [m.count for m in mine]
        )
        order = np.argsort(times, kind="stable")
        history[source_id] = times[order], indices[order]
    found: list[DeadLetter] = []
    for letter in refused:
        times, indices = history[letter.source_id]
        origin = indices[np.searchsorted(times, letter.points.times)]
        for index in np.unique(origin).tolist():
            old = before[index]
            first = letter.first_attempt_ns if old.first_attempt_ns is None else old.first_attempt_ns
            last = old.last_attempt_ns if letter.last_attempt_ns is None else letter.last_attempt_ns
            for part in _part(letter, origin == index):
                found.append(replace(part, first_attempt_ns=first, last_attempt_ns=last))
    return found


def receipt_after(base: Receipt, stored: Receipt, dead_letters: int) -> Receipt:
    """Return the receipt of a chunk of which more is stored now: fingerprints of disjoint points add up.

    Args:
        base: the receipt before.
        stored: the receipt of what the replay has stored, of the same key.
        dead_letters: points that are still dead letters.
    """
    series = tuple(_sum(one, other) for one, other in zip(base.series, stored.series, strict=True))
    return replace(base, series=series, dead_letters=dead_letters)


def _is_leftover(stored: StoredLetters, recorded: RecordedReceipt) -> bool:
    if stored.receipt is None or recorded.at_ns <= stored.written_ns:
        return False
    return stored.receipt.series != recorded.receipt.series


def _overtaken(letter: DeadLetter, recorded: RecordedReceipt | None, records: LetterRecords) -> Mask:
    """Return for each point whether a receipt of another chunk counts there."""
    times = letter.points.times
    if recorded is not None and recorded.is_whole:
        return np.zeros(len(times), bool)
    covered = records.coverage(letter.source_id)
    own = TimeRangeSet() if recorded is None else recorded.counted.get(letter.source_id, TimeRangeSet())
    return _inside(times, covered.subtract(own))


def _inside(times: npt.NDArray[np.int64], ranges: TimeRangeSet) -> Mask:
    inside = np.zeros(len(times), bool)
    for part in ranges:
        inside |= (times >= part.start_ns) & (times < part.end_ns)
    return inside


def _part(letter: DeadLetter, where: Mask) -> Iterator[DeadLetter]:
    """Yield the letter with these points alone; nothing where there are none."""
    if where.all():
        if letter.count:
            yield letter
    elif where.any():
        yield replace(letter, points=letter.points.take(where))


def _sum(one: SeriesReceipt, other: SeriesReceipt) -> SeriesReceipt:
    if not other.count:
        return one
    statuses = Counter(dict(one.statuses)) + Counter(dict(other.statuses))
    firsts = [each.first_ns for each in (one, other) if each.first_ns is not None]
    lasts = [each.last_ns for each in (one, other) if each.last_ns is not None]
    return SeriesReceipt(
        one.series_id,
        other.target_id,
        one.count + other.count,
        min(firsts),
        max(lasts),
        tuple(sorted(statuses.items())),
        add_hashes(one.content_hash, other.content_hash),
    )
