"""Check, between reading and writing, what the destination would lose where recorded windows are read again.

A window that is read again replaces what was stored of it. Besides new points, three things can result:

- **kept**: a series that held points in the window, or in a file that was removed, and now shows none. Its stored points are
  written again with the chunk, and the receipt names them.
- **withheld**: points would be removed without being replaced. The chunk is not written; how much it would remove is reported,
  and the driver decides by the sum of all (`max_removed`) whether a second reading may write it.
- **lost at both ends**: what the source no longer shows, the destination has lost too.

Each is a report in the job's state, `runs/RUN-removal-WINDOW.json`, so that it counts on whichever worker it was made.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points
from omnia_beam.core.errors import IncompleteReadError, TransientServiceError
from omnia_beam.core.fingerprint import hash_points
from omnia_beam.core.kept import KeptPoints
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.redaction import redact
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import Removal, StoredPoints
from omnia_beam.ledger.facts import PriorRecord, joined_receipt
from omnia_beam.ledger.state_dir import StateDir

_REPORT: Final = "-removal-"


class ChunkGuard(Protocol):
    """The check of a chunk between reading and writing. It is pickled to the workers."""

    def passed(self, chunk: Chunk) -> Chunk | None:
        """Return a chunk as it is to be written, None where it is withheld."""


@dataclass(frozen=True)
class GuardRules:
    """The rules for what may be removed. Plain data: it pickles.

    Args:
        keep: whether points that the source no longer shows are kept.
        scope: the digest of this run's scope: under another configuration other points are wanted, and none are kept.
        vanished: by source id, ranges of files that were removed: what is stored there is kept although the window shows others.
        stored: reads stored points; None where only the receipts are known.
        as_held: returns what the sink would hold of a chunk; None for all of it.
        allowed: windows that may lose points, and how many of each series, by source id.
        left_out: series that are not selected and that reading a window does not show: they are kept without a word.
    """

    keep: bool
    scope: str
    vanished: Mapping[str, tuple[TimeRange, ...]] = field(default_factory=dict)
    stored: StoredPoints | None = None
    as_held: Callable[[Chunk], Chunk] | None = None
    allowed: Mapping[ChunkKey, Mapping[str, int]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    @property
    def replacing(self) -> StoredPoints | None:
        """The reader of stored points where a window that is written again replaces them; otherwise None."""
        return self.stored if self.stored is not None and self.stored.replaces else None


@dataclass(frozen=True)
class RemovalGuard:
    """The check of the chunks of one run. Plain data: it pickles. `guard_step.GuardChunks` puts it on a pipeline.

    Args:
        rules: see `GuardRules`.
        prior: by window, the records that count for it, see `prior_records`.
        state_dir, run_id: where reports go.
    """

    rules: GuardRules
    prior: Mapping[ChunkKey, tuple[PriorRecord, ...]]
    state_dir: StateDir
    run_id: str

    @property
    def targets(self) -> dict[str, str]:
        """The id under which each series of the guard's windows is stored, by source id."""
        records = (record for each in self.prior.values() for record in each)
        return {each.series_id: each.target_id for record in records for each in record.receipt.series}

    def of(self, keys: Iterable[ChunkKey]) -> RemovalGuard:
        """Return a guard for a share of the windows."""
        return replace(self, prior={key: self.prior[key] for key in keys if key in self.prior})

    def reading(self, stored: StoredPoints | None) -> RemovalGuard:
        """Return a guard that reads stored points so, such as with a worker's part of a budget."""
        return replace(self, rules=replace(self.rules, stored=stored))

    def prior_of(self, key: ChunkKey) -> tuple[PriorRecord, ...]:
        """Return the records that count for a window, or for a part that it had to be cut into, as far as they overlap it."""
        if key in self.prior:
            return self.prior[key]
        windows = self._windows.get(key.series_ids, [])
        at = bisect_right(windows, key.range.start_ns, key=lambda each: each.range.start_ns) - 1
        if at < 0 or not windows[at].range.covers(key.range):
            return ()
        return tuple(each for each in self.prior[windows[at]] if each.receipt.key.range.overlaps(key.range))

    @cached_property
    def _windows(self) -> dict[tuple[str, ...], list[ChunkKey]]:
        """The windows by their series, ascending in time."""
        found: dict[tuple[str, ...], list[ChunkKey]] = {}
        for key in sorted(self.prior, key=lambda each: each.range):
            found.setdefault(key.series_ids, []).append(key)
        return found

    def passed(self, chunk: Chunk) -> Chunk | None:
        """Return a chunk as it is to be written, None where it is withheld; what it would remove is reported in the state.

        Raises:
            StateError: a report cannot be written.
            DestinationError, CredentialError: what is stored may not be read.
        """
        found = self.prior_of(chunk.key)
        receipts = [record.receipt for record in found]
        is_part = not all(chunk.key.range.covers(each.key.range) for each in receipts)
        stored = self.rules.stored
        if not found or (is_part and stored is None):  # no receipt says what was stored of a part
            return chunk
        scopes = {record.scope for record in found}
        scope = min(scopes) if len(scopes) == 1 else ""
        try:
            if is_part and stored is not None:
                before, old = _cut(chunk.key, receipts, stored)
                guarded, removal = guard_chunk(chunk, before, scope, self.rules, old)
            else:
                guarded, removal = guard_chunk(chunk, joined_receipt(chunk.key, receipts), scope, self.rules)
        except (TransientServiceError, IncompleteReadError) as error:
            guarded, removal = chunk, Removal(chunk.key, withheld=True, unread=redact(str(error)))
        if removal.has_content:
            name = f"runs/{self.run_id}{_REPORT}{chunk.key.name}.json"
            self.state_dir.write(name, json.dumps(removal.to_json()).encode())
        return None if removal.withheld else guarded


