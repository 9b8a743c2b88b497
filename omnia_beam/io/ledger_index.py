"""The ledger in memory: numpy columns, about 80 bytes a receipt of one series, and what is true of each record.

A *row* is one series of one record. Records stand in the order in which they were loaded, their rows likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.io.ledger_paint import Ints, Pieces, visible_pieces
from omnia_beam.io.ledger_table import INTENT, RECEIPT, RETIRED

Small = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

REPLACED: Final = 0
"""Later receipts cover all of it: it says nothing any more."""
DOUBTFUL: Final = 1
"""Not all replaced, and what is left was about to be replaced when a run died: its files may be old, new or torn."""
PARTIAL: Final = 2
"""Some of it counts, and some of it was replaced or is doubtful."""
WHOLE: Final = 3
"""All of it counts."""


@dataclass(frozen=True, slots=True)
class LedgerIndex:
    """Columns by record, by row and by visible piece.

    Args:
        kind, run, at, scope, sink, start, end: by record; scope and sink index `scopes` and `sinks`.
        counts: by record, whether it is the first of its identity (run, writer, at); copies count for nothing.
        state: by record, one of the four above; REPLACED for what is no receipt.
        needed: by record, whether dropping it would change anything.
        record, series: by row; the record's position, and the code of the id in `series_ids`.
        pieces: what counts, by row, ascending by series code and start; receipts only.
        standing: what later receipts leave of each receipt, intents not regarded. The same object as `pieces` where
            there are no intents.
    """

    scopes: list[str]
    sinks: list[str]
    series_ids: Any
    kind: npt.NDArray[np.int8]
    run: Ints
    at: Ints
    scope: Small
    sink: Small
    start: Ints
    end: Ints
    counts: Flags
    state: npt.NDArray[np.int8]
    needed: Flags
    record: Small
    series: Small
    pieces: Pieces
    standing: Pieces

    def __len__(self) -> int:
        return len(self.kind)


class IndexBuilder:
    """Takes batches of `ledger_table.SCHEMA` (of INDEX_COLUMNS at least), in order; `build` makes the index."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {"writer": {}, "scope": {}, "sink": {}}
        self._columns: dict[str, list[npt.NDArray[Any]]] = {
            name: [] for name in ("kind", "run", "at", "start", "end", "writer", "scope", "sink", "rows")
        }
        self._series: list[Any] = []

    def add(self, batch: Any) -> None:
        for name in ("kind", "run", "at", "start", "end"):
            self._columns[name].append(batch.column(name).to_numpy())
        for name, codes in self._codes.items():
            self._columns[name].append(_recoded(batch.column(name), codes))
        lists = batch.column("series")
        self._columns["rows"].append(np.diff(lists.offsets.to_numpy()))
        self._series.append(lists.flatten())

    def build(self) -> LedgerIndex:
        column = {name: _joined(self._columns.pop(name)) for name in list(self._columns)}
        series_ids, series = self._series_codes()
        rank, counts = _ranks(column["run"], column["at"], _by_name(column.pop("writer"), self._codes["writer"]))
        record = np.repeat(np.arange(len(rank), dtype=np.int32), column.pop("rows"))
        shown, standing = _pieces(column, series, record, rank, counts)
        del rank
        pieces = _receipts_only(shown, record, column["kind"]) if shown is not standing else shown
        return LedgerIndex(
            scopes=list(self._codes["scope"]),
            sinks=list(self._codes["sink"]),
            series_ids=series_ids,
            counts=counts,
            state=_states(column, record, counts, pieces, standing),
            needed=_needed(column["kind"], record, shown, standing),
            record=record,
            series=series,
            pieces=pieces,
            standing=standing,
            **column,
        )

    def _series_codes(self) -> tuple[Any, Small]:
        arrays, self._series = self._series, []
        if not arrays:
            return pa.array([], pa.string()), np.empty(0, np.int32)
        unified = pa.chunked_array(arrays).unify_dictionaries()
        del arrays
        codes = _joined([chunk.indices.to_numpy() for chunk in unified.chunks])
        return unified.chunk(0).dictionary, codes


