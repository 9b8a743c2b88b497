"""Assembling pages to a chunk: bit-exact against a dict of points, or refused; whatever the order of the bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import CHUNK_SCHEMA, RawChunk, RawPage
from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat, ChunkKey
from omnia_beam.transforms.assemble import assemble_chunk
from tests.core.strategies import bits, statuses
from tests.io.scripted_service import Row, bits_of, held, json_page, oracle, protobuf_page
from tests.wire.timeseries_pb2 import CompactDatapointsDto

TICK = 100
finite = st.floats(allow_nan=False, allow_infinity=False).map(bits_of)

Item = tuple[str, list[Row], int]


@st.composite
def answers(draw: st.DrawFn, format: BodyFormat) -> tuple[RawChunk, dict[str, list[Row]]]:
    """A raw chunk with everything that a service may rightly do to it, and the points that it has to give."""
    ids = sorted(draw(st.sets(st.sampled_from(["a", "B", "c-9"]), min_size=1)))
    start = draw(st.sampled_from([-50, 0, 1_704_067_200 * 10**7])) * TICK
    wanted = TimeRange(start, start + draw(st.integers(1, 60)) * TICK)
    ticks = st.integers(-3, 63).map(lambda tick: start + tick * TICK)
    values = finite if format == "json" else bits
    points = {s: draw(st.lists(st.tuples(ticks, values, statuses), max_size=25, unique_by=lambda r: r[0])) for s in ids}

    queries = wanted.split_at(sorted(draw(st.sets(st.integers(wanted.start_ns, wanted.end_ns), max_size=3))))
    if draw(st.booleans()):  # one that lies across others
        queries.append(TimeRange(*sorted(draw(st.tuples(*[st.integers(wanted.start_ns, wanted.end_ns)] * 2)))))
    end_inclusive, tells_totals = draw(st.booleans()), draw(st.booleans())
    pages = []
    for query in [query for query in queries if query]:
        items = []
        for s in ids:
            lower, upper = query.start_ns // TICK * TICK, -(-query.end_ns // TICK) * TICK + end_inclusive
            found = draw(st.permutations([row for row in points[s] if lower <= row[0] < upper]))
            cuts = sorted(draw(st.lists(st.integers(0, len(found)), max_size=3)))
            parts = [list(found[a:b]) for a, b in zip([0, *cuts], [*cuts, len(found)], strict=True)]
            if not tells_totals:  # an item without points and without a total reads as a count of nothing
                parts = [part for part in parts if part]
            items += [(s, part, len(found) if tells_totals else 0) for part in parts]
        for some in draw(cut_anywhere(items)):
            pages.append(RawPage(query, json_page(some) if format == "json" else protobuf_page(some)))
    again = draw(st.lists(st.sampled_from(pages), max_size=3)) if pages else []
    raw = RawChunk(ChunkKey(tuple(ids), wanted), tuple(draw(st.permutations(pages + again))), format)
    return raw, oracle(points, ids, wanted)


@st.composite
def cut_anywhere(draw: st.DrawFn, items: list[Item]) -> list[list[Item]]:
    """Items in pages of any size, also none."""
    pages: list[list[Item]] = [[]]
    for item in items:
        if draw(st.booleans()):
            pages.append([])
        pages[-1].append(item)
    return pages


@given(answers("protobuf"))
def test_protobuf_pages_give_exactly_the_points(case: tuple[RawChunk, dict[str, list[Row]]]) -> None:
    raw, expected = case
    chunk = assemble_chunk(raw)
    assert held(chunk) == expected
    assert (chunk.key, chunk.series_ids) == (raw.key, raw.key.series_ids)
    assert chunk.batch.schema.equals(CHUNK_SCHEMA)


@pytest.mark.long
@given(answers("json"))
def test_json_pages_give_exactly_the_points(case: tuple[RawChunk, dict[str, list[Row]]]) -> None:
    raw, expected = case
    assert held(assemble_chunk(raw)) == expected


@given(answers("protobuf"), st.randoms(use_true_random=False))
def test_a_lost_page_is_never_a_smaller_chunk(
    case: tuple[RawChunk, dict[str, list[Row]]], chooser: random.Random
) -> None:
    raw, expected = case
    if not raw.pages:
        return
    lost = chooser.choice(raw.pages)
    fewer = RawChunk(raw.key, tuple(page for page in raw.pages if page is not lost), raw.format)
    try:
        found = held(assemble_chunk(fewer))
    except IncompleteReadError:
        return
    counted = {
        (page.query, item.id)
        for page in fewer.pages
        for item in CompactDatapointsDto.FromString(page.body).data
        if item.totalCount
    }
    # Only of a series that no page counts any more can points be lost unseen; and some page of the query is still there.
    assert all(found[s] == expected[s] or (lost.query, s) not in counted for s in raw.key.series_ids)
    assert found == expected or lost.query in {page.query for page in fewer.pages}


RANGE = TimeRange(0, 1_000)
KEY = ChunkKey(("a", "b"), RANGE)


def raw_of(*items: Item, key: ChunkKey = KEY, query: TimeRange = RANGE, copies: int = 1) -> RawChunk:
    return RawChunk(key, (RawPage(query, protobuf_page(items)),) * copies)


def rows_at(*times: int) -> list[Row]:
    return [(t, abs(t), 192) for t in times]


def test_points_between_a_bound_and_its_tick_are_cut_after_counting() -> None:
    wanted = TimeRange(50, 950)
    body = protobuf_page([("a", rows_at(0, 50, 949, 1_000), 4)])
    raw = RawChunk(ChunkKey(("a", "b"), wanted), (RawPage(wanted, body),))
    assert held(assemble_chunk(raw)) == {"a": rows_at(50, 949), "b": []}


@pytest.mark.parametrize("stray", [-1, -(10**15), 1_001, 10**18])
def test_a_point_beyond_the_query_shows_that_the_answer_is_to_another_question(stray: int) -> None:
    with pytest.raises(
        IncompleteReadError, match=r"a: the service sent a point at .* the response is to another request"
    ):
        assemble_chunk(raw_of(("a", sorted(rows_at(0, 999, stray)), 3)))


def test_a_point_between_two_queries_is_in_the_chunk_once() -> None:
    # A service with an inclusive end sends it twice, and counts it twice.
    first, second = RANGE.split(2)
    body = protobuf_page([("a", rows_at(500), 1)])
    raw = RawChunk(KEY, (RawPage(first, body), RawPage(second, body)))
    assert held(assemble_chunk(raw))["a"] == rows_at(500)


def test_exact_repeats_are_dropped() -> None:
    raw = raw_of(("a", rows_at(1, 2) + rows_at(2, 1), 2), copies=3)
    assert held(assemble_chunk(raw))["a"] == rows_at(1, 2)


@pytest.mark.parametrize(
    "other",
    [(7, 8, 192), (7, 7, 64), (7, 0x7FF8000000000001, 192)],
    ids=["value", "status", "NaN"],
)
def test_two_points_at_one_time_that_differ_are_refused(other: Row) -> None:
    with pytest.raises(IncompleteReadError, match=r"a .*two different points for the time 7 ns"):
        assemble_chunk(raw_of(("a", [(1, 1, 1), (7, 7, 192), other], 0)))


@pytest.mark.parametrize("pair", [(0, 1 << 63), (0x7FF8000000000000, 0x7FF8000000000001)], ids=["-0.0", "NaN payload"])
def test_values_that_differ_in_their_bits_alone_differ(pair: tuple[int, int]) -> None:
    with pytest.raises(IncompleteReadError, match="two different points"):
        assemble_chunk(raw_of(("a", [(7, pair[0], 192), (7, pair[1], 192)], 0)))


def test_the_same_nan_twice_is_one_point() -> None:
    nan = (7, 0xFFF8000000000001, 192)
    assert held(assemble_chunk(raw_of(("a", [nan, nan], 1))))["a"] == [nan]


def test_queries_that_overlap_and_disagree_are_refused() -> None:
    pages = [
        RawPage(TimeRange(0, 600), protobuf_page([("a", [(550, 1, 192)], 1)])),
        RawPage(TimeRange(400, 1_000), protobuf_page([("a", [(550, 2, 192)], 1)])),
    ]
    with pytest.raises(IncompleteReadError, match="two different points for the time 550 ns"):
        assemble_chunk(RawChunk(KEY, tuple(pages)))


@pytest.mark.parametrize("total", [1, 3, 10**12])
def test_a_count_that_disagrees_is_refused(total: int) -> None:
    with pytest.raises(IncompleteReadError, match=rf"a .*counts {counted(total, 'point')} but sent 2") as caught:
        assemble_chunk(raw_of(("a", rows_at(1, 2), total)))
    assert (caught.value.expected, caught.value.received) == (total, 2)


def test_the_first_total_is_the_one_that_counts() -> None:
    assert held(assemble_chunk(raw_of(("a", rows_at(1), 2), ("a", rows_at(2), 3))))["a"] == rows_at(1, 2)
    with pytest.raises(IncompleteReadError, match="counts 3 points but sent 2"):
        assemble_chunk(raw_of(("a", rows_at(1), 3), ("a", rows_at(2), 2)))


def test_a_count_of_nothing_before_points_is_refused() -> None:
    with pytest.raises(IncompleteReadError, match="counts 0 points but sent 1"):
        assemble_chunk(raw_of(("a", [], 0), ("a", rows_at(1), 0)))


def test_a_total_of_nothing_beside_points_is_no_total() -> None:
    assert held(assemble_chunk(raw_of(("a", rows_at(1, 2), 0))))["a"] == rows_at(1, 2)


def test_a_series_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(IncompleteReadError, match="sent series 'x', which was not requested"):
        assemble_chunk(raw_of(("a", rows_at(1), 1), ("x", rows_at(1), 1)))


def test_ids_are_guids_and_may_come_back_in_another_case() -> None:
    key = ChunkKey(("0A-bc", "ff"), RANGE)
    chunk = assemble_chunk(raw_of(("0a-BC", rows_at(1), 1), ("FF", rows_at(2), 2), ("ff", rows_at(3), 2), key=key))
    assert held(chunk) == {"0A-bc": rows_at(1), "ff": rows_at(2, 3)}
    assert chunk.series_ids == ("0A-bc", "ff")


@pytest.mark.parametrize(
    "queries",
    [[], [(0, 400)], [(100, 1_000)], [(0, 400), (401, 1_000)], [(0, 999)], [(500, 1_000), (0, 499)]],
)
def test_a_range_that_was_not_asked_for_whole_is_refused(queries: Sequence[tuple[int, int]]) -> None:
    pages = tuple(RawPage(TimeRange(*query), protobuf_page([("a", rows_at(query[0]), 1)])) for query in queries)
    with pytest.raises(IncompleteReadError, match=r"a and 1 more series \[1970.*: nothing was read of \["):
        assemble_chunk(RawChunk(KEY, pages))


def test_a_query_longer_than_the_chunk_is_cut_to_it() -> None:
    raw = raw_of(("a", rows_at(-5, 5, 1_005), 3), query=TimeRange(-10, 2_000))
    assert held(assemble_chunk(raw))["a"] == rows_at(5)


@pytest.mark.parametrize(
    "fields", [["time", "value"], ["time", "status"], ["time", "avg", "status"], ["value", "status"]]
)
def test_columns_that_are_missing_are_named(fields: list[str]) -> None:
    page = CompactDatapointsDto()
    item = page.data.add(id="a", totalCount=1, fields=fields)
    for name in fields:
        if name in ("value", "avg"):
            item.values.add(double=1.0)
        else:
            item.values.add(int64=7)
    with pytest.raises(WireFormatError, match=r"a \[1970.*needs time, value and status, not \['"):
        assemble_chunk(RawChunk(KEY, (RawPage(RANGE, page.SerializeToString()),)))


def test_columns_may_come_in_any_order_beside_others() -> None:
    page = CompactDatapointsDto()
    item = page.data.add(id="a", totalCount=1, fields=["status", "quality", "value", "time"])
    item.values.add(uint32=64)
    item.values.add(uint64=9)
    item.values.add(double=2.5)
    item.values.add(int64=7)
    chunk = assemble_chunk(RawChunk(KEY, (RawPage(RANGE, page.SerializeToString()),)))
    assert held(chunk)["a"] == [(7, bits_of(2.5), 64)]


def test_an_item_without_points_need_not_name_its_columns() -> None:
    page = CompactDatapointsDto()
    page.data.add(id="a")
    assert held(assemble_chunk(RawChunk(KEY, (RawPage(RANGE, page.SerializeToString()),)))) == {"a": [], "b": []}


@pytest.mark.parametrize("format", ["protobuf", "json"])
def test_bytes_that_are_no_page_are_refused(format: BodyFormat) -> None:
    with pytest.raises(WireFormatError):
        assemble_chunk(RawChunk(KEY, (RawPage(RANGE, b"\xff\xff<html>"),), format))


def test_a_page_of_the_hot_path_is_not_copied_more_than_once() -> None:
    # One page, in order, nothing to cut: the columns of the chunk are the decoder's.
    raw = raw_of(("a", rows_at(*range(1_000)), 1_000), key=ChunkKey(("a",), RANGE))
    points = assemble_chunk(raw).points
    assert points.times.flags.c_contiguous
    assert np.array_equal(points.times, np.arange(1_000))
