"""Compact the ledger: many segments become one snapshot, and records without any effect are dropped.

Only the holder of the lease compacts, at its start and before its own writers write. Segments of its own run stay unchanged.
Each step leaves the ledger with the same meaning as before, whenever the process dies:

1. An empty manifest and the snapshot's rows are written, as files that do not count yet.
2. The manifest is written: in that instant the snapshot counts, and the files that it includes no longer do.
3. Those files are deleted; what remains of them is deleted at the next start.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from omnia_beam.core.timestamps import format_time
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.index import Flags
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.loading import LedgerSource
from omnia_beam.ledger.record import run_of
from omnia_beam.ledger.snapshot import is_manifest, is_unfinished, write_snapshot
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.table import RETIRED, retired_batch

_log = logging.getLogger(__name__)
MANY_SEGMENTS: Final = 64
_MANY_RECORDS: Final = 1_000
_GROWTH: Final = 0.1
_RETIRED_A_ROW: Final = 1_000


def open_ledger(state_dir: StateDir, token: LeaseToken) -> Ledger:
    """Load the ledger at the start of a run: delete leftovers, compact it where that pays, and return it.

    Args:
        state_dir: the job's state directory.
        token: of the run's lease; none of the run's writers may exist yet.

    Raises:
        StateError: see `Ledger.load`; or the lease is lost.
    """
    ledger = Ledger.load(state_dir)
    delete_spent(ledger, token)
    if not compaction_pays(ledger, token):
        return ledger
    compact_ledger(ledger, token)
    del ledger  # otherwise a million receipts would be in memory twice
    return Ledger.load(state_dir)


def compaction_pays(ledger: Ledger, token: LeaseToken) -> bool:
    """Return whether there is much to compact: many segments, or more than a tenth of what a snapshot holds already."""
    segments = [each for each in ledger.sources if each.snapshot is None and run_of(each.name) < token.run]
    records = sum(each.records for each in segments)
    held = sum(each.records for each in ledger.sources if each.snapshot is not None)
    return len(segments) >= MANY_SEGMENTS or records >= max(_MANY_RECORDS, _GROWTH * held)


def compact_ledger(
    ledger: Ledger,
    token: LeaseToken,
    *,
    forget: Mapping[str, Collection[str]] | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Write what still matters of snapshots and of earlier runs' segments into one snapshot, and delete their files.

    The passed ledger still knows its coverage, and cannot read its receipts any more: load it again.

    Args:
        ledger: loaded immediately before.
        token: of the run's lease.
        forget: by sink, superseded files that the sink has deleted and that need no record any more.
        clock: ns since the Unix epoch, for the snapshot's date.

    Raises:
        StateError: it cannot be read or written, or the lease is lost; the ledger's meaning is unchanged.
    """
    state_dir = ledger.state_dir
    token.check(state_dir)
    state_dir.delete_temporaries("ledger")
    chosen = [each for each in ledger.sources if each.snapshot is not None or run_of(each.name) < token.run]
    if not chosen:
        return
    snapshot = write_snapshot(
        state_dir,
        f"snapshot-{token.run:08d}-{secrets.token_hex(8)}",
        token.run,
        _batches(ledger, chosen, forget or {}),
        scopes=ledger.known_scopes,
        includes=[*(name for each in chosen for name in _names(each)), *ledger.spent],
        created=format_time(clock(), 0),
        placing=LeaseFence(state_dir, token).placing,
    )
    _log.info("%s: %d of %d records kept", snapshot.data_name, snapshot.records, sum(each.records for each in chosen))
    _delete(state_dir, token, snapshot.includes)


def delete_spent(ledger: Ledger, token: LeaseToken) -> None:
    """Delete files that no longer count, which an interrupted compaction left behind.

    Raises:
        StateError: they cannot be deleted, or the lease is lost.
    """
    if ledger.spent:
        _delete(ledger.state_dir, token, ledger.spent)


def _delete(state_dir: StateDir, token: LeaseToken, names: Sequence[str]) -> None:
    token.check(state_dir)
    # Manifests last: as long as one exists, the files that it includes do not count. Those that were never finished come
    # first: without them their writer, should it wake up, cannot make its rows count, which are deleted next.
    manifests = [name for name in names if is_manifest(name)]
    unfinished = [name for name in manifests if is_unfinished(state_dir, name)]
    for name in (*unfinished, *sorted({*names} - {*manifests}), *sorted({*manifests} - {*unfinished})):
        state_dir.delete(f"ledger/{name}")


def _names(source: LedgerSource) -> list[str]:
    return [source.name] if source.snapshot is None else [source.snapshot.data_name, source.snapshot.manifest_name]


def _batches(ledger: Ledger, chosen: Sequence[LedgerSource], forget: Mapping[str, Collection[str]]) -> Iterator[Any]:
    index = ledger.index
    kept: Flags = index.needed & (index.kind != RETIRED)
    at = 0
    for source in ledger.sources:
        if source not in chosen:
            kept[at : at + source.records] = False
        at += source.records
    for _, batch in ledger.select(kept):
        yield batch
    for sink in index.sinks:
        files = sorted(ledger.superseded_files(sink).difference(forget.get(sink, ())))
        for first in range(0, len(files), _RETIRED_A_ROW):
            yield retired_batch(sink, files[first : first + _RETIRED_A_ROW])