def _pieces(
    column: dict[str, npt.NDArray[Any]], series: Small, record: Small, rank: Small, counts: Flags
) -> tuple[Pieces, Pieces]:
    """What is visible of all records, and what of receipts would be if there were no intents."""
    rows = np.flatnonzero((counts & (column["end"] > column["start"]))[record])
    shown = _paint_rows(column, series, record, rank, rows)
    kinds = column["kind"][record[rows]]
    if (kinds == RECEIPT).all():
        return shown, shown
    return shown, _paint_rows(column, series, record, rank, rows[kinds == RECEIPT])


def _paint_rows(column: dict[str, npt.NDArray[Any]], series: Small, record: Small, rank: Small, rows: Ints) -> Pieces:
    records = record[rows]
    # Series first, so that the pieces come in the order in which coverage is asked for.
    group: npt.NDArray[Any] = series[rows]
    sinks = int(column["sink"].max(initial=0)) + 1
    if sinks > 1:
        group = group.astype(np.int64) * sinks + column["sink"][records]
    found = visible_pieces(group, column["start"][records], column["end"][records], rank[records])
    del group, records
    return Pieces(rows[found.row], found.start, found.end)


def _receipts_only(shown: Pieces, record: Small, kind: npt.NDArray[np.int8]) -> Pieces:
    keep = kind[record[shown.row]] == RECEIPT
    return Pieces(shown.row[keep], shown.start[keep], shown.end[keep])


def _states(
    column: dict[str, npt.NDArray[Any]], record: Small, counts: Flags, pieces: Pieces, standing: Pieces
) -> npt.NDArray[np.int8]:
    count = len(counts)
    some = _has(pieces, record, count)
    stands = some if standing is pieces else _has(standing, record, count)
    # A row is whole where it has one piece and that piece is all of it.
    owners = record[pieces.row]
    uncut = (pieces.start == column["start"][owners]) & (pieces.end == column["end"][owners])
    whole_rows = np.bincount(owners[uncut], minlength=count)
    rows = np.bincount(record, minlength=count)
    state = np.full(count, REPLACED, np.int8)
    state[stands] = DOUBTFUL
    state[some] = PARTIAL
    state[some & (whole_rows == rows)] = WHOLE
    return state


def _needed(kind: npt.NDArray[np.int8], record: Small, shown: Pieces, standing: Pieces) -> Flags:
    """A receipt that stands, an intent that shows, and every list of retired files."""
    needed = _has(standing, record, len(kind))
    needed |= (kind == INTENT) & _has(shown, record, len(kind))
    needed |= kind == RETIRED
    return needed


def _has(pieces: Pieces, record: Small, count: int) -> Flags:
    flags = np.zeros(count, bool)
    flags[record[pieces.row]] = True
    return flags


def _ranks(run: Ints, at: Ints, writer: Small) -> tuple[Small, Flags]:
    """The order of records by (run, at, writer), and which is the first of its identity."""
    order = np.lexsort((writer, at, run))
    same = (
        (run[order][1:] == run[order][:-1])
        & (at[order][1:] == at[order][:-1])
        & (writer[order][1:] == writer[order][:-1])
    )
    counts = np.ones(len(order), bool)
    counts[order[1:][same]] = False
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank, counts


def _by_name(codes: Small, names: dict[str, int]) -> Small:
    """Codes that sort as the names do, so that the order of records does not hang on the order of loading."""
    place = np.empty(len(names), np.int32)
    place[[names[name] for name in sorted(names)]] = np.arange(len(names), dtype=np.int32)
    return place[codes] if len(names) else codes


def _recoded(column: Any, codes: dict[str, int]) -> Small:
    """A dictionary column's indices, in the codes of all batches together; new names get the next code."""
    here = [codes.setdefault(name, len(codes)) for name in column.dictionary.to_pylist()]
    found: Small = np.array(here, np.int32)[column.indices.to_numpy()]
    return found


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