def read_removals(state_dir: StateDir, run_id: str, *, forget: bool = False) -> list[Removal]:
    """Return what the guards of a run reported; `forget` deletes the reports.

    Raises:
        StateError: they cannot be read.
    """
    names = [each.name for each in state_dir.list("runs") if each.name.startswith(f"{run_id}{_REPORT}")]
    found = []
    for name in names:
        data = state_dir.read(f"runs/{name}")
        if data is not None:
            found.append(Removal.from_json(json.loads(data)))
        if forget:
            state_dir.delete(f"runs/{name}")
    return sorted(found, key=lambda each: (each.key.range, each.key.series_ids))


def guard_chunk(
    chunk: Chunk, before: Receipt, scope: str, rules: GuardRules, old: Mapping[str, Points] | None = None
) -> tuple[Chunk, Removal]:
    """Return a chunk as it is to be written, and the effect of that on the stored points.

    Args:
        chunk: what the source shows now, after the mapping.
        before: the receipt that counts for the same window.
        scope: the scope under which that was recorded.
        rules: see `GuardRules`.
        old: the stored points by stored id; None where those of the receipt's files are.
    """
    stored = {each.series_id: each for each in before.series}
    if scope != rules.scope:
        shown = {source_id: len(points.times) for source_id, _, points in chunk.by_series()}
        fewer = {s: each.count - shown.get(s, 0) for s, each in stored.items() if each.count > shown.get(s, 0)}
        if rules.replacing is None:
            same = {s for s, stored_id, _ in chunk.by_series() if s in stored and stored[s].target_id == stored_id}
            held = {s: points for s, _, points in _held(chunk, rules) if s in same}
            found = {s: _fewer(s, stored[s], points, before, rules) for s, points in held.items()}
            fewer = {s: n for s, n in fewer.items() if s not in same} | {s: n for s, n in found.items() if n}
        return chunk, _compared(Removal(chunk.key, fewer), rules)
    changed = [each for each in chunk.by_series() if not _is_same(stored.get(each[0]), each[1], each[2])]
    if not changed:
        return chunk, Removal(chunk.key)
    if rules.replacing is None:
        return _by_receipts(chunk, before, stored, rules)
    if old is None:
        old, _ = rules.replacing.points([before])
    return _by_points(chunk, before, stored, rules, old)


