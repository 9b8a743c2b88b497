"""Points with texts: their columns, their chunks, their fingerprints; points without any stay as they were."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.beam.coders import ChunkCoder
from omnia_beam.core.chunk import CHUNK_SCHEMA, TEXT_SCHEMA, Chunk, Points
from omnia_beam.core.fingerprint import RECIPE, add_hashes, hash_points
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey

Row = tuple[int, float, int, str | None]
texts = st.none() | st.text("aæ€𝄞\n", max_size=5)
row = st.tuples(st.integers(0, 999), st.floats(-9, 9), st.sampled_from([192, 0, 2**32 - 1]), texts)
no_number = row.map(lambda each: each if each[3] is None else (each[0], float("nan"), *each[2:]))
tables = st.lists(no_number, max_size=8, unique_by=lambda each: each[0]).map(sorted)


def as_points(rows: list[Row]) -> Points:
    columns: Any = zip(*rows, strict=True) if rows else ((), (), (), ())
    times, values, statuses, given = columns
    held = np.empty(len(rows), object)
    held[:] = given
    return Points(np.array(times, np.int64), np.array(values, np.float64), np.array(statuses, np.uint32), held)


def by_recipe(rows: list[Row]) -> str:
    found: dict[str, Any] = {}
    exec(RECIPE, found)  # the program that reports print
    result: str = found["fingerprint"](rows)
    return result


@settings(max_examples=50)
@given(tables, st.integers(0, 8))
def test_the_fingerprint_is_that_of_the_recipe_and_adds_up(rows: list[Row], cut: int) -> None:
    assert hash_points(*as_points(rows)) == by_recipe(rows)
    assert add_hashes(hash_points(*as_points(rows[:cut])), hash_points(*as_points(rows[cut:]))) == by_recipe(rows)


def test_points_without_texts_hash_as_before() -> None:
    points = as_points([(10, 1.5, 192, None), (20, 2.5, 192, None)])
    assert hash_points(*points) == hash_points(*points[:3]) == by_recipe([(10, 1.5, 192, None), (20, 2.5, 192, None)])
    one = Points(np.array([1_704_067_200_000_000_000]), np.array([1.5]), np.array([192], np.uint32))
    assert hash_points(*one) == hash_points(one.times, one.values, one.statuses)


def test_a_text_is_mixed_in_as_a_little_endian_number() -> None:
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
        return x ^ x >> 31

    h = mix(mix(mix(10 ^ 0x9E3779B97F4A7C15) + 0x7FF8000000000000 & mask) + 192 & mask)
    h = mix(h + int.from_bytes(hashlib.blake2b("på".encode(), digest_size=8).digest(), "little") & mask)
    expected = f"{mix(h ^ 0xD1B54A32D192ED03):016x}{h:016x}"
    assert hash_points(*as_points([(10, float("nan"), 192, "på")])) == expected


@settings(max_examples=50)
@given(tables, tables)
def test_a_chunk_travels_with_its_texts(one: list[Row], other: list[Row]) -> None:
    key = ChunkKey(("a", "b"), TimeRange(0, 1000))
    chunk = Chunk.from_points(key, {"a": as_points(one), "b": as_points(other)})
    has_texts = any(each[3] is not None for each in [*one, *other])
    assert chunk.batch.schema == (TEXT_SCHEMA if has_texts else CHUNK_SCHEMA)
    arrived = ChunkCoder().decode(ChunkCoder().encode(chunk))
    assert arrived.batch.schema == chunk.batch.schema
    for (_, _, points), rows in zip(arrived.by_series(), (one, other), strict=True):
        given = [None] * len(rows) if points.texts is None else points.texts.tolist()
        assert given == [each[3] for each in rows]
        assert points.times.tolist() == [each[0] for each in rows]
    assert [each.content_hash for each in Receipt.of(chunk, "x").series] == [by_recipe(one), by_recipe(other)]
    assert chunk.without_texts().batch.schema == CHUNK_SCHEMA
    assert chunk.without_texts().num_points == chunk.num_points


def test_an_element_of_a_release_without_texts_is_read() -> None:
    key = ChunkKey(("a",), TimeRange(0, 1000))
    chunk = Chunk.from_points(key, {"a": Points(np.array([10]), np.array([1.5]), np.array([192], np.uint32))})
    assert chunk.batch.num_columns == 4
    assert ChunkCoder().decode(ChunkCoder().encode(chunk)).points.texts is None


def test_parts_with_and_without_texts_are_joined() -> None:
    plain = Points(np.array([1]), np.array([1.0]), np.array([192], np.uint32))
    joined = Points.concat([plain, as_points([(2, float("nan"), 192, "x")])])
    assert joined.texts is not None
    assert joined.texts.tolist() == [None, "x"]
    assert Points.concat([plain, plain]).texts is None
    assert joined.take(np.array([True, False])).texts is not None


@pytest.mark.parametrize("text", ["", "a"])
def test_an_empty_text_is_a_text(text: str) -> None:
    plain = [(10, float("nan"), 192, None)]
    assert hash_points(*as_points([(10, float("nan"), 192, text)])) != hash_points(*as_points(plain))
