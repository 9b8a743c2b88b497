"""The ledger: which ranges of which series are stored, under which configuration, in which files.

It is append-only. Writers append receipts (`ledger_writer.py`), each to a segment of its own. Loading reads all of them, and
the order of records, by (run, time, writer), decides between those of the same series, range and sink: the later one counts,
whatever its scope. Coverage is what remains. Plan = wanted − covered.

    ledger = Ledger.load(StateDir.open("state/", "well-pressures"))
    for series_ids, holes in ledger.missing(scope.digest, wanted_ids, wanted_range):
        ...

Loading only reads, so that any process may look while a run is active.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.coverage import HoleFinder, Holes, Ints, Pieces
from omnia_beam.ledger.index import DOUBTFUL, PARTIAL, REPLACED, WHOLE, Flags, LedgerIndex, code_of, series_blocks
from omnia_beam.ledger.loading import LedgerSource, load_records
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.segment import SegmentCache
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.table import RECEIPT, RETIRED, receipt_of_record

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """A receipt as the ledger holds it.

    Args:
        receipt: as written.
        scope: digest of the scope that it was recorded under.
        run: number of the run that recorded it.
        at_ns: when it was recorded, by the writer's clock; ns since the Unix epoch.
        counted: empty where all of it counts. Otherwise, by series id, the part of its range that still does; later
            receipts replaced the rest, or are about to.
    """

    receipt: Receipt
    scope: str
    run: int
    at_ns: int
    counted: Mapping[str, TimeRangeSet] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.counted


@dataclass(frozen=True, slots=True)
class RecordedScope:
    """A configuration that the ledger knows.

    Args:
        scope: the configuration's parts.
        receipts: number of receipts that still count under it, in whole or in part.
        last_run: the last run that recorded something that counts under it; 0 where nothing does.
        last_ns: when that run recorded it; ns since the Unix epoch.
    """

    scope: Scope
    receipts: int
    last_run: int
    last_ns: int


@dataclass(frozen=True)
class Ledger:
    """All records of a job, loaded by `Ledger.load`. Coverage is in memory; receipts are read from disk when they are requested.

    Args:
        state_dir: the job's state directory.
        index: see `ledger_index.py`.
        sources: the files that it was loaded from, in that order.
        known_scopes: scopes by digest.
        spent: files that no longer count and are not deleted yet.
        notices: texts for the user on what was dropped or ignored.
        cache: segments that were read.
    """

    state_dir: StateDir
    index: LedgerIndex
    sources: tuple[LedgerSource, ...]
    known_scopes: Mapping[str, Scope]
    spent: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    cache: SegmentCache = field(default_factory=SegmentCache, compare=False, repr=False)

    @classmethod
    def load(cls, state_dir: StateDir, before: Ledger | None = None) -> Ledger:
        """Read the whole ledger; a ledger that does not exist is an empty one.

        Args:
            state_dir: the job's state directory.
            before: the same ledger as it was earlier, whose segments are not read from an object store again.

        Raises:
            StateError: a record is damaged (the message has the file, the line and what to do) or of an unknown version, or a
                file cannot be read.
        """
        cache = SegmentCache() if before is None else before.cache
        loaded = load_records(state_dir, cache)
        for notice in loaded.notices:
            _log.warning("%s", notice)
        return cls(state_dir, loaded.index, loaded.sources, loaded.scopes, loaded.spent, loaded.notices, cache)

    def __len__(self) -> int:
        return len(self.index)

    def coverage(self, scope: str, series_id: str) -> TimeRangeSet:
        """Return what is stored of one series under a scope; an unknown series has nothing."""
        code = self._code_of.get(series_id, -1)
        found = self._pieces_of(self.index.pieces, self._piece_series, code)
        keep = self._in_scope(scope, found.row)
        return _range_set(found.start[keep], found.end[keep])

    def missing(self, scope: str, series_ids: Collection[str], wanted: TimeRange) -> Holes:
        """Return what of a range is not stored, with series of identical holes grouped together.

        Args:
            scope: the scope's digest.
            series_ids: any ids, also those that the ledger does not know.
            wanted: half-open, ns.

        Returns:
            (series ids ascending, their holes) pairs, in the order of each group's first id; series without holes are in
            no group. 100,000 series of a ledger of a million receipts take about 0.2 s.
        """
        requested = sorted(set(series_ids))
        if not wanted or not requested:
            return []
        codes = pc.index_in(pa.array(requested, pa.string()), value_set=self.index.series_ids)
        known = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
        place = np.full(len(self.index.series_ids), -1, np.int32)
        place[codes.drop_null().to_numpy()] = known
        finder = HoleFinder(len(requested), wanted)
        pieces = self.index.pieces
        for low, high in series_blocks(self._piece_series):
            block = _between(self._piece_series, low, high)
            owner, start, end = place[self._piece_series[block]], pieces.start[block], pieces.end[block]
            at = (owner >= 0) & (start < wanted.end_ns) & (end > wanted.start_ns)
            at &= self._in_scope(scope, pieces.row[block])
            finder.add(owner[at], start[at], end[at])
        return finder.grouped(requested)

    def stands(self, sink: str, key: ChunkKey) -> bool:
        """Return whether the sink holds, or may hold, something of these series in this range, recorded under any scope.

        Storing the key then replaces something: announce it with `LedgerWriter.intend` before.
        """
        index = self.index
        for series_id in key.series_ids:
            found = self._pieces_of(index.standing, self._standing_series, self._code_of.get(series_id, -1))
            meets = (found.start < key.range.end_ns) & (found.end > key.range.start_ns)
            if meets.any() and self._in_sink(sink, index.record[found.row[meets]]).any():
                return True
        return False

    def scopes(self) -> list[RecordedScope]:
        """Return every configuration that the ledger knows, the one recorded last first."""
        index = self.index
        counts = index.state >= PARTIAL
        found = []
        for digest, scope in self.known_scopes.items():
            code = code_of(index.scopes, digest)
            last_run, last_ns = index.last_by_scope[code] if code >= 0 else (0, 0)
            found.append(RecordedScope(scope, int(np.count_nonzero(counts & (index.scope == code))), last_run, last_ns))
        return sorted(found, key=lambda each: (-each.last_run, -each.last_ns, each.scope.digest))

    def series_ids(self, scope: str) -> list[str]:
        """Return all series of which something counts under a scope, ascending."""
        return sorted(self.index.ids_of(self._piece_series[self._in_scope(scope, self.index.pieces.row)]))

    def receipts(self, scope: str) -> Iterator[RecordedReceipt]:
        """Yield all receipts that count under a scope, in whole or in part, in no particular order. Reads from disk."""
        index = self.index
        return self.recorded((index.state >= PARTIAL) & (index.scope == code_of(index.scopes, scope)))

    def overlaps(self, sink: str) -> Iterator[RecordedReceipt]:
        """Yield receipts that count only in part: a file of theirs still holds what a later receipt's file holds too, or soon will.

        To resolve one, `intend` its key, so that all of it is read again, and delete its files.
        """
        return self.recorded((self.index.state == PARTIAL) & self._of_sink(sink))

    def live_files(self, sink: str) -> set[str]:
        """Return the files that receipts name which count in whole or in part."""
        return set(self._files((self.index.state >= PARTIAL) & self._of_sink(sink)).to_pylist())

    def superseded_files(self, sink: str) -> set[str]:
        """Return the files that only replaced receipts name: the sink may delete them, before it writes anything new.

        They are returned until a compaction gets them in `forget`.
        """
        gone = (self.index.state == REPLACED) & np.isin(self.index.kind, (RECEIPT, RETIRED))
        return self._only(gone & self._of_sink(sink), (self.index.state != REPLACED) & self._of_sink(sink))

    def doubtful_files(self, sink: str) -> set[str]:
        """Return files whose replacement was announced and never recorded.

        They may be old, new, or missing. Their windows count as missing.
        """
        of_sink = self._of_sink(sink)
        return self._only((self.index.state == DOUBTFUL) & of_sink, (self.index.state >= PARTIAL) & of_sink)

    def select(self, flags: Flags, columns: Sequence[str] | None = None) -> Iterator[tuple[Ints, Any]]:
        """Yield chosen records from disk: their positions, and a batch of `ledger_table.SCHEMA` or some of its columns.

        Raises:
            StateError: the files have changed since the ledger was loaded; load it again.
        """
        base = 0
        for source in self.sources:
            at = base
            base += source.records
            if not flags[at:base].any():
                continue
            try:
                for batch in source.batches(self.state_dir, columns, self.cache):
                    chosen = flags[at : at + batch.num_rows]
                    if chosen.any():
                        yield np.flatnonzero(chosen) + at, batch.filter(pa.array(chosen))
                    at += batch.num_rows
            except FileNotFoundError as error:
                raise StateError(f"{error}: a run has compacted the ledger meanwhile: load it again") from error

    def recorded(self, flags: Flags) -> Iterator[RecordedReceipt]:
        """Yield chosen receipts, in no particular order. Reads from disk.

        Raises:
            StateError: as `select`, or a receipt is damaged.
        """
        index = self.index
        for positions, batch in self.select(flags, ["run", "at", "record"]):
            rows = zip(positions.tolist(), *(batch.column(each).to_pylist() for each in range(3)), strict=True)
            for position, run, at_ns, record in rows:
                try:
                    receipt = receipt_of_record(record)
                except ValueError as error:
                    raise StateError(
                        f"{self.state_dir.path('ledger')}: damaged: receipt {at_ns} of run {run}: {error}. Delete the "
                        "file that holds it: what it records is then read again. Run verify afterwards",
                        path=self.state_dir.root,
                    ) from error
                counted = {} if index.state[position] == WHOLE else self._counted(position)
                yield RecordedReceipt(receipt, index.scopes[index.scope[position]], run, at_ns, counted)

    def _counted(self, record: int) -> dict[str, TimeRangeSet]:
        mine = _between(self.index.record, record, record + 1)
        by_row, rows = self._pieces_by_row
        pieces = self.index.pieces
        counted = {}
        for row in range(mine.start, mine.stop):
            at = by_row[_between(rows, row, row + 1)]
            series_id = self.index.series_ids[int(self.index.series[row])].as_py()
            counted[series_id] = _range_set(pieces.start[at], pieces.end[at])
        return counted

    def _files(self, flags: Flags) -> Any:
        """Return the files of chosen records, as one Arrow array of strings, with repeats."""
        found = [batch.column("files").flatten() for _, batch in self.select(flags, ["files"])]
        return pa.chunked_array(found, pa.string())

    def _only(self, these: Flags, others: Flags) -> set[str]:
        """Return the files of `these` records that no record of `others` names."""
        found = self._files(these)
        if not len(found):
            return set()
        taken = pc.is_in(found, value_set=self._files(others).combine_chunks())
        return set(found.filter(pc.invert(taken)).to_pylist())

    def _of_sink(self, sink: str) -> Flags:
        flags: Flags = self.index.sink == code_of(self.index.sinks, sink)
        return flags

    def _in_sink(self, sink: str, records: npt.NDArray[Any]) -> Flags:
        flags: Flags = self.index.sink[records] == code_of(self.index.sinks, sink)
        return flags

    def _in_scope(self, scope: str, rows: Ints) -> Flags:
        flags: Flags = self.index.scope[self.index.record[rows]] == code_of(self.index.scopes, scope)
        return flags

    def _pieces_of(self, pieces: Pieces, series: npt.NDArray[np.int32], code: int) -> Pieces:
        part = _between(series, code, code + 1)
        return Pieces(pieces.row[part], pieces.start[part], pieces.end[part])

    @cached_property
    def _code_of(self) -> dict[str, int]:
        return {series_id: code for code, series_id in enumerate(self.index.series_ids.to_pylist())}

    @cached_property
    def _piece_series(self) -> npt.NDArray[np.int32]:
        series: npt.NDArray[np.int32] = self.index.series[self.index.pieces.row]
        return series

    @cached_property
    def _standing_series(self) -> npt.NDArray[np.int32]:
        index = self.index
        return self._piece_series if index.standing is index.pieces else index.series[index.standing.row]

    @cached_property
    def _pieces_by_row(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.index.pieces.row, kind="stable")
        return order, self.index.pieces.row[order]


def _between(ascending: npt.NDArray[Any], low: int, high: int) -> slice:
    """Return the slice of the values from `low` up to and without `high`."""
    # With bounds of another type than the array's, numpy copies the whole array first.
    first, last = np.searchsorted(ascending, np.array((low, high), ascending.dtype)).tolist()
    return slice(first, last)


def _range_set(start: Ints, end: Ints) -> TimeRangeSet:
    return TimeRangeSet(TimeRange(a, b) for a, b in zip(start.tolist(), end.tolist(), strict=True))
