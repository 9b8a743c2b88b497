"""Read row groups of Parquet files as points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.io.facts import ReadingNotes, names_quality
from omnia_beam.io.files.csv.rows import split_series
from omnia_beam.io.files.csv.times import TimeForm
from omnia_beam.io.files.forms import FileSource, ParquetForm
from omnia_beam.io.files.found import reading_error
from omnia_beam.io.files.parquet.columns import (
    Rows,
    check_int96,
    has_value,
    names_of,
    plain,
    statuses_of,
    times_of,
    values_of,
)
from omnia_beam.store import reason
from omnia_beam.store.errors import StoreError

BLOCK_ROWS: Final = 1 << 20
"""Number of rows of one block; a row group that is larger is read in slices."""

_TEXT: Final = "text"
_READ_ERRORS: Final = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError)
"""Errors that Arrow raises for damaged bytes."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one row group.

    Args:
        group: the row group.
        first: number of the first of its rows, from 0.
        rows: number of rows.
    """

    group: int
    first: int
    rows: int


class ParquetPoints:
    """An open Parquet file, read as blocks of points. Not for several threads.

    Args:
        file: binary and seekable.
        source: how it is read.
        path: for messages.
        notes: receives what is found beside points.

    Raises:
        UsageError: it is no Parquet file, is damaged or encrypted, or lacks required columns.
    """

    def __init__(self, file: Any, source: FileSource, path: str, notes: ReadingNotes) -> None:
        form = source.form
        if not isinstance(form, ParquetForm):
            raise TypeError("Parquet files are read in a Parquet form")
        self._form = form
        self._source = source
        self._path = path
        self._notes = notes
        self._named = source.series_of(path)
        self._parquet = self._opened(file)
        self._names = self._check_columns()
        self._int96 = self._opened(file, coerce_int96_timestamp_unit="s") if self._has_int96() else None
        self._starts = self._group_starts()
        self._text = form.text or _TEXT
        self._has_texts = self._is_text_column()
        self._note_columns()

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in order."""
        for group in range(self._parquet.metadata.num_row_groups):
            rows = self._parquet.metadata.row_group(group).num_rows
            for first in range(0, rows, BLOCK_ROWS):
                yield Block(group, first, min(BLOCK_ROWS, rows - first))

    def read(self, block: Block) -> dict[str, Points]:
        """Return the points of one block by series, in the order of the rows; a row without a value is no point.

        Raises:
            UsageError: data is damaged, a column is of a type that cannot be read exactly, or a row has no series or no time.
        """
        names = (*self._names, self._text) if self._has_texts else self._names
        table = self._table(self._parquet, block, names)
        rows = Rows(self._path, self._starts[block.group] + block.first + 1)
        whole = {name: plain(table[name]) for name in dict.fromkeys(names)}
        if self._has_texts:
            self._note_texts(whole, rows)
        is_point = has_value(whole[self._form.value])
        if self._form.text is not None:
            is_point |= has_value(whole[self._text])
        columns, rows = _chosen(whole, rows, is_point)
        value = columns[self._form.value]
        codes, series = self._series(columns, len(value), rows)
        times = self._times(columns, block, rows)
        values, beyond = values_of(value, self._form.value, rows)
        texts = self._texts(columns, values)
        if texts is not None:
            values = np.where([each is not None for each in texts], np.nan, values)
        points = Points(times, values, self._statuses(columns, len(value), rows), texts)
        if beyond is not None:
            self._note("integer_precision", codes, series, beyond, lambda at: f"{rows.place(at)}: {value[at].as_py()}")
        wanted = np.isin(codes, [index for index, name in enumerate(series) if self._source.selects(name)])
        return split_series(codes[wanted], series, points.take(wanted))

    def _texts(self, columns: dict[str, Any], values: npt.NDArray[np.float64]) -> npt.NDArray[np.object_] | None:
        """Return the texts of points without a number; None where there are none."""
        if not self._has_texts or columns[self._text].null_count == len(values):
            return None
        texts: npt.NDArray[np.object_] = columns[self._text].to_numpy(zero_copy_only=False).copy()
        texts[~np.isnan(values)] = None
        return texts

    def _opened(self, file: Any, **options: Any) -> Any:
        try:
            return pq.ParquetFile(file, page_checksum_verification=True, **options)
        except StoreError as error:
            raise reading_error(self._path, error) from error
        except _READ_ERRORS as error:
            raise UsageError(
                f"{self._path}: is not a whole Parquet file: {_words(error)}: write or fetch it again"
            ) from error

    def _check_columns(self) -> tuple[str, ...]:
        """Return the columns to read: series (unless the path names it), time, value, and the status where there is one."""
        form, there = self._form, self._parquet.schema_arrow.names
        wanted = {"series_id": form.series_id, "time": form.time, "value": form.value}
        if self._named is not None:
            del wanted["series_id"]
        if form.status is not None and (form.status in there or form.status != "status"):
            wanted["status"] = form.status
        for key, name in wanted.items():
            if name not in there:
                hint = f"set source.columns.{key}"
                if key == "series_id":
                    hint += ", or source.series_from where the path names the series"
                raise UsageError(
                    f"{self._path}: there is no column {name!r}; the columns are {', '.join(there)}: {hint}"
                )
            if there.count(name) > 1:
                raise UsageError(
                    f"{self._path}: there are {there.count(name)} columns called {name!r}, and which one is meant is unknown: "
                    f"rename one, or name another in source.columns.{key}"
                )
        return tuple(wanted.values())

    def _has_int96(self) -> bool:
        schema = self._parquet.schema
        kinds = {schema.column(i).path: schema.column(i).physical_type for i in range(len(schema))}
        return kinds.get(self._form.time) == "INT96"

    def _is_text_column(self) -> bool:
        """Return whether there is a column of texts as our sinks write it, for points that are no numbers."""
        schema = self._parquet.schema_arrow
        found = [each.type for each in schema if each.name == self._text]
        is_there = self._text not in self._names and len(found) == 1 and pa.types.is_string(found[0])
        if self._form.text is not None and not is_there:
            raise UsageError(
                f"{self._path}: there is no column {self._form.text!r} of texts; the columns are {', '.join(schema.names)}: "
                "set source.columns.text"
            )
        return is_there

    def _group_starts(self) -> list[int]:
        metadata = self._parquet.metadata
        starts = [0]
        for group in range(metadata.num_row_groups):
            starts.append(starts[-1] + metadata.row_group(group).num_rows)
        return starts

    def _table(self, parquet: Any, block: Block, names: tuple[str, ...]) -> Any:
        try:
            table = _rows(parquet, block, names)
        except StoreError as error:
            raise reading_error(self._path, error) from error
        except _READ_ERRORS as error:
            column = self._damaged_column(parquet, block, names)
            raise UsageError(
                f"{self._path}: row group {block.group}: {column} is damaged: {_words(error)}: write or fetch the file again"
            ) from error
        if table.num_rows != block.rows:
            raise UsageError(
                f"{self._path}: row group {block.group}: is damaged: it has {table.num_rows} rows where its end names "
                f"{block.rows}: write or fetch the file again"
            )
        return table

    def _damaged_column(self, parquet: Any, block: Block, names: tuple[str, ...]) -> str:
        """Return the first column that cannot be read by itself, in words."""
        for name in names:
            try:
                _rows(parquet, block, (name,))
            except _READ_ERRORS:
                return f"column {name!r}"
        return "it"

    def _series(self, columns: dict[str, Any], count: int, rows: Rows) -> tuple[npt.NDArray[np.int32], list[str]]:
        if self._named is not None:
            return np.zeros(count, np.int32), [self._named]
        return names_of(columns[self._form.series_id], self._form.series_id, rows)

    def _times(self, columns: dict[str, Any], block: Block, rows: Rows) -> npt.NDArray[np.int64]:
        column = columns[self._form.time]
        if self._int96 is not None:
            seconds = plain(self._table(self._int96, block, (self._form.time,))[self._form.time])
            if rows.kept is not None:
                seconds = seconds.take(pa.array(rows.kept))
            ns, s = (each.cast(pa.int64()).fill_null(0).to_numpy() for each in (column, seconds))
            check_int96(ns, s, self._form.time, rows)
        form = TimeForm(self._form.time_format, self._source.timezone)
        return times_of(column, self._form.time, rows, self._form.time_unit, form)

    def _statuses(self, columns: dict[str, Any], count: int, rows: Rows) -> npt.NDArray[np.uint32]:
        default = self._source.default_status
        if self._form.status is None or self._form.status not in columns:
            return np.full(count, default, np.uint32)
        return statuses_of(columns[self._form.status], self._form.status, rows, default)

    def _note_texts(self, columns: dict[str, Any], rows: Rows) -> None:
        """Note rows of our own files that hold a text in place of a number."""
        value = columns[self._form.value]
        number = (
            pc.and_(pc.is_valid(value), pc.invert(pc.is_nan(value)))
            if pa.types.is_floating(value.type)
            else pc.is_valid(value)
        )
        texts, rows = _chosen(
            columns, rows, has_value(columns[self._text]) & ~number.fill_null(False).to_numpy(zero_copy_only=False)
        )
        count = len(texts[self._text])
        if count:
            codes, series = self._series(texts, count, rows)
            self._note(
                "text_values",
                codes,
                series,
                np.full(count, True),
                lambda at: f"{rows.place(at)}: {texts[self._text][at].as_py()!r:.60}",
            )

    def _note(
        self,
        note: str,
        codes: npt.NDArray[np.int32],
        series: list[str],
        mask: npt.NDArray[np.bool_],
        example: Callable[[int], str],
    ) -> None:
        """Note rows of a mask by series, with one example for each."""
        for code in np.unique(codes[mask]).tolist():
            if self._source.selects(series[code]):
                mine = np.flatnonzero(mask & (codes == code))
                self._notes.about_points(note, series[code], len(mine), example(int(mine[0])))

    def _note_columns(self) -> None:
        meanings = {self._form.time: "time", self._form.value: "value"}
        if self._named is None:
            meanings[self._form.series_id] = "series"
        if self._form.status is not None:
            meanings[self._form.status] = "status"
        if self._has_texts:
            meanings[self._text] = "text"
        schema = self._parquet.schema_arrow
        self._notes.about_columns((each.name, meanings.get(each.name, "not read")) for each in schema)
        for name in schema.names:
            if name not in meanings and names_quality(name):
                self._notes.unread_column(name)
        kind = schema.field(schema.get_field_index(self._form.time)).type
        self._notes.about_form(layout="long", times=_time_words(kind, self._form, self._source.timezone))


