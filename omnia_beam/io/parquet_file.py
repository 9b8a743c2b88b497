"""A chunk as Parquet files: Hive-partitioned by month, named by the window alone, sorted by series and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.core.chunk import CHUNK_SCHEMA, Chunk
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.packing import month_starts

ROW_GROUP_POINTS: Final = 1 << 18
"""Rows of a row group: about 2 MB, small enough for readers to skip by series and time."""

_FILE_SCHEMA: Final = pa.schema([column.with_nullable(True) for column in CHUNK_SCHEMA])
"""Nullable, though no null is ever written: columns then read back as the plain types that everybody else declares."""


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    """How points are put into Parquet.

    Args:
        compression: `zstd`, `snappy`, `gzip`, `lz4` or `none`.
        level: of zstd or gzip. Level 1 costs readers nothing and is hardly larger than 3.
    """

    compression: str = "zstd"
    level: int | None = 1


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One file of a chunk: its path relative to the sink's, and its content."""

    path: str
    content: Any  # pyarrow.Buffer: bytes without a copy


def chunk_files(chunk: Chunk, prefix: str, options: ParquetOptions = ParquetOptions()) -> Iterator[ParquetFile]:
    """The files that hold a chunk: one for each month in which it has points, none for a chunk without points.

    Names are `year=YYYY/month=MM/<prefix>-<window>.parquet`, a function of the window alone: the same window always
    writes over its own files. Columns: series_id string, time timestamp[ns, UTC], value double, status uint32.
    """
    for start_ns, batch in _by_month(chunk):
        month = datetime.fromtimestamp(start_ns // NS_PER_SECOND, UTC)
        folder = f"year={month.year:04d}/month={month.month:02d}"
        yield ParquetFile(f"{folder}/{prefix}-{chunk.key.name}.parquet", _encode(batch, options))


def _by_month(chunk: Chunk) -> Iterator[tuple[int, Any]]:
    if not chunk.num_points:
        return
    parts = chunk.key.range.split_at(month_starts(chunk.key.range))
    if len(parts) == 1:
        yield parts[0].start_ns, chunk.batch
        return
    times = chunk.points.times
    for part in parts:
        inside = _inside(times, part)
        if inside.any():
            yield part.start_ns, chunk.batch.filter(pa.array(inside))


def _inside(times: Any, part: TimeRange) -> Any:
    return np.logical_and(times >= part.start_ns, times < part.end_ns)


def _encode(batch: Any, options: ParquetOptions) -> Any:
    out = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(batch.columns, schema=_FILE_SCHEMA),
        out,
        row_group_size=ROW_GROUP_POINTS,
        compression=options.compression,
        compression_level=options.level if options.compression in ("zstd", "gzip") else None,
        # Ids and statuses repeat; times are nearly steady; measured values rarely repeat, a dictionary is lost work.
        use_dictionary=["series_id", "status"],
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        # Without Arrow's own schema in the file, series_id reads back as the plain string that it is to everybody else.
        store_schema=False,
    )
    return out.getvalue()
