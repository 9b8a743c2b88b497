"""Hold the ledger in memory: numpy columns, about 60 bytes for a receipt of one series, and the state of each record.

A *row* is one series of one record. Records are in the order in which they were loaded, and so are their rows. Large arrays
have narrow types, are freed as soon as they are no longer needed, and are processed in blocks, because a million receipts
have to fit beside a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.ledger.coverage import Ints, Pieces, visible_pieces
from omnia_beam.ledger.table import INTENT, MEMORY_POOL, RECEIPT, RETIRED

Small = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

_BLOCK_ROWS: Final = 131_072
_UNIFY_IDS: Final = 65_536
_RESERVED: Final = 1 << 20
_WIDTHS: Final = {
    "kind": np.int8,
    "run": np.int32,
    "at": np.int64,
    "start": np.int64,
    "end": np.int64,
    "writer": np.int32,
    "scope": np.int32,
    "sink": np.int32,
    "rows": np.int32,
}

REPLACED: Final = 0
"""State of a record that later receipts replace completely."""
DOUBTFUL: Final = 1
"""State of a record whose remaining part was about to be replaced when a run died: its files may be old, new or torn."""
PARTIAL: Final = 2
"""State of a record of which a part counts, and a part was replaced or is doubtful."""
WHOLE: Final = 3
"""State of a record that counts completely."""


def code_of(names: Sequence[str], name: str) -> int:
    """Return the code of `name`, its place in `names`, or -1 for a name that no record has."""
    return names.index(name) if name in names else -1


@dataclass(frozen=True, slots=True)
class LedgerIndex:
    """The ledger's columns by record, by row and by visible piece.

    Args:
        scopes, sinks: digests and names for the codes in the columns `scope` and `sink`.
        last_by_scope: by scope, (run, ns since the Unix epoch) of the last record that counts; (0, 0) for none.
        series_ids: ids for the codes in the column `series`; an Arrow array of strings.
        kind, scope, sink, start, end: by record.
        state: by record, one of REPLACED, DOUBTFUL, PARTIAL and WHOLE; REPLACED for what is no receipt, and for copies of a
            record.
        needed: by record, whether dropping it would change anything.
        record, series: by row; the record's position, and the series' code.
        pieces: the parts of receipts that count, by row, ascending by series code and start.
        standing: what later receipts leave of each receipt, when intents are ignored. The same object as `pieces` where
            there are no intents.
    """

    scopes: list[str]
    sinks: list[str]
    last_by_scope: list[tuple[int, int]]
    series_ids: Any
    kind: npt.NDArray[np.int8]
    scope: Small
    sink: Small
    start: Ints
    end: Ints
    state: npt.NDArray[np.int8]
    needed: Flags
    record: Small
    series: Small
    pieces: Pieces
    standing: Pieces

    def __len__(self) -> int:
        return len(self.kind)

    def ids_of(self, codes: Small) -> list[str]:
        """Return the ids for codes of series, each once, in no particular order."""
        # Neither np.unique nor Arrow's conversion of an array, which would import numpy's masked arrays.
        found: list[str] = self.series_ids.take(
            pa.array(np.flatnonzero(np.bincount(codes)).tolist(), pa.int64())
        ).to_pylist()
        return found


class IndexBuilder:
    """Builder of an index: takes batches of `ledger_table.SCHEMA` (of INDEX_COLUMNS at least), in order."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {"writer": {}, "scope": {}, "sink": {}}
        self._columns = {name: _Growing(width) for name, width in _WIDTHS.items()}
        self._series: list[Any] = []
        self._unify_at = _UNIFY_IDS

    def add(self, batch: Any) -> None:
        for name in ("kind", "run", "at", "start", "end"):
            self._columns[name].extend(batch.column(name).to_numpy())
        for name, codes in self._codes.items():
            self._columns[name].extend(_recoded(batch.column(name), codes))
        lists = batch.column("series")
        self._columns["rows"].extend(np.diff(lists.offsets.to_numpy()))
        self._series.append(pc.dictionary_encode(lists.flatten(), memory_pool=MEMORY_POOL))
        if sum(len(each.dictionary) for each in self._series) > self._unify_at:
            self._unify()

    def build(self) -> LedgerIndex:
        series_ids, series = self._series_codes()
        column = {name: each.values for name, each in self._columns.items()}
        self._columns.clear()
        writer = _by_name(column.pop("writer"), self._codes["writer"])
        rank = _ranks(column["run"], column["at"], writer)
        del writer
        record = np.repeat(np.arange(len(rank), dtype=np.int32), column.pop("rows"))
        shown, standing = _pieces(column, series, record, rank)
        del rank
        pieces = shown if shown is standing else _receipts_only(shown, record, column["kind"])
        state = _states(column, record, pieces, standing)
        last = _last_by_scope(column.pop("run"), column.pop("at"), column["scope"], state, len(self._codes["scope"]))
        return LedgerIndex(
            scopes=list(self._codes["scope"]),
            sinks=list(self._codes["sink"]),
            last_by_scope=last,
            series_ids=series_ids,
            state=state,
            needed=_needed(column["kind"], record, shown, standing),
            record=record,
            series=series,
            pieces=pieces,
            standing=standing,
            **column,
        )

    def _unify(self) -> None:
        """Replace the dictionaries of all batches by one; doubling the threshold keeps the cost of all calls linear."""
        unified = pa.chunked_array(self._series).unify_dictionaries(memory_pool=MEMORY_POOL)
        self._series = [pa.concat_arrays(unified.chunks, memory_pool=MEMORY_POOL)]
        self._unify_at = _UNIFY_IDS + 2 * len(self._series[0].dictionary)

    def _series_codes(self) -> tuple[Any, Small]:
        if not self._series:
            return pa.array([], pa.string()), np.empty(0, np.int32)
        self._unify()
        unified = self._series.pop()
        return unified.dictionary, unified.indices.to_numpy()


