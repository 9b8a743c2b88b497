"""A chunk as CSV files: what they hold, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.packing import month_starts

CSV_SUFFIXES: Final = {"none": ".csv", "gzip": ".csv.gz", "zstd": ".csv.zst"}
"""By compression; readers tell the compression by the suffix."""

TIME_COLUMN: Final = "time"


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How points are put into CSV.

    Args:
        layout: `long` (a row a point: series_id, time, value, status) or `wide` (time, then a column a series; no status).
        delimiter: between cells, one character.
        compression: `none`, `gzip` or `zstd`.
    """

    layout: Literal["long", "wide"] = "long"
    delimiter: str = ","
    compression: Literal["none", "gzip", "zstd"] = "none"


@dataclass(frozen=True, slots=True)
class CsvFile:
    """One file of a chunk: its path relative to the sink's, and its content."""

    path: str
    content: Any  # pyarrow.Buffer: bytes without a copy


def csv_files(chunk: Chunk, prefix: str, options: CsvOptions = CsvOptions()) -> Iterator[CsvFile]:
    """The files that hold a chunk: one for each month in which it has points, none for a chunk without points.

    Names are `year=YYYY/month=MM/<prefix>-<window>.csv`, a function of the window alone: the same window always writes
    over its own files. Times are RFC 3339 with nine decimals, values the shortest text that reads back as the same
    float64 (of a NaN, its payload is lost). A NaN is `nan`; in wide files a series has an empty cell where it has no point.
    """
    encode = _long if options.layout == "long" else _wide
    for start_ns, inside in _months(chunk):
        month = datetime.fromtimestamp(start_ns // NS_PER_SECOND, UTC)
        folder = f"year={month.year:04d}/month={month.month:02d}"
        table = encode(chunk, inside)
        name = f"{folder}/{prefix}-{chunk.key.name}{CSV_SUFFIXES[options.compression]}"
        yield CsvFile(name, _encoded(table, options))


def _months(chunk: Chunk) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Start of each month with points, and which points are in it."""
    times = chunk.points.times
    for part in chunk.key.range.split_at(month_starts(chunk.key.range)):
        inside = (times >= part.start_ns) & (times < part.end_ns)
        if inside.any():
            yield part.start_ns, inside


def _long(chunk: Chunk, inside: npt.NDArray[np.bool_]) -> Any:
    codes, points = chunk.codes[inside], chunk.points.take(inside)
    return pa.table(
        {
            "series_id": pa.DictionaryArray.from_arrays(
                pa.array(codes), pa.array(chunk.series_ids)
            ).dictionary_decode(),
            TIME_COLUMN: time_texts(points.times),
            "value": value_texts(points.values),
            "status": pa.array(points.statuses),
        }
    )


def _wide(chunk: Chunk, inside: npt.NDArray[np.bool_]) -> Any:
    codes, points = chunk.codes[inside], chunk.points.take(inside)
    times, row = np.unique(points.times, return_inverse=True)
    texts = value_texts(points.values)
    columns = [time_texts(times)]
    for code in range(len(chunk.series_ids)):
        mine = np.flatnonzero(codes == code)
        place = np.full(len(times), -1, np.int64)
        place[row[mine]] = mine
        columns.append(texts.take(pa.array(place, mask=place < 0)))
    return pa.Table.from_arrays(columns, names=[TIME_COLUMN, *chunk.series_ids])


def time_texts(times: npt.NDArray[np.int64]) -> Any:
    """Times (ns) as RFC 3339 with nine decimals and `Z`; Arrow strings."""
    return pa.array(np.datetime_as_string(times.view("datetime64[ns]"), unit="ns", timezone="UTC"))


def value_texts(values: npt.NDArray[np.float64]) -> Any:
    """Values in the shortest form that reads back as the same number; Arrow strings."""
    return pc.cast(pa.array(values), pa.string())


def _encoded(table: Any, options: CsvOptions) -> Any:
    out = pa.BufferOutputStream()
    form = pcsv.WriteOptions(delimiter=options.delimiter, quoting_style="needed")
    if options.compression == "none":
        pcsv.write_csv(table, out, form)
    else:
        with pa.CompressedOutputStream(out, options.compression) as packed:
            pcsv.write_csv(table, packed, form)
    return out.getvalue()