def _by_receipts(
    chunk: Chunk, before: Receipt, stored: Mapping[str, SeriesReceipt], rules: GuardRules
) -> tuple[Chunk, Removal]:
    """Guard a chunk whose writing removes nothing by itself.

    A series that shows none keeps all that was stored. Of one that shows others, the stored points are read.
    """
    removed: dict[str, int] = {}
    kept: list[KeptPoints] = []
    gone: dict[str, int] = {}
    for source_id, target_id, points in _held(chunk, rules):
        was = stored.get(source_id)
        if was is None or not was.count:
            continue
        if was.target_id.lower() != target_id.lower():
            gone |= {} if len(points.times) else {source_id: was.count}
        elif (rules.keep or source_id in rules.left_out) and not len(points.times):
            said = (was.target_id, was.count, was.first_ns, was.last_ns, was.statuses, was.content_hash)
            kept.append(KeptPoints(source_id, chunk.key.range, was.count, said))
        elif fewer := _fewer(source_id, was, points, before, rules):
            removed[source_id] = fewer
    removal = Removal(chunk.key, removed, _news(kept, before, rules), gone)
    return replace(chunk, kept=tuple(kept)), _compared(removal, rules)


def _held(chunk: Chunk, rules: GuardRules) -> Iterator[tuple[str, str, Points]]:
    """Yield the series of a chunk with the points that the sink would hold of it."""
    return (chunk if rules.as_held is None else rules.as_held(chunk)).by_series()


def _fewer(source_id: str, was: SeriesReceipt, points: Points, before: Receipt, rules: GuardRules) -> int:
    """Return how many of a series' stored points a window that is read again no longer has.

    Points of other writers cannot be told from them where there are more than were recorded: then the least number counts.
    """
    fewer = max(0, was.count - len(points.times))
    allowed = rules.allowed.get(before.key, {}).get(source_id)
    if allowed is not None:  # they were erased before this reading
        return max(fewer, allowed)
    if _extends(was, points):
        return 0
    if rules.stored is None:
        return fewer
    found, _ = rules.stored.points([replace(before, series=(was,))])
    there = found.get(was.target_id, NO_POINTS)
    missing = int(np.count_nonzero(~np.isin(there.times, points.times)))
    others = len(there.times) - was.count
    return missing if others <= 0 else max(fewer, missing - others)


def _extends(was: SeriesReceipt, points: Points) -> bool:
    """Return whether points begin with all that was stored and go on behind it, as those of most windows do."""
    first = points.take(slice(was.count))
    return len(first.times) == was.count and hash_points(*first) == was.content_hash


def _by_points(
    chunk: Chunk,
    before: Receipt,
    stored: Mapping[str, SeriesReceipt],
    rules: GuardRules,
    old: Mapping[str, Points],
) -> tuple[Chunk, Removal]:
    """Guard a chunk by finding the stored points whose times it does not have."""
    removed: dict[str, int] = {}
    gone: dict[str, int] = {}
    kept: list[KeptPoints] = []
    merged: dict[str, Points] = {}
    for source_id, _, points in chunk.by_series():
        merged[source_id] = points
        was = stored.get(source_id)
        if was is None or not was.count:
            continue
        had = _distinct(old.get(was.target_id, NO_POINTS))
        if was.count > len(had.times) and not len(points.times):
            gone[source_id] = was.count - len(had.times)
        missing = had.take(~np.isin(had.times, points.times))
        if not len(missing.times):
            continue
        keep = np.zeros(len(missing.times), bool)
        for part in _keep_ranges(source_id, points, chunk.key, before, rules):
            inside = ~keep & (missing.times >= part.start_ns) & (missing.times < part.end_ns)
            if inside.any():
                keep |= inside
                kept.append(KeptPoints(source_id, part, int(np.count_nonzero(inside))))
        if keep.any():
            merged[source_id] = _merged(points, missing.take(keep))
        if not keep.all():
            removed[source_id] = int(np.count_nonzero(~keep))
    removal = _compared(Removal(chunk.key, removed, _news(kept, before, rules), gone), rules)
    if not kept:
        return chunk, removal
    whole = Chunk.from_points(chunk.key, merged, chunk.series_ids)
    return replace(whole, rejected=chunk.rejected, kept=tuple(kept)), removal


