"""Read from receipts on disk what they hold besides coverage and files: dead letters, kept points, what is valid of a window."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from omnia_beam.core.errors import StateError
from omnia_beam.core.fingerprint import add_hashes
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.index import DOUBTFUL, PARTIAL, WHOLE
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.table import RECEIPT, receipt_of_record

_KEPT: Final = '"kept":['
_LETTERS: Final = r'"dead_letters":[1-9]|"rejected":[1-9]'


@dataclass(frozen=True, slots=True)
class StandingReceipt:
    """A receipt that still describes content of the sink.

    Args:
        receipt: as written.
        scope: digest of the scope that it was recorded under.
        whole: whether all of it counts.
        record: its line, byte for byte; it takes less memory than the receipt.
    """

    receipt: Receipt
    scope: str
    whole: bool
    record: bytes


@dataclass(frozen=True, slots=True)
class PriorRecord:
    """A record that stands of a window which is read again: its line, byte for byte, and the digest of its scope."""

    line: bytes
    scope: str

    @property
    def receipt(self) -> Receipt:
        return receipt_of_record(self.line)


def receipts_with_letters(ledger: Ledger, sink: str) -> Iterator[StandingReceipt]:
    """Yield the receipts that count and have dead letters, of the sink or of the mapping."""
    yield from _matching(ledger, sink, _LETTERS)


def receipts_with_kept_points(ledger: Ledger, sink: str) -> Iterator[StandingReceipt]:
    """Yield the receipts that count and hold points which the source no longer shows."""
    yield from _matching(ledger, sink, _KEPT, literal=True)


def receipts_of_range(ledger: Ledger, scope: str, sink: str, wanted: TimeRange | None) -> Iterator[StandingReceipt]:
    """Yield the receipts that count under a scope and meet a range; None for all times."""
    index = ledger.index
    flags = (index.state >= PARTIAL) & (index.sink == _code(index.sinks, sink))
    flags &= index.scope == _code(index.scopes, scope)
    if wanted is not None:
        flags &= (index.start < wanted.end_ns) & (index.end > wanted.start_ns)
    yield from _standing(ledger, flags)


def series_with_points(ledger: Ledger, scope: str, sink: str, series_ids: Set[str]) -> frozenset[str]:
    """Return those of some series of which a receipt that counts under a scope holds points."""
    if not series_ids:
        return frozenset()
    return frozenset(
        part.series_id
        for each in receipts_of_range(ledger, scope, sink, None)
        for part in each.receipt.series
        if part.count and part.series_id in series_ids
    )


def windows_without_points(
    ledger: Ledger, scope: str, sink: str, keys: Collection[ChunkKey], series_ids: Set[str]
) -> frozenset[ChunkKey]:
    """Return those of some recorded windows in which the receipt holds no point of some series."""
    if not keys:
        return frozenset()
    wanted = frozenset(keys)
    return frozenset(
        each.receipt.key
        for each in receipts_of_range(ledger, scope, sink, None)
        if each.receipt.key in wanted
        and not any(part.count and part.series_id in series_ids for part in each.receipt.series)
    )


def windows_of_gone_series(
    ledger: Ledger, scope: str, sink: str, wanted: TimeRange | None, gone: Set[str]
) -> list[tuple[ChunkKey, int]]:
    """Return the recorded windows that hold points of series which the source no longer has, with the points they held.

    A window is among them until the points of those series are removed, or recorded as kept.

    Args:
        ledger, scope, sink, wanted: as in `receipts_of_range`.
        gone: ids of the series.
    """
    if not gone:
        return []
    found = []
    for each in receipts_of_range(ledger, scope, sink, wanted):
        unsettled = gone - {kept.series_id for kept in each.receipt.kept}
        if any(part.count and part.series_id in unsettled for part in each.receipt.series):
            found.append((each.receipt.key, each.receipt.count))
    return found


def prior_records(ledger: Ledger, sink: str, keys: Collection[ChunkKey]) -> dict[ChunkKey, tuple[PriorRecord, ...]]:
    """Return by window that is read again the records that stand of it or of parts of it at the sink, oldest first.

    Args:
        ledger: as it is now.
        sink: as the receipts name it.
        keys: windows to be read again; those of the same series do not overlap.
    """
    if not keys:
        return {}
    index = ledger.index
    groups: dict[tuple[str, ...], list[ChunkKey]] = {}
    for key in sorted(set(keys), key=lambda key: key.range):
        groups.setdefault(key.series_ids, []).append(key)
    bounds = np.array(sorted((key.range.start_ns, key.range.end_ns) for key in keys), np.int64)
    reached = np.maximum.accumulate(bounds[:, 1])
    at = np.searchsorted(bounds[:, 0], index.start, side="right") - 1
    flags = (index.kind == RECEIPT) & (index.state >= DOUBTFUL) & (index.sink == _code(index.sinks, sink))
    flags &= (at >= 0) & (reached[np.maximum(at, 0)] >= index.end)
    found: dict[ChunkKey, list[tuple[int, int, PriorRecord]]] = {}
    for positions, batch in ledger.select(flags, ["run", "at", "record"]):
        columns = (batch.column(name).to_pylist() for name in ("run", "at", "record"))
        for position, run, at_ns, record in zip(positions.tolist(), *columns, strict=True):
            part = _receipt(ledger, record).key
            around = _around(groups.get(part.series_ids, ()), part)
            if around is not None:
                prior = PriorRecord(record, index.scopes[index.scope[position]])
                found.setdefault(around, []).append((run, at_ns, prior))
    return {key: tuple(prior for *_, prior in sorted(each, key=lambda row: row[:2])) for key, each in found.items()}


def _around(keys: Sequence[ChunkKey], part: ChunkKey) -> ChunkKey | None:
    """Return the one of some disjoint windows, ascending, which covers another window of the same series."""
    at = bisect_right(keys, part.range.start_ns, key=lambda key: key.range.start_ns) - 1
    return keys[at] if at >= 0 and keys[at].range.covers(part.range) else None


def standing_points(ledger: Ledger, sink: str) -> int:
    """Return the number of points of all receipts of a sink that stand, including those that are about to be replaced."""
    index = ledger.index
    flags = (index.kind == RECEIPT) & (index.state >= DOUBTFUL) & (index.sink == _code(index.sinks, sink))
    return sum(each.receipt.count for each in _standing(ledger, flags))


def _matching(ledger: Ledger, sink: str, pattern: str, *, literal: bool = False) -> Iterator[StandingReceipt]:
    index = ledger.index
    match = pc.match_substring if literal else pc.match_substring_regex
    flags = (index.kind == RECEIPT) & (index.state >= PARTIAL) & (index.sink == _code(index.sinks, sink))
    chosen = np.zeros(len(index), bool)
    for positions, batch in ledger.select(flags, ["record"]):
        chosen[positions[match(batch.column("record"), pattern).to_numpy(zero_copy_only=False)]] = True
    yield from _standing(ledger, chosen)


def _standing(ledger: Ledger, flags: npt.NDArray[np.bool_]) -> Iterator[StandingReceipt]:
    index = ledger.index
    for positions, batch in ledger.select(flags, ["record"]):
        for position, record in zip(positions.tolist(), batch.column("record").to_pylist(), strict=True):
            scope = index.scopes[index.scope[position]]
            yield StandingReceipt(_receipt(ledger, record), scope, bool(index.state[position] == WHOLE), record)


def _receipt(ledger: Ledger, record: bytes) -> Receipt:
    try:
        return receipt_of_record(record)
    except ValueError as error:
        raise StateError(f"{ledger.state_dir.path('ledger')}: damaged: {error}") from error


def _code(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1


def joined_receipt(key: ChunkKey, receipts: Sequence[Receipt]) -> Receipt:
    """Return what is recorded of a window, from its own receipt or from those of its parts, oldest first."""
    if len(receipts) == 1 and receipts[0].key == key:
        return receipts[0]
    own = [each for each in receipts if each.key == key]
    files = tuple(dict.fromkeys(name for each in receipts for name in each.files))
    kept = tuple(part for each in receipts for part in each.kept)
    series = (
        own[-1].series
        if own
        else tuple(reduce(_sum, parts) for parts in zip(*(r.series for r in receipts), strict=True))
    )
    return Receipt(key, receipts[-1].sink, series, files, kept=kept)


def _sum(one: SeriesReceipt, other: SeriesReceipt) -> SeriesReceipt:
    """Return the receipt of two parts of a window together, without statuses."""
    firsts = [each.first_ns for each in (one, other) if each.first_ns is not None]
    lasts = [each.last_ns for each in (one, other) if each.last_ns is not None]
    return SeriesReceipt(
        one.series_id,
        other.target_id,
        one.count + other.count,
        min(firsts, default=None),
        max(lasts, default=None),
        (),
        add_hashes(one.content_hash, other.content_hash),
    )
