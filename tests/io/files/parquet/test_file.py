"""Parquet files: the promised columns, every point once and bit for bit, in the folder of its month."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.parquet.write import ROW_GROUP_POINTS, ParquetFile, ParquetOptions, chunk_files
from tests.core.strategies import SPECIAL_BITS, as_points, as_rows, bits, groups, statuses

# As the design promises it to readers, spelled out here on purpose.
SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string()),
        pa.field("time", pa.timestamp("ns", tz="UTC")),
        pa.field("value", pa.float64()),
        pa.field("status", pa.uint32()),
    ]
)

EDGES = [
    TimeRange.parse(f"{month}-01", "2262-01-01").start_ns
    for month in ("1900-03", "1969-12", "1970-01", "1970-02", "2024-02", "2024-03", "2025-01")
]


def read(file: ParquetFile) -> pa.Table:
    return pq.read_table(pa.BufferReader(file.content))


def rows_of(table: pa.Table) -> list[tuple[str, int, int, int]]:
    columns = [table.column(name).combine_chunks() for name in SCHEMA.names]
    values = columns[2].to_numpy(zero_copy_only=False).view(np.uint64)
    return list(
        zip(
            columns[0].to_pylist(),
            columns[1].cast(pa.int64()).to_pylist(),
            values.tolist(),
            columns[3].to_pylist(),
            strict=True,
        )
    )


def expected_rows(chunk: Chunk) -> list[tuple[str, int, int, int]]:
    return [(stored, *row) for _, stored, points in chunk.by_series() for row in as_rows(points)]


def folder_of(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // NS_PER_SECOND, UTC)
    return f"year={moment.year:04}/month={moment.month:02}"


@st.composite
def month_chunks(draw: st.DrawFn) -> Chunk:
    """Chunks of up to a year, with points that crowd around the edges of months, of the range, and of 1970."""
    edge = draw(st.sampled_from(EDGES))
    near = st.integers(-3, 3)
    start = edge + draw(near | st.integers(-40 * 86_400, 40 * 86_400).map(lambda s: s * NS_PER_SECOND))
    length = draw(st.integers(1, 5) | st.integers(1, 366).map(lambda days: days * 86_400 * NS_PER_SECOND))
    wanted = TimeRange(start, start + length)
    key = ChunkKey(draw(groups), wanted)
    inside = [e for e in EDGES if wanted.start_ns - 5 <= e <= wanted.end_ns + 5] + [wanted.start_ns, wanted.end_ns]
    times = st.one_of(
        st.integers(wanted.start_ns, wanted.end_ns - 1),
        st.tuples(st.sampled_from(inside), near).map(sum).filter(lambda t: t in wanted),
    )
    rows = st.lists(st.tuples(times, bits, statuses), max_size=12, unique_by=lambda row: row[0]).map(sorted)
    return Chunk.from_points(key, {series_id: as_points(draw(rows)) for series_id in key.series_ids})


@given(month_chunks())
def test_every_point_once_bit_for_bit_sorted_in_its_month(chunk: Chunk) -> None:
    files = list(chunk_files(chunk, "points"))
    stored = [(file, read(file)) for file in files]
    assert sorted(row for _, table in stored for row in rows_of(table)) == sorted(expected_rows(chunk))
    for file, table in stored:
        rows = rows_of(table)
        assert rows
        assert all(a[:2] < b[:2] for a, b in itertools.pairwise(rows))
        assert {folder_of(row[1]) for row in rows} == {file.path.rpartition("/")[0]}
        assert table.schema.equals(SCHEMA, check_metadata=True)
    assert len({file.path for file in files}) == len(files)


@settings(max_examples=40)
@given(month_chunks(), st.sampled_from(["points", "job-7"]))
def test_names_are_a_function_of_the_window(chunk: Chunk, prefix: str) -> None:
    paths = {file.path for file in chunk_files(chunk, prefix)}
    assert all(path.endswith(f"/{prefix}-{chunk.key.name}.parquet") for path in paths)
    # Other points in the same window: the same names, as far as their months have points.
    one_each_month = Points(
        np.array(sorted({part.start_ns for part in month_parts(chunk.key.range)}), np.int64), *zeros(chunk.key.range)
    )
    fuller = Chunk.from_points(chunk.key, {chunk.key.series_ids[0]: one_each_month})
    assert paths <= {file.path for file in chunk_files(fuller, prefix)}


def month_parts(wanted: TimeRange) -> list[TimeRange]:
    """By brute force: a day at a time."""
    parts: dict[str, int] = {}
    for ns in [*range(wanted.start_ns, wanted.end_ns, 86_400 * NS_PER_SECOND), wanted.end_ns - 1]:
        parts.setdefault(folder_of(ns), ns)
    return [TimeRange(ns, wanted.end_ns) for ns in parts.values()]


def zeros(wanted: TimeRange) -> tuple[Any, Any]:
    months = len(month_parts(wanted))
    return np.zeros(months), np.full(months, 192, np.uint32)


@settings(max_examples=40)
@given(month_chunks())
def test_the_same_chunk_gives_the_same_bytes(chunk: Chunk) -> None:
    def all_bytes() -> list[tuple[str, bytes]]:
        return [(file.path, bytes(file.content)) for file in chunk_files(chunk, "points")]

    assert all_bytes() == all_bytes()


@settings(max_examples=40)
@given(month_chunks(), st.data())
def test_a_view_of_a_batch_is_stored_as_what_it_shows(chunk: Chunk, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, chunk.num_points))
    view = Chunk(chunk.key, chunk.batch.slice(offset))
    stored = [row for file in chunk_files(view, "points") for row in rows_of(read(file))]
    assert sorted(stored) == sorted(expected_rows(chunk)[offset:])


def test_every_double_survives() -> None:
    values = np.array(SPECIAL_BITS, np.uint64).view(np.float64)
    times = np.arange(len(values), dtype=np.int64)
    points = Points(times, values, np.full(len(values), 2**32 - 1, np.uint32))
    [file] = chunk_files(Chunk.from_points(ChunkKey(("a",), TimeRange(0, 100)), {"a": points}), "points")
    assert [row[2] for row in rows_of(read(file))] == SPECIAL_BITS


@pytest.mark.parametrize("time_ns", [MIN_TIME_NS, MAX_TIME_NS - 1])
def test_the_ends_of_time(time_ns: int) -> None:
    wanted = TimeRange(max(time_ns - 5, MIN_TIME_NS), time_ns + 1)
    chunk = Chunk.from_points(ChunkKey(("a",), wanted), {"a": as_points([(time_ns, 1, 192)])})
    [file] = chunk_files(chunk, "points")
    assert file.path.startswith(folder_of(time_ns))
    assert rows_of(read(file)) == [("a", time_ns, 1, 192)]


def test_no_points_no_file() -> None:
    key = ChunkKey(("a", "b"), TimeRange(0, 10**18))
    assert list(chunk_files(Chunk.from_points(key, {"a": NO_POINTS}), "points")) == []


def test_a_mapped_chunk_is_stored_under_the_ids_of_the_target() -> None:
    key = ChunkKey(("a", "b"), TimeRange(0, 9))
    chunk = Chunk.from_points(key, {"a": as_points([(1, 1, 1)]), "b": as_points([(0, 2, 2)])}, ["tag-2", "tag-1"])
    [file] = chunk_files(chunk, "points")
    assert rows_of(read(file)) == [("tag-2", 1, 1, 1), ("tag-1", 0, 2, 2)]
    assert file.path.endswith(f"points-{key.name}.parquet")  # the window's name, which is in the source's ids


def big_chunk(points: int) -> Chunk:
    times = np.arange(points, dtype=np.int64) * NS_PER_SECOND
    columns = Points(times, np.sin(times.astype(np.float64)), np.full(points, 192, np.uint32))
    return Chunk.from_points(ChunkKey(("a",), TimeRange(0, 20 * 86_400 * NS_PER_SECOND)), {"a": columns})


def test_row_groups_are_small_enough_to_skip() -> None:
    [file] = chunk_files(big_chunk(600_000), "points")
    metadata = pq.ParquetFile(pa.BufferReader(file.content)).metadata
    groups_ = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups_] == [ROW_GROUP_POINTS, ROW_GROUP_POINTS, 600_000 - 2 * ROW_GROUP_POINTS]
    assert all(group.column(i).statistics.has_min_max for group in groups_ for i in (0, 1, 3))
    assert len(file.content) < 600_000 * 10


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "none"])
@pytest.mark.parametrize("level", [None, 1])
def test_compressions(compression: str, level: int | None) -> None:
    chunk = big_chunk(100)
    [file] = chunk_files(chunk, "points", ParquetOptions(compression, level))
    assert rows_of(read(file)) == expected_rows(chunk)
    used = pq.ParquetFile(pa.BufferReader(file.content)).metadata.row_group(0).column(2).compression
    assert used == {"none": "UNCOMPRESSED"}.get(compression, compression.upper())
