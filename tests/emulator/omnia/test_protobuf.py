"""The vectorised encoder against the protobuf library, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.emulator.common.hostile import catalogue
from omnia_beam.emulator.common.points import Points, as_points
from omnia_beam.emulator.common.rows import Column, Rows, raw_rows
from omnia_beam.emulator.omnia.protobuf import encode_page
from tests.emulator.omnia.messages import Page

_INT64 = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(1_600_000_000_000_000_000, 1_600_000_000_000_000_050),
    st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 2**56 - 1, 2**56, -1]),
)
_STATUS = st.one_of(st.sampled_from([192, 192, 192, 0, 64]), st.integers(0, 2**32 - 1))


def _oracle(rows: Rows, token: str | None) -> bytes:
    page = Page()
    item = page.data.add(id=rows.series_id, totalCount=rows.total)
    item.fields.extend(["time", *(column.name for column in rows.columns)])
    for number, time_ns in enumerate(rows.times.tolist()):
        item.values.add().int64 = time_ns
        for column in rows.columns:
            setattr(item.values.add(), column.kind, column.values[number].item())
    if token:
        page.continuationToken = token
    return bytes(page.SerializeToString())


def _encoded(rows: Rows, token: str | None = None) -> bytes:
    return b"".join(encode_page([rows], token))


@given(
    st.lists(st.tuples(_INT64, st.floats(width=64), _STATUS), max_size=40),
    st.integers(0, 2**64 - 1),
    st.sampled_from([None, "a-token"]),
)
def test_raw_points_are_what_the_library_writes(points: list[Any], total: int, token: str | None) -> None:
    times, values, statuses = ([point[column] for point in points] for column in range(3))
    rows = raw_rows("0d9f43b4-5f64-4a0c-8e75-0f0000000001", total, as_points(times, values, np.array(statuses, "u4")))
    assert _encoded(rows, token) == _oracle(rows, token)


@given(st.lists(st.tuples(_INT64, st.floats(width=64), st.integers(0, 2**63 - 1)), min_size=1, max_size=20))
def test_aggregates_are_what_the_library_writes(buckets: list[Any]) -> None:
    times, averages, counts = ([bucket[column] for bucket in buckets] for column in range(3))
    columns = (
        Column("avg", "double", np.array(averages)),
        Column("count", "uint64", np.array(counts, dtype=np.uint64)),
    )
    rows = Rows("x", 3, np.array(times, dtype=np.int64), columns)
    assert _encoded(rows) == _oracle(rows, None)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.12, 0.13, 0.5, 0.99, 1.0])
def test_any_share_of_odd_rows(share: float) -> None:
    drawn = np.random.default_rng(7).random(3000)
    points = as_points(
        1_700_000_000_000_000_000 + np.arange(3000),
        drawn,
        np.where(drawn < share, np.where(drawn < share / 2, 0, 2**31), 192),
    )
    rows = raw_rows("x", 3000, points)
    assert _encoded(rows) == _oracle(rows, None)


@pytest.mark.parametrize(
    "entry", [entry for entry in catalogue(1) if isinstance(entry[2], Points)], ids=lambda entry: entry[0]
)
def test_hostile_series(entry: Any) -> None:
    points = entry[2].take(slice(0, 3000))
    rows = raw_rows("x", len(points), points)
    assert _encoded(rows) == _oracle(rows, None)


def test_a_page_of_several_items_and_none() -> None:
    empty = raw_rows("a", 0, as_points([], []))
    one = raw_rows("b", 1, as_points([5], [1.0]))
    page = Page.FromString(b"".join(encode_page([empty, one], None)))
    assert [(item.id, item.totalCount, len(item.values)) for item in page.data] == [("a", 0, 0), ("b", 1, 3)]
    assert encode_page([], None) == []


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans()), max_size=8), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_series_laid_out_together_are_what_each_is_alone(series: list[Any], seed: int) -> None:
    drawn = np.random.default_rng(seed)
    page = []
    for number, (count, odd, aggregates) in enumerate(series):
        times = 1_700_000_000_000_000_000 + np.arange(count)
        if aggregates:
            columns = (Column("count", "uint64", drawn.integers(0, 300, count).astype(np.uint64)),)
            page.append(Rows(f"series {number}", count, times, columns))
        else:
            statuses = np.where(drawn.random(count) < odd / 10, 0, 192)
            page.append(raw_rows(f"series {number}", count, as_points(times, drawn.random(count), statuses)))
    assert b"".join(encode_page(page, None)) == b"".join(_oracle(rows, None) for rows in page)


def test_long_series_among_short_ones() -> None:
    times = 1_700_000_000_000_000_000 + np.arange(20_000)
    long, short = (
        raw_rows("long", 9, as_points(times, times * 0.5)),
        raw_rows("short", 9, as_points(times[:5], times[:5], 64)),
    )
    page = [short, long, short, short]
    assert b"".join(encode_page(page, None)) == b"".join(_encoded(rows) for rows in page)
    assert _encoded(long.__class__("x", 1, times[:500], long.columns[:0])) == _oracle(
        Rows("x", 1, times[:500], ()), None
    )
