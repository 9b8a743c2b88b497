"""Series read from files: wide and long CSV, Parquet.

A table is long where it has `time`, `value` and `series_id` or `name` (and optionally `status`). Otherwise it is wide:
the first column is the time, and every other column is a series of that name. An empty wide cell is not a point.
Values are what Python's `float` makes of the text. Where rows name the same series and time, the later row wins,
within files and across them in the order given. Status is 192 where the data has none; a time without zone is UTC.
"""

from __future__ import annotations

import glob
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from omnia_beam.emulator.common.metadata import SeriesMetadata, series_id
from omnia_beam.emulator.common.points import Points, Times, Values, as_points
from omnia_beam.emulator.common.source import stored
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.common.timetext import parse_times

_TIME_NAMES: Final = ("time", "timestamp", "datetime")
_TIME_UNITS_NS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


@dataclass(slots=True, eq=False)
class Gathered:
    """The batches of each series in the order of the rows, and the name that the rows give it."""

    batches: dict[str, list[Points]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, identity: str, name: str, points: Points) -> None:
        self.names.setdefault(identity, name)
        self.batches.setdefault(identity, []).append(points)


def load_files(store: Store, patterns: list[str], *, facility: str) -> None:
    """Add the series of all files that match the names and globs.

    Raises OSError or ValueError, which names file and place.
    """
    gathered = gathered_files(patterns, facility=facility)
    for identity, batches in gathered.batches.items():
        name = gathered.names[identity]
        metadata = SeriesMetadata(
            identity, name, facility, description=name, externalId=f"{facility}:{name}", source="IMS"
        )
        if identity in store.series:
            store.series[identity].write(stored(batches).read(0, 2**62))
        else:
            store.add(metadata, stored(batches))


def gathered_files(patterns: list[str], *, facility: str) -> Gathered:
    """Return the points of all files that match the names and globs, series by series, in the order of the rows.

    Raises OSError or ValueError, which names file and place.
    """
    gathered = Gathered()
    for path in _expanded(patterns):
        try:
            table = _read_table(path)
            _gather(gathered, table, facility)
        except (ValueError, pa.ArrowException) as error:
            raise ValueError(f"--data {path}: {error}") from None
    return gathered


def _expanded(patterns: list[str]) -> list[Path]:
    """Return the files of names, globs and directories in the order given; those of one glob in order of name."""
    paths: list[Path] = []
    for pattern in patterns:
        names = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        if not names:
            raise FileNotFoundError(f"--data {pattern}: no such file, and no file matches it as a pattern")
        for path in map(Path, names):
            paths.extend(sorted(path.rglob("*.parquet")) if path.is_dir() else [path])
    return paths


def _read_table(path: Path) -> pa.Table:
    if path.suffix.lower() in (".parquet", ".pq"):
        return pq.read_table(path, partitioning=None)
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig").strip()
    if not header:
        raise ValueError("the file has no header line")
    delimiter = ";" if header.count(";") >= header.count(",") and ";" in header else ","
    # All columns are read as text, because float() decides below what a number is, not the rules of the CSV reader.
    names = _header_names(path, delimiter)
    return pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=16 << 20),
        parse_options=pacsv.ParseOptions(delimiter=delimiter),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
        ),
    )


def _header_names(path: Path, delimiter: str) -> list[str]:
    with pacsv.open_csv(path, parse_options=pacsv.ParseOptions(delimiter=delimiter)) as reader:
        names = list(reader.schema.names)
    if len(set(names)) != len(names):
        raise ValueError("two columns have the same name")
    return names


def _gather(gathered: Gathered, table: pa.Table, facility: str) -> None:
    by_name = {name.strip().lower(): name for name in table.column_names}
    time_name = next((by_name[name] for name in _TIME_NAMES if name in by_name), None)
    if time_name and "value" in by_name and ("series_id" in by_name or "name" in by_name):
        _gather_long(gathered, table, by_name, time_name, facility)
    else:
        _gather_wide(gathered, table, facility)


def _gather_wide(gathered: Gathered, table: pa.Table, facility: str) -> None:
    time_name, *names = table.column_names
    if not names:
        raise ValueError("there is no column beside the time")
    times = _times(table.column(time_name), time_name)
    for name in names:
        column = table.column(name)
        if pa.types.is_string(column.type):
            filled = np.asarray(pc.not_equal(column, "").to_numpy(zero_copy_only=False), dtype=bool)
        else:
            filled = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
        values = _values(column.filter(pa.array(filled)), name)
        gathered.add(series_id(facility, name), name, as_points(times[filled], values))


def _gather_long(gathered: Gathered, table: pa.Table, by_name: dict[str, str], time_name: str, facility: str) -> None:
    key_name = by_name.get("series_id") or by_name["name"]
    times = _times(table.column(time_name), time_name)
    values = _values(table.column(by_name["value"]), "value")
    statuses: Any = 192
    if "status" in by_name:
        statuses = _statuses(table.column(by_name["status"]))
    points = as_points(times, values, statuses)
    keys = table.column(key_name).combine_chunks().dictionary_encode()
    keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if keys.null_count:
        raise ValueError(f"column {key_name!r} has rows without a value")
    codes = keys.indices.to_numpy()
    names = _first_names(table, by_name, codes, len(keys.dictionary)) if "series_id" in by_name else None
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(keys.dictionary) + 1))
    for code, label in enumerate(keys.dictionary.to_pylist()):
        rows = order[bounds[code] : bounds[code + 1]]
        text = str(label)
        identity = _given_id(text) if "series_id" in by_name else series_id(facility, text)
        gathered.add(identity, names[code] if names else text, points.take(rows))


def _first_names(table: pa.Table, by_name: dict[str, str], codes: Any, count: int) -> list[str] | None:
    """Return the name of each series, taken from its first row, or None where the rows have no names."""
    if "name" not in by_name:
        return None
    column = table.column(by_name["name"])
    _, firsts = np.unique(codes, return_index=True)
    return [str(column[int(row)].as_py()) for row in firsts[:count]]


def _given_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"series_id {text!r} is no GUID; call the column 'name' where the series have names") from None


def _times(column: pa.ChunkedArray, name: str) -> Times:
    if column.null_count:
        raise ValueError(f"column {name!r} has rows without a time")
    kind = column.type
    if pa.types.is_timestamp(kind):
        scale = _TIME_UNITS_NS[kind.unit]
        return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64) * scale
    if pa.types.is_integer(kind):
        return np.asarray(column.to_numpy(), dtype=np.int64)
    try:
        return parse_times([text.strip() for text in column.to_pylist()])
    except ValueError as error:
        raise ValueError(f"column {name!r}: {error}") from None


def _values(column: pa.ChunkedArray, name: str) -> Values:
    if not pa.types.is_string(column.type):
        if column.null_count:
            raise ValueError(f"column {name!r} has rows without a value")
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    values: list[float] = []
    for row, text in enumerate(column.to_pylist()):
        try:
            values.append(float(text))
        except ValueError:
            raise ValueError(f"column {name!r}, its value number {row + 1}: {text!r} is no number") from None
    return np.array(values, dtype=np.float64)


def _statuses(column: pa.ChunkedArray) -> Any:
    if pa.types.is_string(column.type):
        texts = [text.strip() for text in column.to_pylist()]
        if any(text and not text.isdecimal() for text in texts):
            raise ValueError("column 'status' has values that are no whole numbers")
        return np.array([int(text) if text else 192 for text in texts], dtype=np.uint32)
    return np.asarray(pc.fill_null(column, 192).to_numpy(), dtype=np.int64).astype(np.uint32)