class _Growing:
    """An array that grows at its end. Reserved memory costs nothing until it is written to."""

    def __init__(self, width: Any) -> None:
        self._array: npt.NDArray[Any] = np.empty(_RESERVED, width)
        self._count = 0

    @property
    def values(self) -> npt.NDArray[Any]:
        return self._array[: self._count]

    def extend(self, values: npt.NDArray[Any]) -> None:
        count = self._count + len(values)
        if count > len(self._array):
            grown = np.empty(max(count, 2 * len(self._array)), self._array.dtype)
            grown[: self._count] = self.values
            self._array = grown
        self._array[self._count : count] = values
        self._count = count


def _pieces(column: Columns, series: Small, record: Small, rank: Small) -> tuple[Pieces, Pieces]:
    """Return what is visible of all records, and what would be visible of receipts without the intents."""
    usable = column["end"] > column["start"]
    shown = _paint_rows(column, series, record, rank, usable[record])
    receipt = column["kind"] == RECEIPT
    if receipt[usable].all():
        return shown, shown
    return shown, _paint_rows(column, series, record, rank, (usable & receipt)[record])


def _paint_rows(column: Columns, series: Small, record: Small, rank: Small, chosen: Flags) -> Pieces:
    """Return the visible pieces.

    They are painted in blocks of series, ascending, so that they are in the order in which coverage looks them up.
    """
    sinks = int(column["sink"].max(initial=0)) + 1
    found: list[Pieces] = []
    for low, high in series_blocks(series):
        rows = np.flatnonzero(chosen & (series >= low) & (series < high)).astype(np.int32)
        records = record[rows]
        group = series[rows].astype(np.int64) * sinks + column["sink"][records]
        part = visible_pieces(group, column["start"][records], column["end"][records], rank[records])
        found.append(Pieces(rows[part.row], part.start, part.end))
    if not found:
        return Pieces(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64))
    return Pieces(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def series_blocks(series: Small) -> list[tuple[int, int]]:
    """Return ranges of series codes, each with about _BLOCK_ROWS rows; all rows of a series are in one block."""
    if not len(series):
        return []
    reached = np.cumsum(np.bincount(series)) // _BLOCK_ROWS
    cuts = [0, *(np.flatnonzero(np.diff(reached)) + 1).tolist(), len(reached)]
    return list(itertools.pairwise(cuts))


def _receipts_only(shown: Pieces, record: Small, kind: npt.NDArray[np.int8]) -> Pieces:
    keep = kind[record[shown.row]] == RECEIPT
    return Pieces(shown.row[keep], shown.start[keep], shown.end[keep])


def _states(column: Columns, record: Small, pieces: Pieces, standing: Pieces) -> npt.NDArray[np.int8]:
    count = len(column["kind"])
    some = _has(pieces, record, count)
    stands = some if standing is pieces else _has(standing, record, count)
    # A row is whole where it has one piece and that piece is all of it.
    owners = record[pieces.row]
    uncut = pieces.start == column["start"][owners]
    uncut &= pieces.end == column["end"][owners]
    cut_row = np.ones(len(record), bool)
    cut_row[pieces.row[uncut]] = False
    cut = np.zeros(count, bool)
    cut[record[cut_row]] = True
    state = np.full(count, REPLACED, np.int8)
    state[stands] = DOUBTFUL
    state[some] = PARTIAL
    state[some & ~cut] = WHOLE
    return state


def _needed(kind: npt.NDArray[np.int8], record: Small, shown: Pieces, standing: Pieces) -> Flags:
    """Return which records are needed: receipts that stand, intents that show, and every list of retired files."""
    needed = _has(standing, record, len(kind))
    needed |= (kind == INTENT) & _has(shown, record, len(kind))
    needed |= kind == RETIRED
    return needed


def _has(pieces: Pieces, record: Small, count: int) -> Flags:
    flags = np.zeros(count, bool)
    flags[record[pieces.row]] = True
    return flags


def _last_by_scope(
    run: npt.NDArray[Any], at: Ints, scope: npt.NDArray[Any], state: npt.NDArray[np.int8], scopes: int
) -> list[tuple[int, int]]:
    found = []
    for code in range(scopes):
        chosen = (scope == code) & (state >= PARTIAL)
        last_run = int(run[chosen].max(initial=0))
        found.append((last_run, int(at[chosen & (run == last_run)].max(initial=0))))
    return found


def _ranks(run: npt.NDArray[Any], at: Ints, writer: Small) -> Small:
    """Return the rank of each record by (run, at, writer).

    Copies of a record are in any order, since one of them covers the others.
    """
    order = np.lexsort((writer, at, run))
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


def _by_name(codes: Small, names: dict[str, int]) -> Small:
    """Return codes that sort as the names do, so that the order of records does not depend on the order of loading."""
    place = np.empty(len(names), np.int32)
    place[[names[name] for name in sorted(names)]] = np.arange(len(names), dtype=np.int32)
    return place[codes] if len(names) else codes


def _recoded(column: Any, codes: dict[str, int]) -> Small:
    """Return a dictionary column's indices in the codes that all batches share; new names get the next code."""
    here = [codes.setdefault(name, len(codes)) for name in column.dictionary.to_pylist()]
    found: Small = np.array(here, np.int32)[column.indices.to_numpy()]
    return found
