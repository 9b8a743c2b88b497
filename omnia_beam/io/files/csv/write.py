"""Encode a chunk as CSV files and name them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.plan.packing import month_starts

CSV_SUFFIXES: Final = {"none": ".csv", "gzip": ".csv.gz", "zstd": ".csv.zst"}
"""File name suffix by compression; readers recognise the compression by the suffix."""

TIME_COLUMN: Final = "time"
TEXT_COLUMN: Final = "text"


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How points are written as CSV.

    Args:
        layout: `long` (one row for each point: series_id, time, value, status) or `wide` (time, then one column for each series;
            no status).
        delimiter: between cells, one character.
        compression: `none`, `gzip` or `zstd`.
        text: whether long files have a column of texts; an empty cell without quotes is no text.
    """

    layout: Literal["long", "wide"] = "long"
    delimiter: str = ","
    compression: Literal["none", "gzip", "zstd"] = "none"
    text: bool = False


@dataclass(frozen=True, slots=True)
class CsvFile:
    """One file of a chunk: its path relative to the sink's, and its content."""

    path: str
    content: Any  # pyarrow.Buffer: bytes without a copy


def check_wide_names(names: Iterable[str]) -> None:
    """Refuse series whose names could not be read back from the header of a wide file.

    Raises:
        UsageError: a series has the name of the time column, or a name that no header can hold.
    """
    for name in names:
        if name == TIME_COLUMN:
            why = "as the time column of a wide file is"
        elif name != name.strip() or not name:
            why = "with blanks around it, or not at all"
        elif any(ord(character) < 32 or ord(character) == 127 for character in name):
            why = "with a control character"
        else:
            continue
        raise UsageError(
            f"sink.layout: wide: a series is called {name!r}, {why}: it could not be found again in the file's header. Give it "
            "another name by a mapping file, leave it out by source.exclude, or set sink.layout: long"
        )


def csv_files(chunk: Chunk, prefix: str, options: CsvOptions = CsvOptions()) -> Iterator[CsvFile]:
    """Yield the files that hold a chunk: one for each month in which it has points, none for a chunk without points.

    Names are `year=YYYY/month=MM/<prefix>-<window>.csv`, a function of the window alone, so that the same window always
    overwrites its own files. Times are RFC 3339 with nine decimals; values are the shortest text that reads back as the same
    float64. A NaN is `nan`, and its payload is lost. In wide files a series has an empty cell where it has no point.
    """
    if options.layout == "wide":
        check_wide_names(chunk.key.series_ids)
    encode = partial(_long, text=options.text) if options.layout == "long" else _wide
    batch = in_stored_order(chunk)
    for start_ns, part in _months(chunk.key.range, batch):
        month = datetime.fromtimestamp(start_ns // NS_PER_SECOND, UTC)
        folder = f"year={month.year:04d}/month={month.month:02d}"
        name = f"{folder}/{prefix}-{chunk.key.name}{CSV_SUFFIXES[options.compression]}"
        yield CsvFile(name, _encoded(encode(part), options))


def with_plain_nans(chunk: Chunk) -> Chunk:
    """Return the chunk as CSV can hold it: neither the sign nor the payload of a NaN is written."""
    points = chunk.points
    plain = plain_nans(points.values)
    if plain is points.values:
        return chunk
    return Chunk.from_columns(chunk.key, chunk.codes, points._replace(values=plain), chunk.series_ids)


def plain_nans(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the values with 0x7ff8000000000000 for every NaN; the same array where there is none."""
    is_nan = np.isnan(values)
    return np.where(is_nan, np.nan, values) if is_nan.any() else values


def _months(time_range: TimeRange, batch: Any) -> Iterator[tuple[int, Any]]:
    """Yield the start (ns) of each month with points, and its points."""
    times = _times(batch)
    for part in time_range.split_at(month_starts(time_range)):
        inside = (times >= part.start_ns) & (times < part.end_ns)
        if inside.any():
            yield part.start_ns, batch.filter(pa.array(inside))


def _times(batch: Any) -> npt.NDArray[np.int64]:
    times: npt.NDArray[np.int64] = batch.column(1).cast(pa.int64()).to_numpy()
    return times


def _long(batch: Any, *, text: bool) -> Any:
    ids, _, values, statuses, *texts = batch.columns
    columns = [ids.dictionary_decode(), time_texts(_times(batch)), value_texts(values), statuses]
    names = ["series_id", TIME_COLUMN, "value", "status"]
    if text:
        columns += texts or [pa.nulls(batch.num_rows, pa.string())]
        names.append(TEXT_COLUMN)
    return pa.Table.from_arrays(columns, names=names)


def _wide(batch: Any) -> Any:
    times, row = np.unique(_times(batch), return_inverse=True)
    ids, texts = batch.column(0), value_texts(batch.column(2))
    codes, names = ids.indices.to_numpy(), np.array(ids.dictionary.to_pylist(), object)
    columns, header = [time_texts(times)], [TIME_COLUMN]
    for name in sorted(set(names.tolist())):  # a name occurs twice where two series have one target
        mine = np.flatnonzero(np.isin(codes, np.flatnonzero(names == name)))
        place = np.full(len(times), -1, np.int64)
        place[row[mine]] = mine
        columns.append(texts.take(pa.array(place, mask=place < 0)))
        header.append(name)
    return pa.Table.from_arrays(columns, names=header)


def time_texts(times: npt.NDArray[np.int64]) -> Any:
    """Return times (ns) as an Arrow array of RFC 3339 texts with nine decimals and `Z`."""
    return pa.array(np.datetime_as_string(times.view("datetime64[ns]"), unit="ns", timezone="UTC"))


def value_texts(values: Any) -> Any:
    """Return an Arrow array of values as texts: the fewest digits that read back as the same number."""
    return pc.cast(values, pa.string())


def _encoded(table: Any, options: CsvOptions) -> Any:
    out = pa.BufferOutputStream()
    form = pcsv.WriteOptions(delimiter=options.delimiter, quoting_style="needed")
    if options.compression == "none":
        pcsv.write_csv(table, out, form)
    else:
        with pa.CompressedOutputStream(out, options.compression) as packed:
            pcsv.write_csv(table, packed, form)
    return out.getvalue()


def in_stored_order(chunk: Chunk) -> Any:
    """Return a chunk's batch sorted by stored id and time.

    A chunk is sorted by the source's ids, which after a mapping may not be the order of the target's ids. Where both orders are
    the same, as without a mapping, it is the batch itself.
    """
    ids = chunk.series_ids
    if all(one < other for one, other in itertools.pairwise(ids)):
        return chunk.batch
    ranks = {series_id: rank for rank, series_id in enumerate(sorted(set(ids)))}
    rank = np.array([ranks[series_id] for series_id in ids], np.int32)[chunk.codes]
    return chunk.batch.take(pa.array(np.lexsort((chunk.points.times, rank))))
