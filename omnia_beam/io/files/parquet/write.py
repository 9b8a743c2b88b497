"""Encode a chunk as Parquet files: Hive-partitioned by month, named by the window alone, sorted by series and time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.core.chunk import CHUNK_SCHEMA, TEXT_SCHEMA, Chunk
from omnia_beam.core.fingerprint import hash_points
from omnia_beam.core.timestamps import NS_PER_SECOND

ROW_GROUP_POINTS: Final = 1 << 18
"""Rows of one row group: about 2 MB, small enough for readers to skip by series and time."""

_BATCH_POINTS: Final = 1 << 14
"""Rows that are encoded at a time. Arrow's default of 1,024 takes a tenth more time."""

_FILE_SCHEMA: Final = pa.schema([column.with_nullable(True) for column in CHUNK_SCHEMA])
_TEXT_SCHEMA: Final = pa.schema([column.with_nullable(True) for column in TEXT_SCHEMA])
"""Schemas of the files, without and with texts. Columns are nullable, though no null is written but for texts, because they then
read back as the usual types."""


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    """How points are written as Parquet.

    Args:
        compression: `zstd`, `snappy`, `gzip`, `lz4` or `none`.
        level: of zstd or gzip. Files of level 1 are hardly larger than of level 3 and cost readers nothing.
        text: whether files have a column of texts, null where a point has none.
    """

    compression: str = "zstd"
    level: int | None = 1
    text: bool = False


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One file of a chunk: its path relative to the sink's, and its content."""

    path: str
    content: Any  # pyarrow.Buffer: bytes without a copy


def chunk_files(chunk: Chunk, prefix: str, options: ParquetOptions = ParquetOptions()) -> Iterator[ParquetFile]:
    """Yield the files that hold a chunk: one for each month in which it has points, none for a chunk without points.

    Names are `year=YYYY/month=MM/<prefix>-<window>.parquet`, a function of the window alone, so that the same window always
    overwrites its own files. Columns: series_id string, time timestamp[ns, UTC], value double, status uint32, and
    with `options.text` text string.

    A chunk whose range is empty (an event message) claims no range, and its names end in 16 hex digits that depend on its
    points, so that the same points always overwrite their own files, and no others.
    """
    own = "" if chunk.key.range else f"-{_digest(chunk)}"
    for month, batch in _by_month(chunk):
        folder = f"year={1970 + month // 12:04d}/month={1 + month % 12:02d}"
        yield ParquetFile(f"{folder}/{prefix}-{chunk.key.name}{own}.parquet", _encode(batch, options))


def _digest(chunk: Chunk) -> str:
    """Return a digest of the series' fingerprints, which depend on every bit of every point."""
    digest = hashlib.blake2b(digest_size=8)
    for series_id, _, points in chunk.by_series():
        digest.update(f"{len(series_id)}:{series_id} {len(points.times)} {hash_points(*points)} ".encode())
    return digest.hexdigest()


def _by_month(chunk: Chunk) -> Iterator[tuple[int, Any]]:
    """Yield the points of each UTC month that has any; months count from January 1970."""
    if not chunk.num_points:
        return
    bounds = np.array([chunk.key.range.start_ns, chunk.key.range.end_ns - 1])
    first, last = _months(bounds)
    if first == last and chunk.key.range:
        yield int(first), chunk.batch
        return
    months = _months(chunk.points.times)
    for month in np.unique(months).tolist():
        yield month, chunk.batch.take(pa.array(np.flatnonzero(months == month)))


def _months(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # By whole days, since numpy takes the least int64 for "not a time" in ns.
    days = times // (86_400 * NS_PER_SECOND)
    return days.view("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _encode(batch: Any, options: ParquetOptions) -> Any:
    out = pa.BufferOutputStream()
    columns, schema = batch.columns[:4], _FILE_SCHEMA
    if options.text:
        texts = batch.columns[4:] or [pa.nulls(batch.num_rows, pa.string())]
        columns, schema = [*columns, *texts], _TEXT_SCHEMA
    pq.write_table(
        pa.Table.from_arrays(columns, schema=schema),
        out,
        row_group_size=ROW_GROUP_POINTS,
        compression=options.compression,
        compression_level=options.level if options.compression in ("zstd", "gzip") else None,
        # Ids and statuses repeat and times are nearly steady. Measured values rarely repeat, so a dictionary would be wasted.
        use_dictionary=["series_id", "status"],
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_batch_size=_BATCH_POINTS,
        # Without Arrow's own schema in the file, series_id reads back as a plain string.
        store_schema=False,
        # A reader that checks them refuses a page with a flipped bit instead of reading another value.
        write_page_checksum=True,
    )
    return out.getvalue()
