"""Row groups of Parquet files to points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.io.csv_rows import split_series
from omnia_beam.io.file_source import FileSource, ParquetForm
from omnia_beam.io.local_time import local_to_utc

BLOCK_ROWS: Final = 1 << 20
"""Rows of one block: a row group that is larger is read in slices."""

_EXACT_INTEGER: Final = 2**53


def open_parquet(file: Any, path: str) -> Any:
    """A pyarrow ParquetFile.

    Raises:
        UsageError: it is none.
    """
    try:
        return pq.ParquetFile(file, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{path}: is not a Parquet file: {error}") from error


def row_slices(parquet: Any) -> Iterator[tuple[int, int, int]]:
    """(row group, first row in it, rows) of each block of a file."""
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        for first in range(0, rows, BLOCK_ROWS):
            yield group, first, min(BLOCK_ROWS, rows - first)


def check_columns(parquet: Any, form: ParquetForm, path: str) -> tuple[str, ...]:
    """The columns to read: series, time, value, and the status where there is one.

    Raises:
        UsageError: one of them is not in the file.
    """
    there = parquet.schema_arrow.names
    wanted = {"series_id": form.series_id, "time": form.time, "value": form.value}
    if form.status is not None and (form.status in there or form.status != "status"):
        wanted["status"] = form.status
    for key, name in wanted.items():
        if name not in there:
            raise UsageError(
                f"{path}: there is no column {name!r}; the columns are {', '.join(there)}: set source.columns.{key}"
            )
    return tuple(wanted.values())


def read_slice(
    parquet: Any, block: tuple[int, int, int], columns: tuple[str, ...], source: FileSource, path: str
) -> dict[str, Points]:
    """The points of one block by series, in the order of the rows. A row without a value is no point.

    Raises:
        UsageError: a column of a kind that cannot be read exactly, or a row without series or time.
    """
    form = source.form
    if not isinstance(form, ParquetForm):
        raise TypeError("Parquet files are read in a Parquet form")
    where = f"{path}: row group {block[0]}"
    try:
        table = _rows(parquet, block, columns)
    except OSError as error:  # a page that does not fit its checksum among others
        raise UsageError(f"{where}: {_damaged(parquet, block[0], columns)} cannot be read: {error}") from error
    series = _series(table, form.series_id, where)
    times = _times(table, form, source.timezone, where)
    value, values = _values(table, form.value, where)
    statuses = _statuses(table, columns[3] if len(columns) > 3 else None, source.default_status, where)
    codes, names = series.indices.to_numpy(), series.dictionary.to_pylist()
    keep = np.isin(codes, [i for i, name in enumerate(names) if source.selects(name)])
    if value.null_count:
        keep &= value.is_valid().to_numpy(zero_copy_only=False)
    return split_series(codes[keep], names, Points(times, values, statuses).take(keep))


def _rows(parquet: Any, block: tuple[int, int, int], columns: tuple[str, ...]) -> Any:
    group, first, rows = block
    whole = parquet.metadata.row_group(group).num_rows == rows
    if whole:
        return parquet.read_row_group(group, columns=list(columns), use_threads=False)
    batches, at = [], 0
    for batch in parquet.iter_batches(1 << 16, row_groups=[group], columns=list(columns), use_threads=False):
        start, end = max(first - at, 0), min(first + rows - at, batch.num_rows)
        if start < end:
            batches.append(batch.slice(start, end - start))
        at += batch.num_rows
        if at >= first + rows:
            break
    return pa.Table.from_batches(batches)


def _damaged(parquet: Any, group: int, columns: tuple[str, ...]) -> str:
    """The first column of a row group that cannot be read by itself."""
    for name in columns:
        try:
            parquet.read_row_group(group, columns=[name], use_threads=False)
        except OSError:
            return f"column {name!r}"
    return "it"


def _column(table: Any, name: str) -> Any:
    return table[name].combine_chunks()


def _series(table: Any, name: str, where: str) -> Any:
    column = _column(table, name)
    if column.null_count:
        raise UsageError(f"{where}: column {name!r}: a row names no series")
    if not pa.types.is_dictionary(column.type):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise UsageError(f"{where}: column {name!r} is {column.type}, not text")
        column = column.dictionary_encode()
    return column.cast(pa.dictionary(pa.int32(), pa.string()))


def _times(table: Any, form: ParquetForm, zone: str, where: str) -> npt.NDArray[np.int64]:
    column = _column(table, form.time)
    if column.null_count:
        raise UsageError(f"{where}: column {form.time!r}: a row has no time")
    kind = column.type
    try:
        if pa.types.is_integer(kind):
            column = column.cast(pa.int64()).cast(pa.timestamp(form.time_unit, "UTC"))
        elif not pa.types.is_timestamp(kind):
            raise UsageError(f"{where}: column {form.time!r} is {kind}, not a timestamp or an integer")
        local = not pa.types.is_integer(kind) and kind.tz is None
        times: npt.NDArray[np.int64] = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_numpy()
        return local_to_utc(times, zone) if local else times
    except ValueError as error:  # ArrowInvalid is of its kind
        raise UsageError(f"{where}: column {form.time!r}: {error}") from error


def _values(table: Any, name: str, where: str) -> tuple[Any, npt.NDArray[np.float64]]:
    """The column, for its nulls, and its numbers."""
    column = _column(table, name)
    kind = column.type
    if pa.types.is_integer(kind):
        extremes = pc.min_max(column).as_py()
        if max(abs(extremes["min"] or 0), abs(extremes["max"] or 0)) > _EXACT_INTEGER:
            raise UsageError(f"{where}: column {name!r}: an integer beyond 2^53 is no exact number in the target")
    elif not pa.types.is_floating(kind) and not pa.types.is_boolean(kind):
        raise UsageError(f"{where}: column {name!r} is {kind}, not a number")
    return column, column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _statuses(table: Any, name: str | None, default: int, where: str) -> npt.NDArray[np.uint32]:
    if name is None:
        return np.full(table.num_rows, default, np.uint32)
    column = _column(table, name)
    if not pa.types.is_integer(column.type):
        raise UsageError(f"{where}: column {name!r} is {column.type}, not a whole number")
    try:
        statuses: npt.NDArray[np.uint32] = column.cast(pa.uint32()).fill_null(default).to_numpy()
    except pa.ArrowInvalid as error:
        raise UsageError(f"{where}: column {name!r}: not a status, a whole number of 32 bits: {error}") from error
    return statuses