def _chosen(columns: dict[str, Any], rows: Rows, mask: npt.NDArray[np.bool_]) -> tuple[dict[str, Any], Rows]:
    """Return the rows of a mask."""
    if mask.all():
        return columns, rows
    kept = np.flatnonzero(mask)
    return {name: column.take(pa.array(kept)) for name, column in columns.items()}, Rows(rows.path, rows.first, kept)


def _rows(parquet: Any, block: Block, names: tuple[str, ...]) -> Any:
    if parquet.metadata.row_group(block.group).num_rows == block.rows:
        return parquet.read_row_group(block.group, columns=list(names), use_threads=False)
    batches, at = [], 0
    for batch in parquet.iter_batches(1 << 16, row_groups=[block.group], columns=list(names), use_threads=False):
        start, end = max(block.first - at, 0), min(block.first + block.rows - at, batch.num_rows)
        if start < end:
            batches.append(batch.slice(start, end - start))
        at += batch.num_rows
        if at >= block.first + block.rows:
            break
    return pa.Table.from_batches(batches)


def _time_words(kind: Any, form: ParquetForm, zone: str) -> str:
    if pa.types.is_timestamp(kind):
        return f"{kind}" if kind.tz is not None else f"{kind} in {zone}"
    if pa.types.is_integer(kind):
        return f"{kind}, {form.time_unit} since 1970"
    if pa.types.is_date(kind):
        return f"{kind} at midnight in {zone}"
    return f"{kind}, {form.time_format or 'RFC 3339'}"


def _words(error: BaseException) -> str:
    """Return the first line of Arrow's message, without a full stop."""
    return reason(error).strip().split("\n")[0].rstrip(".")
