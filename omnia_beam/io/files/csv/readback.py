"""Read back the CSV files that `csv_file.py` writes, and no others: block by block, every cell exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.io.files.csv.write import TEXT_COLUMN, TIME_COLUMN, CsvOptions, plain_nans, with_plain_nans
from omnia_beam.io.files.destination_files import naming_damage, opened_file

SUFFIXES: Final = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2")
"""Suffixes of the files that readers of a directory take for CSV."""

_LONG: Final = ["series_id", TIME_COLUMN, "value", "status"]
_BLOCK_BYTES: Final = 8 << 20
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


def read_csv_points(path: str, options: CsvOptions) -> Iterator[tuple[str, Points]]:
    """Yield the points of one file, in its order, with the memory of one block.

    Args:
        path: on a disk or an object store; its suffix indicates the compression.
        options: the sink's. A wide file holds no statuses: all of its points come with status 0.

    Yields:
        (stored id, points): a series comes once for each block that holds it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not what the CSV sink writes; the message says why.
        DestinationError: it may not be read.
    """
    read = _long if options.layout == "long" else _wide
    with naming_damage():
        with _rows(path, options.delimiter, {}) as reader:
            names = reader.schema.names
        if len(set(names)) < len(names):
            raise ValueError("two of its columns have one name")
        has_texts = options.layout == "long" and TEXT_COLUMN in names
        with _rows(path, options.delimiter, dict.fromkeys(names, pa.string()), has_texts=has_texts) as reader:
            for batch in reader:
                yield from read(batch)


def as_csv_holds(chunk: Chunk, options: CsvOptions) -> Chunk:
    """Return a chunk as CSV holds it: without the payloads of NaN, texts unless `options.text`, and statuses in wide files."""
    chunk = with_plain_nans(chunk if options.text else chunk.without_texts())
    if options.layout == "long":
        return chunk
    plain = chunk.points._replace(statuses=np.zeros_like(chunk.points.statuses), texts=None)
    return Chunk.from_columns(chunk.key, chunk.codes, plain, chunk.series_ids)


@contextmanager
def _rows(path: str, delimiter: str, types: dict[str, Any], *, has_texts: bool = False) -> Iterator[Any]:
    """Open a reader of batches in which all columns have the given types; with `has_texts` an unquoted empty cell is null."""
    suffix = next((each for each in _COMPRESSIONS if path.lower().endswith(each)), None)
    with opened_file(path) as source:
        stream = source if suffix is None else pa.CompressedInputStream(source, _COMPRESSIONS[suffix])
        with closing(_opened(stream, delimiter, types, has_texts)) as reader:
            yield reader


def _opened(stream: Any, delimiter: str, types: dict[str, Any], has_texts: bool) -> Any:
    return pcsv.open_csv(
        stream,
        pcsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        pcsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pcsv.ConvertOptions(
            column_types=types,
            strings_can_be_null=has_texts,
            quoted_strings_can_be_null=False,
            **({"null_values": [""]} if has_texts else {}),
        ),
    )


def _long(batch: Any) -> Iterator[tuple[str, Points]]:
    names = batch.schema.names
    if names not in (_LONG, [*_LONG, TEXT_COLUMN]):
        raise ValueError(f"its columns are {', '.join(batch.schema.names)}, not {', '.join(_LONG)}")
    ids = batch.column(0).dictionary_encode()
    texts = None
    if len(names) > len(_LONG) and batch.column(4).null_count < batch.num_rows:
        texts = batch.column(4).to_numpy(zero_copy_only=False)
    statuses = batch.column(3).cast(pa.uint32()).to_numpy()
    points = Points(_times(batch.column(1)), _values(batch.column(2)), statuses, texts)
    codes = ids.indices.to_numpy()
    for code, name in enumerate(ids.dictionary.to_pylist()):
        yield name, points.take(codes == code)


def _wide(batch: Any) -> Iterator[tuple[str, Points]]:
    if batch.schema.names[0] != TIME_COLUMN:
        raise ValueError(f"its first column is {batch.schema.names[0]!r}, not {TIME_COLUMN!r}")
    times = _times(batch.column(0))
    for name, cells in zip(batch.schema.names[1:], batch.columns[1:], strict=True):
        there = pc.not_equal(cells, "")
        values = _values(cells.filter(there))
        if len(values):
            yield name, Points(times[there.to_numpy(zero_copy_only=False)], values, np.zeros(len(values), np.uint32))


def _times(texts: Any) -> Any:
    return texts.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()


def _values(texts: Any) -> Any:
    return plain_nans(texts.cast(pa.float64()).to_numpy())