def _cut(key: ChunkKey, receipts: Sequence[Receipt], stored: StoredPoints) -> tuple[Receipt, dict[str, Points]]:
    """Return what is stored of a part of recorded windows: as a receipt would say it, and the points by stored id.

    At a service these are all points of the series in that time: which of them others wrote cannot be told from a receipt of more.

    Args:
        key: the part.
        receipts: of windows that overlap it, oldest first.
        stored: reads the points.
    """
    met = [(each, each.key.range.intersect(key.range)) for each in receipts]
    read, _ = stored.points(replace(each, key=replace(each.key, range=part)) for each, part in met if part is not None)
    points = {stored_id: _latest(each, key.range) for stored_id, each in read.items()}
    series = tuple(
        SeriesReceipt.of(each.series_id, each.target_id, points.get(each.target_id, NO_POINTS))
        for each in receipts[-1].series
    )
    targets = {each.series_id: each.target_id for each in series}
    kept = []
    for each in (part for receipt in receipts for part in receipt.kept):
        part = each.range.intersect(key.range)
        if part is not None:
            inside = _latest(points.get(targets.get(each.series_id, ""), NO_POINTS), part)
            kept.append(KeptPoints(each.series_id, part, min(each.points, len(inside.times))))
    return Receipt(key, receipts[-1].sink, series, kept=tuple(kept)), points


def _latest(points: Points, part: TimeRange) -> Points:
    """Return the points of a range; of several at one time, ascending by file, the last."""
    inside = (points.times >= part.start_ns) & (points.times < part.end_ns)
    inside[:-1] &= points.times[1:] != points.times[:-1]
    return points.take(inside)


def _keep_ranges(
    source_id: str, points: Points, key: ChunkKey, before: Receipt, rules: GuardRules
) -> Iterator[TimeRange]:
    """Yield the ranges in which stored points stay.

    These are all of a window that shows none, what was kept before, and what files held that are gone.
    """
    if not rules.keep and source_id not in rules.left_out:
        return
    if not len(points.times):
        yield key.range
        return
    yield from (each.range for each in before.kept if each.series_id == source_id)
    yield from rules.vanished.get(source_id, ())


def _compared(removal: Removal, rules: GuardRules) -> Removal:
    return replace(removal, withheld=not removal.removed.keys() <= rules.allowed.get(removal.key, {}).keys())


def _news(kept: list[KeptPoints], before: Receipt, rules: GuardRules) -> dict[str, int]:
    """Return the number of kept points beyond those that were recorded as kept before, by series."""
    counts: dict[str, int] = {}
    for each in kept:
        counts[each.series_id] = counts.get(each.series_id, 0) + each.points
    for each in before.kept:
        counts[each.series_id] = counts.get(each.series_id, 0) - each.points
    return {s: count for s, count in counts.items() if count > 0 and s not in rules.left_out}


def _is_same(before: SeriesReceipt | None, stored_id: str, points: Points) -> bool:
    """Return whether a series shows exactly what was stored of it."""
    if before is None or before.count != len(points.times) or before.target_id != stored_id:
        return False
    return before.content_hash == hash_points(*points)


def _distinct(points: Points) -> Points:
    """Return points that are ascending in time with the last of each time.

    A run that died while it stored a window as several leaves the files of the window and of its parts.
    """
    return points.take(np.append(points.times[1:] != points.times[:-1], True)) if len(points.times) else points


def _merged(one: Points, other: Points) -> Points:
    """Return the points of two sets without a time in common, ascending in time."""
    return Points.concat([one, other]).by_time()
