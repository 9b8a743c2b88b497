"""Lines of CSV to points: a block at a time through Arrow, or line by line where Arrow refuses it.

Values are what Python's `float()` makes of the text, bit for bit; a text `nan` or `inf` is a point with that value, unless it
is one of the `missing` texts. Arrow reads most files as a whole. What it refuses goes through `csv_lines.py`, which reads
more (a blank beside a number, a time with another zone than its neighbours) and names what nobody can read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pcsv

from omnia_beam.core.chunk import Points
from omnia_beam.io.csv_header import CsvColumns
from omnia_beam.io.csv_lines import CsvReading, read_lines
from omnia_beam.io.csv_times import parse_times


def read_rows(data: bytes, columns: CsvColumns, reading: CsvReading, first_line: int) -> dict[str, Points]:
    """The points of a block of whole lines, by series, in the order of the lines.

    Args:
        data: whole lines without the header, in the file's encoding.
        columns: from the header.
        reading: how cells are understood, and which series are wanted.
        first_line: the number of the first line in its file, from 1, for messages.

    Raises:
        UsageError: a cell that cannot be read: file, line, column and value.
    """
    if not data.strip():
        return {}
    try:
        text = data if reading.is_utf8 else data.decode(reading.encoding).encode()
        return _wide(text, columns, reading) if columns.layout == "wide" else _long(text, columns, reading)
    except ValueError:  # ArrowInvalid and UnicodeDecodeError are of its kind
        return read_lines(data, columns, reading, first_line)


def split_series(codes: npt.NDArray[np.int32], names: list[str], points: Points) -> dict[str, Points]:
    """Points of many series, in any order, by series; each in the order in which they came.

    Args:
        codes: for each point the index of its name.
        names: each once.
        points: all of them.
    """
    order = np.argsort(codes, kind="stable")
    in_order = bool((codes[1:] >= codes[:-1]).all())
    sorted_codes, sorted_points = (codes, points) if in_order else (codes[order], points.take(order))
    bounds = np.searchsorted(sorted_codes, np.arange(len(names) + 1))
    return {
        name: sorted_points.take(slice(int(bounds[i]), int(bounds[i + 1])))
        for i, name in enumerate(names)
        if bounds[i] < bounds[i + 1]
    }


def _wide(text: bytes, columns: CsvColumns, reading: CsvReading) -> dict[str, Points]:
    wanted = [i for i, name in enumerate(columns.names) if i != columns.time and reading.selects(name)]
    table = _table(text, columns, reading, {columns.time: pa.string()} | dict.fromkeys(wanted, pa.float64()))
    times = parse_times(table[str(columns.time)], reading.times)
    statuses = np.full(len(times), reading.default_status, np.uint32)
    found = {}
    for i in wanted:
        column = table[str(i)]
        if column.null_count == len(column):
            continue
        points = Points(times, column.to_numpy(zero_copy_only=False), statuses)
        found[columns.names[i]] = points.take(_valid(column)) if column.null_count else points
    return found


def _long(text: bytes, columns: CsvColumns, reading: CsvReading) -> dict[str, Points]:
    # The header reader gives long files all of these positions.
    types = {
        columns.time: pa.string(),
        columns.series: pa.dictionary(pa.int32(), pa.string()),
        columns.value: pa.float64(),
    }
    if columns.status is not None:
        types[columns.status] = pa.uint32()
    table = _table(text, columns, reading, types)
    series, value = table[str(columns.series)], table[str(columns.value)]
    names = series.dictionary.to_pylist()
    if series.null_count or "" in names or any(name != name.strip() for name in names):
        raise ValueError("a name is empty or has blanks around it")
    times = parse_times(table[str(columns.time)], reading.times)
    points = Points(times, value.to_numpy(zero_copy_only=False), _statuses(table, columns, reading))
    keep = np.isin(series.indices.to_numpy(), [i for i, name in enumerate(names) if reading.selects(name)])
    if value.null_count:
        keep &= _valid(value)
    return split_series(series.indices.to_numpy()[keep], names, points.take(keep))


def _statuses(table: Any, columns: CsvColumns, reading: CsvReading) -> npt.NDArray[np.uint32]:
    if columns.status is None:
        return np.full(len(table[str(columns.time)]), reading.default_status, np.uint32)
    statuses: npt.NDArray[np.uint32] = table[str(columns.status)].fill_null(reading.default_status).to_numpy()
    return statuses


def _valid(column: Any) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _table(text: bytes, columns: CsvColumns, reading: CsvReading, types: dict[Any, Any]) -> dict[str, Any]:
    """The named columns as one Arrow array each."""
    table = pcsv.read_csv(
        pa.BufferReader(text),
        read_options=pcsv.ReadOptions(
            column_names=[str(i) for i in range(len(columns.names))], block_size=len(text) + 1, use_threads=False
        ),
        parse_options=pcsv.ParseOptions(delimiter=columns.delimiter),
        convert_options=pcsv.ConvertOptions(
            column_types={str(i): kind for i, kind in types.items()},
            include_columns=[str(i) for i in types],
            null_values=["", *reading.missing],
            strings_can_be_null=False,
            decimal_point=reading.decimal,
        ),
    )
    return {name: table[name].combine_chunks() for name in table.column_names}
