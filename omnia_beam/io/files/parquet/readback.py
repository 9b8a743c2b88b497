"""Read Parquet points back, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.core.chunk import Points
from omnia_beam.io.files.destination_files import naming_damage, opened_file
from omnia_beam.io.files.parquet.checksums import has_checksums
from omnia_beam.io.point_block import PointBlock

COLUMNS: Final = ("series_id", "time", "value", "status")
TEXT: Final = "text"
_NS_PER_UNIT: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
SUFFIXES: Final = (".parquet", ".parq", ".pq")
"""Suffixes of the files that readers of a directory take for Parquet."""


def read_points(path: str) -> Iterator[tuple[str, Points]]:
    """Yield the points of one file, in its order, with the memory of one row group.

    Args:
        path: on a disk or an object store; columns as the Parquet sink writes them.

    Yields:
        (stored id, points): runs of one series. A file that is not sorted by series gives one run for each series and row
        group, in the order of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is no Parquet file, is damaged, or has other columns or types than the sink writes; the message says which.
        DestinationError: the file may not be read.
    """
    for block in read_blocks(path):
        yield from block.by_series().runs()


def read_blocks(path: str) -> Iterator[PointBlock]:
    """Yield the points of one file as columns, a block for each row group that has any; the rest is as for `read_points`."""
    with opened_file(path) as source, naming_damage():
        file = _file(source)
        _check_columns(file.schema_arrow)
        has_texts = _has_texts(file.schema_arrow)
        wanted = [*COLUMNS, TEXT] if has_texts else list(COLUMNS)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=wanted)
            if table.num_rows:
                yield _block(table)


def first_time(path: str) -> int | None:
    """Return the earliest time of a file as its footer knows it, ns; None where the footer does not.

    Raises:
        FileNotFoundError, ValueError, DestinationError: as `read_points`.
    """
    with opened_file(path) as source, naming_damage():
        metadata = pq.read_metadata(source)
        schema = metadata.schema.to_arrow_schema()
        at = schema.get_field_index("time")
        if at < 0 or not pa.types.is_timestamp(schema.field(at).type):
            return None
        groups = (metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups))
        found = [int(each.min_raw) for each in groups if each is not None and each.has_min_max]
        return min(found) * _NS_PER_UNIT[schema.field(at).type.unit] if found else None


def file_has_checksums(path: str) -> bool:
    """Return whether the pages of a file have checksums.

    Raises:
        FileNotFoundError, ValueError, DestinationError: as `read_points`.
    """
    with opened_file(path) as source, naming_damage():

        def read_at(offset: int, count: int) -> bytes:
            source.seek(offset)
            return bytes(source.read(count))

        return has_checksums(pq.read_metadata(source), read_at)


def _file(source: Any) -> Any:
    try:
        return pq.ParquetFile(source, read_dictionary=["series_id"], page_checksum_verification=True)
    except KeyError as error:  # Arrow raises this where the column is missing
        raise ValueError("it has no column 'series_id'") from error


def _check_columns(schema: Any) -> None:
    for name in COLUMNS:
        at = schema.get_field_index(name)
        if at < 0:
            raise ValueError(f"it has no column {name!r}, or two of them: its columns are {', '.join(schema.names)}")
        if not _fits(name, schema.field(at).type):
            raise ValueError(f"its column {name!r} is {schema.field(at).type}")


def _has_texts(schema: Any) -> bool:
    at = schema.get_field_index(TEXT)
    return at >= 0 and bool(pa.types.is_string(schema.field(at).type))


def _fits(name: str, kind: Any) -> bool:
    if name == "series_id":
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        return bool(pa.types.is_string(value) or pa.types.is_large_string(value))
    if name == "time":
        return bool(pa.types.is_timestamp(kind))
    if name == "value":
        return bool(pa.types.is_float64(kind))
    return bool(pa.types.is_integer(kind))


def _block(table: Any) -> PointBlock:
    for name in COLUMNS:
        if table.column(name).null_count:
            raise ValueError(f"its column {name!r} has {table.column(name).null_count} nulls")
    ids = table.column("series_id").combine_chunks()
    points = Points(
        _numpy(table.column("time").cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())),
        _numpy(table.column("value")),
        _numpy(table.column("status").cast(pa.uint32())),
        _texts(table),
    )
    return PointBlock(tuple(ids.dictionary.to_pylist()), ids.indices.to_numpy(), points)


def _texts(table: Any) -> npt.NDArray[np.object_] | None:
    if TEXT not in table.column_names or table.column(TEXT).null_count == table.num_rows:
        return None
    found: npt.NDArray[np.object_] = table.column(TEXT).combine_chunks().to_numpy(zero_copy_only=False)
    return found


def _numpy(column: Any) -> npt.NDArray[Any]:
    joined: npt.NDArray[Any] = column.combine_chunks().to_numpy()
    return joined
