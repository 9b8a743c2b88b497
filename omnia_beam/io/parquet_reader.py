"""Reading Parquet points back, row group by row group, and listing what a reader of a directory would take in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import DestinationError
from omnia_beam.io.durable_file import is_local, reason

COLUMNS: Final = ("series_id", "time", "value", "status")
_SUFFIXES: Final = (".parquet", ".parq", ".pq")
_HIDDEN: Final = (".", "_")
"""Names that begin so are no part of a dataset: the rule of Arrow, Spark and Hive."""


def read_points(path: str) -> Iterator[tuple[str, Points]]:
    """The points of one file, in its order; memory is that of one row group.

    Args:
        path: local, or of any Beam filesystem; columns as the Parquet sink writes them.

    Yields:
        (stored id, points): runs of one series. A file that is not sorted by series gives one run a series and row group,
        each in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no Parquet file, damaged, or of other columns or types than the sink writes; says which.
        DestinationError: it may not be read.
    """
    with _opened(path) as source, _naming_damage():
        file = _file(source)
        _check_columns(file.schema_arrow)
        for group in range(file.num_row_groups):
            yield from _runs(file.read_row_group(group, columns=list(COLUMNS)))


def list_parquet(path: str) -> list[str]:
    """The Parquet files under a directory that a reader of it as one dataset would take in.

    Args:
        path: local, or of any Beam filesystem.

    Returns:
        Names relative to it, ascending; nothing where there is no such directory.

    Raises:
        DestinationError: it cannot be listed.
    """
    root = path.rstrip("/")
    try:
        names = _local_names(root) if is_local(path) else _remote_names(root)
        return sorted(name for name in names if _is_read(name))
    except (OSError, BeamIOError) as error:
        raise DestinationError(f"{path}: cannot be listed: {reason(error)}") from error


def _is_read(name: str) -> bool:
    parts = name.split("/")
    return name.lower().endswith(_SUFFIXES) and not any(part.startswith(_HIDDEN) for part in parts)


def _local_names(root: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        if not (isinstance(error, FileNotFoundError) and error.filename == root):
            raise error

    for folder, _, names in os.walk(root, onerror=refuse, followlinks=True):
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        yield from (name if inside == "." else f"{inside}/{name}" for name in names)


def _remote_names(root: str) -> Iterator[str]:
    for found in FileSystems.match([f"{root}/**"])[0].metadata_list:
        yield found.path[len(root) + 1 :]


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """What pyarrow reads from."""
    try:
        source = pa.OSFile(path) if is_local(path) else _open_remote(path)
    except FileNotFoundError:
        raise
    except (OSError, BeamIOError) as error:
        raise DestinationError(f"{path}: cannot be opened: {reason(error)}") from error
    try:
        yield source
    finally:
        source.close()


def _open_remote(path: str) -> Any:
    if not FileSystems.exists(path):
        raise FileNotFoundError(path)
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextmanager
def _naming_damage() -> Iterator[None]:
    """Arrow's errors on damaged bytes are OSError or ArrowException, by what it was doing: all are one thing here."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise ValueError(" ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__) from error


def _file(source: Any) -> Any:
    try:
        return pq.ParquetFile(source, read_dictionary=["series_id"], page_checksum_verification=True)
    except KeyError as error:  # what Arrow raises where the column is not there
        raise ValueError("it has no column 'series_id'") from error


def _check_columns(schema: Any) -> None:
    for name in COLUMNS:
        at = schema.get_field_index(name)
        if at < 0:
            raise ValueError(f"it has no column {name!r}, or two of them: its columns are {', '.join(schema.names)}")
        if not _fits(name, schema.field(at).type):
            raise ValueError(f"its column {name!r} is {schema.field(at).type}")


def _fits(name: str, kind: Any) -> bool:
    if name == "series_id":
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        return bool(pa.types.is_string(value) or pa.types.is_large_string(value))
    if name == "time":
        return bool(pa.types.is_timestamp(kind))
    if name == "value":
        return bool(pa.types.is_float64(kind))
    return bool(pa.types.is_integer(kind))


def _runs(table: Any) -> Iterator[tuple[str, Points]]:
    for name in COLUMNS:
        if table.column(name).null_count:
            raise ValueError(f"its column {name!r} has {table.column(name).null_count} nulls")
    if not table.num_rows:
        return
    ids = table.column("series_id").combine_chunks()
    codes = ids.indices.to_numpy()
    names = ids.dictionary.to_pylist()
    points = Points(
        _numpy(table.column("time").cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())),
        _numpy(table.column("value")),
        _numpy(table.column("status").cast(pa.uint32())),
    )
    starts = _starts(codes)
    if len(starts) > len(names):
        order = np.argsort(codes, kind="stable")
        codes, points = codes[order], points.take(order)
        starts = _starts(codes)
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        yield names[codes[start]], points.take(slice(start, end))


def _starts(codes: npt.NDArray[Any]) -> list[int]:
    return [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist()]


def _numpy(column: Any) -> npt.NDArray[Any]:
    joined: npt.NDArray[Any] = column.combine_chunks().to_numpy()
    return joined
