"""Chunks: bit for bit what went in, for every series of the key; and what they refuse."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import CHUNK_SCHEMA, NO_POINTS, Chunk, Points, RawChunk, RawPage
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from tests.core.strategies import as_points, as_rows, chunks, rows

Row = tuple[int, int, int]
Made = tuple[Chunk, dict[str, list[Row]]]

KEY = ChunkKey(("a", "b"), TimeRange(0, 100))
POINTS = as_points([(1, 5, 192), (2, 6, 64)])


def held(chunk: Chunk) -> dict[str, list[Row]]:
    return {source_id: as_rows(points) for source_id, _, points in chunk.by_series()}


@given(chunks())
def test_holds_what_went_in_bit_for_bit(made: Made) -> None:
    chunk, expected = made
    assert held(chunk) == expected
    assert chunk.num_points == sum(map(len, expected.values()))
    assert as_rows(chunk.points) == list(itertools.chain(*expected.values()))


@given(chunks())
def test_is_sorted_by_series_and_time_in_the_schema(made: Made) -> None:
    chunk, _ = made
    order = list(zip(chunk.codes.tolist(), chunk.points.times.tolist(), strict=True))
    assert order == sorted(order)
    assert chunk.batch.schema.equals(CHUNK_SCHEMA)
    assert all(column.null_count == 0 for column in chunk.batch.columns)
    chunk.batch.validate(full=True)
    assert [each.dtype for each in chunk.points[:3]] == [np.int64, np.float64, np.uint32]


@given(chunks())
def test_columns_alone_make_the_same_chunk(made: Made) -> None:
    chunk, _ = made
    again = Chunk.from_columns(chunk.key, chunk.codes, chunk.points, chunk.series_ids)
    assert (again.key, again.series_ids, held(again)) == (chunk.key, chunk.series_ids, held(chunk))


@given(chunks())
def test_survives_pickling(made: Made) -> None:
    chunk, expected = made
    again = pickle.loads(pickle.dumps(chunk))
    assert (again.key, again.series_ids, held(again)) == (chunk.key, chunk.series_ids, expected)


@given(chunks())
def test_arrow_alone_reads_the_columns(made: Made) -> None:
    """What a stranger sees in the batch, through a file and Arrow's own conversions, none of ours."""
    chunk, expected = made
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, chunk.batch.schema) as writer:
        writer.write_batch(chunk.batch)
    table = pa.ipc.open_stream(sink.getvalue()).read_all()
    stored = [name for name, each in zip(chunk.series_ids, expected.values(), strict=True) for _ in each]
    assert table["series_id"].to_pylist() == stored
    assert table["time"].cast(pa.int64()).to_pylist() == [row[0] for each in expected.values() for row in each]
    assert table["status"].to_pylist() == [row[2] for each in expected.values() for row in each]


def test_reading_copies_nothing() -> None:
    chunk = Chunk.from_points(KEY, {"a": POINTS, "b": POINTS})
    for column, points in zip(chunk.batch.columns[1:], chunk.points[:3], strict=True):
        buffer = np.frombuffer(column.buffers()[1], np.uint8)
        assert np.shares_memory(points, buffer)
        for _, _, part in chunk.by_series():
            assert any(np.shares_memory(each, buffer) for each in part)


@pytest.mark.parametrize("series_ids", [("a",), ("a", "b", "c")])
def test_no_points_at_all(series_ids: tuple[str, ...]) -> None:
    chunk = Chunk.from_points(ChunkKey(series_ids, KEY.range), {})
    assert chunk.num_points == 0
    assert held(chunk) == {series_id: [] for series_id in series_ids}
    assert chunk.series_ids == series_ids


def test_stored_ids_replace_the_sources_in_the_keys_order() -> None:
    chunk = Chunk.from_points(KEY, {"b": POINTS}, ["z", "y"])
    assert [(source, stored, len(points.times)) for source, stored, points in chunk.by_series()] == [
        ("a", "z", 0),
        ("b", "y", 2),
    ]


def test_points_of_a_series_outside_the_key_are_refused() -> None:
    with pytest.raises(ValueError, match="'c'"):
        Chunk.from_points(KEY, {"a": POINTS, "c": POINTS})


@pytest.mark.parametrize("stored", [[], ["x"], ["x", "y", "z"]])
def test_stored_ids_that_do_not_fit_the_key_are_refused(stored: list[str]) -> None:
    with pytest.raises(ValueError, match="one entry for each series"):
        Chunk.from_points(KEY, {}, stored)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        Chunk.from_columns(KEY, np.zeros(1, np.int32), POINTS)


GOOD = Chunk.from_points(KEY, {"a": POINTS}).batch


@pytest.mark.parametrize(
    "batch",
    [
        GOOD.select([0, 1, 2]),
        GOOD.select([0, 1, 3, 2]),
        GOOD.rename_columns(["id", "time", "value", "status"]),
        GOOD.set_column(0, "series_id", pa.array(["a", "a"])),
        GOOD.set_column(1, "time", pa.array([1, 2], pa.timestamp("us", "UTC"))),
        GOOD.set_column(1, "time", pa.array([1, 2], pa.timestamp("ns"))),
        GOOD.set_column(2, "value", pa.array([1, 2], pa.float32())),
        GOOD.set_column(3, "status", pa.array([192, 192], pa.int32())),
    ],
    ids=["missing", "order", "name", "plain ids", "microseconds", "no zone", "float32", "int32 status"],
)
def test_another_schema_is_refused(batch: pa.RecordBatch) -> None:
    with pytest.raises(ValueError, match="CHUNK_SCHEMA"):
        Chunk(KEY, batch)


@given(rows(), st.data())
def test_take_and_concat(made: list[Row], data: st.DataObject) -> None:
    points = as_points(made)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(made), max_size=len(made))), bool)
    cut = data.draw(st.integers(0, len(made)))
    assert as_rows(points.take(mask)) == [row for row, kept in zip(made, mask, strict=True) if kept]
    assert as_rows(points.take(slice(cut, None))) == made[cut:]
    parts = [points.take(slice(None, cut)), NO_POINTS, points.take(slice(cut, None))]
    assert as_rows(Points.concat(parts)) == made
    assert as_rows(Points.concat([points])) == made


def test_concat_of_nothing_keeps_the_types() -> None:
    assert [each.dtype for each in Points.concat([])[:3]] == [np.int64, np.float64, np.uint32]


def test_raw_chunk_counts_its_bytes_and_survives_pickling() -> None:
    raw = RawChunk(KEY, (RawPage(TimeRange(0, 50), b"abc"), RawPage(TimeRange(50, 100), b"de")), "json")
    assert raw.nbytes == 5
    assert pickle.loads(pickle.dumps(raw)) == raw
