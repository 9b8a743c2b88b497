"""Rows that come back from the database as Arrow columns, turned into the points of each series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from omnia_beam.core.chunk import NO_POINTS, Points
from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.io.postgresql.connection import one_transaction

_EXACT: Final = 2**53


class TooManyRowsError(IncompleteReadError):
    """A query returned more rows than one chunk may hold."""


@dataclass(frozen=True)
class Rows:
    """Points of several series, sorted by series and time.

    Args:
        codes: for each point the index of its series.
        points: the columns.
        inexact: by series, how many integers no double holds.
    """

    codes: npt.NDArray[np.int32]
    points: Points
    inexact: Mapping[str, int]

    def by_series(self, series_ids: Sequence[str]) -> dict[str, Points]:
        """Return the points by id; ids without points are left out."""
        bounds = np.searchsorted(self.codes, np.arange(len(series_ids) + 1, dtype=np.int32))
        return {
            each: self.points.take(slice(int(bounds[at]), int(bounds[at + 1])))
            for at, each in enumerate(series_ids)
            if bounds[at] < bounds[at + 1]
        }


def query(connection: Any, statement: str, most: int | None = None) -> Any:
    """Return the rows of a query as a `pyarrow.Table`.

    Args:
        connection: of ADBC.
        statement: one SELECT, without parameters, since those would end the use of COPY.
        most: rows after which it is given up; None for no bound.

    Raises:
        TooManyRowsError: there are more.
    """
    batches = []
    rows = 0
    with one_transaction(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        reader = cursor.fetch_record_batch()
        for batch in reader:
            rows += batch.num_rows
            if most is not None and rows > most:
                break
            batches.append(batch)
    if most is not None and rows > most:
        raise TooManyRowsError(f"more than {most:,} rows")
    return pa.Table.from_batches(batches, reader.schema)


def sorted_rows(table: Any, series_ids: Sequence[str], *, unit_ns: int, default_status: int) -> Rows:
    """Return the rows of a table with the columns series, time, value and status, in this order, and text where there is a fifth.

    A row whose value is null has to have a text. A text counts beside a value that is NaN or null, and makes it the NaN of texts.

    Args:
        table: without nulls in series and time, and in value without texts.
        series_ids: ascending; every series of the table is one of them.
        unit_ns: what an integer of the time column counts, ns.
        default_status: of rows without one.

    Raises:
        IncompleteReadError: a status is no uint32, or a time is beyond what 64-bit nanoseconds hold.
    """
    place = {each: at for at, each in enumerate(series_ids)}
    codes = _codes(table.column(0), place)
    times = times_of(table.column(1), unit_ns)
    value = table.column(2)
    texts = _texts(table.column(4), value) if table.num_columns > 4 else None
    filler: float = 0 if pa.types.is_integer(value.type) else math.nan
    values, inexact = _values(value if texts is None else pc.fill_null(value, filler), codes, series_ids)
    if texts is not None:
        values = np.where([each is not None for each in texts], np.nan, values)
    points = Points(times, values, statuses_of(table.column(3), default_status), texts)
    if len(codes) > 1 and not _ascends(codes, times):
        order = _order(codes, points)
        codes, points = codes[order], points.take(order)
    return Rows(codes, points, inexact)


def times_of(column: Any, unit_ns: int) -> npt.NDArray[np.int64]:
    """Return times in ns.

    Raises:
        IncompleteReadError: one is beyond 64-bit nanoseconds.
    """
    if pa.types.is_timestamp(column.type):
        unit_ns = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[column.type.unit]
    raw: npt.NDArray[np.int64] = _numpy(column.cast(pa.int64()))
    if unit_ns == 1 or not len(raw):
        return raw
    most = (2**63 - 1) // unit_ns
    if int(raw.max()) > most or int(raw.min()) < -most:
        raise IncompleteReadError("a time lies outside of the years 1678 to 2262")
    return raw * unit_ns


def statuses_of(column: Any, default_status: int) -> npt.NDArray[np.uint32]:
    """Return statuses as uint32.

    Raises:
        IncompleteReadError: one is no such number.
    """
    whole = column.cast(pa.int64())
    raw: npt.NDArray[np.int64] = _numpy(pc.fill_null(whole, default_status) if whole.null_count else whole)
    if len(raw) and (int(raw.min()) < 0 or int(raw.max()) > MAX_STATUS):
        wrong = int(raw[(raw < 0) | (raw > MAX_STATUS)][0])
        raise IncompleteReadError(f"the status {wrong} is not one of 0 to {MAX_STATUS}")
    return raw.astype(np.uint32)


def doubles_of(column: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_] | None]:
    """Return values as float64, and which of them no double holds exactly; None where all are exact."""
    if not pa.types.is_integer(column.type):
        return _numpy(column.cast(pa.float64())), None
    whole = _numpy(column.cast(pa.int64()))
    values = whole.astype(np.float64)
    large = np.abs(values) >= _EXACT
    if not large.any():
        return values, None
    changed = large & ((values >= 2.0**63) | (np.where(values >= 2.0**63, 0.0, values).astype(np.int64) != whole))
    return values, changed if changed.any() else None


def without_repeats(rows: Rows) -> tuple[Rows, npt.NDArray[np.int32]]:
    """Return rows with each series and time once, the last one of several, and the codes of those that were left out."""
    times, codes = rows.points.times, rows.codes
    if len(codes) < 2:
        return rows, codes[:0]
    repeated = np.zeros(len(codes), bool)
    repeated[:-1] = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1])
    if not repeated.any():
        return rows, codes[:0]
    return Rows(codes[~repeated], rows.points.take(~repeated), rows.inexact), codes[repeated]


def joined(parts: Mapping[int, Points]) -> Rows:
    """Return points that are given by the index of their series, each sorted by time."""
    kept = {code: points for code, points in sorted(parts.items()) if len(points.times)}
    codes = np.repeat(np.array(list(kept), np.int32), [len(each.times) for each in kept.values()])
    return Rows(codes, Points.concat(list(kept.values())) if kept else NO_POINTS, {})


def _values(
    column: Any, codes: npt.NDArray[np.int32], series_ids: Sequence[str]
) -> tuple[npt.NDArray[np.float64], dict[str, int]]:
    values, changed = doubles_of(column)
    if changed is None:
        return values, {}
    found, counts = np.unique(codes[changed], return_counts=True)
    return values, {series_ids[code]: int(count) for code, count in zip(found, counts, strict=True)}


def _texts(column: Any, value: Any) -> npt.NDArray[np.object_] | None:
    """Return the texts of points without a number, None for others; None where there are none at all."""
    is_text = pc.and_(
        pc.is_valid(column), pc.or_kleene(pc.is_null(value), pc.is_nan(value.cast(pa.float64(), safe=False)))
    )
    if not pc.any(is_text).as_py():
        return None
    texts: npt.NDArray[np.object_] = pc.if_else(is_text, column, pa.scalar(None, column.type)).to_numpy()
    return texts.copy()


def _text_keys(texts: npt.NDArray[np.object_] | None) -> list[npt.NDArray[Any]]:
    """Return a column to sort by that puts texts in their own order, for rows of one time; nothing where there are no texts."""
    if texts is None:
        return []
    ordered = sorted({each for each in texts if each is not None})
    place = {each: at for at, each in enumerate(ordered)}
    return [np.array([-1 if each is None else place[each] for each in texts], np.int64)]


def _codes(column: Any, place: Mapping[str, int]) -> npt.NDArray[np.int32]:
    parts = []
    for chunk in column.chunks:
        coded = chunk.dictionary_encode()
        known = coded.dictionary.to_pylist()
        if strangers := [each for each in known if each not in place]:
            raise IncompleteReadError(f"the table returned the series {strangers[0]!r}, which was not asked for")
        of = np.array([place[each] for each in known], np.int32)
        parts.append(of[coded.indices.to_numpy()] if len(chunk) else np.empty(0, np.int32))
    return np.concatenate(parts) if parts else np.empty(0, np.int32)


def _ascends(codes: npt.NDArray[np.int32], times: npt.NDArray[np.int64]) -> bool:
    """Return whether rows are sorted by series and time, without repeats."""
    same = codes[1:] == codes[:-1]
    return bool(((codes[1:] > codes[:-1]) | (same & (times[1:] > times[:-1]))).all())


def _order(codes: npt.NDArray[np.int32], points: Points) -> npt.NDArray[np.intp]:
    """Return the order by series and time; rows of one time by value, status and text, so that it does not depend on the disk."""
    few = codes.astype(np.uint16) if len(codes) and int(codes.max()) < 1 << 16 else codes  # which numpy sorts by radix
    order: npt.NDArray[np.intp] = np.lexsort([points.times, few])
    if _ascends(codes[order], points.times[order]):
        return order
    return np.lexsort([*_text_keys(points.texts), points.statuses, points.values, points.times, few])


def _numpy(column: Any) -> Any:
    """Return a column without nulls as an array that may be written to."""
    chunks = [each.to_numpy(zero_copy_only=False) for each in column.chunks]
    if len(chunks) == 1:
        return chunks[0]
    return np.concatenate(chunks) if chunks else column.combine_chunks().to_numpy(zero_copy_only=False)
