"""What an answer leaves out is asked about: silence is no evidence where points are expected or recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.omnia.query_reader import QueryReader, QueryResult, raw_chunks
from omnia_beam.io.window_reader import WindowReader
from tests.io.reading import AtOnce
from tests.io.scripted_service import ScriptedService, json_page, protobuf_page, steady

SECOND = 10**9
WANTED = TimeRange(0, 20 * SECOND)
POINTS = steady("ab", WANTED, SECOND)
FORMATS = ["protobuf", "json"]


class Gateway:
    """A service behind something that spoils answers, and the count beside it."""

    def __init__(
        self,
        service: ScriptedService,
        spoil: Callable[[bytes], bytes],
        *,
        counts_empty: bool = True,
        times: int = 10**9,
    ) -> None:
        self.service = service
        self.spoil = spoil
        self.counts_empty = counts_empty
        self.times = times
        self.asked_for_count: list[tuple[str, ...]] = []

    def fetch(self, series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        body = self.service.fetch(series_ids, query, token)
        self.times -= 1
        return self.spoil(body) if self.times >= 0 else body

    def count(self, series_ids: tuple[str, ...], query: TimeRange) -> Mapping[str, int]:
        self.asked_for_count.append(series_ids)
        found = {series_id: len(self.service.rows(series_id, query)) for series_id in series_ids}
        return {s: points for s, points in found.items() if points or self.counts_empty}

    def reader(self) -> QueryReader:
        format: Any = self.service.format
        return QueryReader(self.fetch, format=format, page_limit=50, max_points=1_000, count=self.count)

    def windows(self) -> WindowReader[QueryResult, RawChunk]:
        return WindowReader(
            self.reader(),
            AtOnce(),
            ahead=1,
            max_chunk_points=1_000,
            assemble=raw_chunks(self.service.format),  # type: ignore[arg-type]  # a test's str
            retry_for_s=5,
        )


def nothing(_: bytes) -> bytes:
    return b""


def without_a(body: bytes) -> bytes:
    return protobuf_page([("b", POINTS["b"], 20)])


def service(format: str = "protobuf", **options: Any) -> ScriptedService:
    return ScriptedService(options.pop("points", POINTS), format=format, limit=50, **options)


@pytest.mark.parametrize(("format", "body"), [("protobuf", b""), ("json", b'{"data":{"items":[]}}')])
def test_a_steady_answer_without_anything_fails_where_the_service_counts_points(format: str, body: bytes) -> None:
    gateway = Gateway(service(format), lambda _: body)
    with pytest.raises(IncompleteReadError, match=r"a and 1 more series, .*counts 20 points of a and sent none"):
        gateway.reader().read(("a", "b"), WANTED)


def test_a_series_that_is_left_out_once_is_read_after_all() -> None:
    gateway = Gateway(service(), without_a, times=1)
    response = gateway.reader().read(("a", "b"), WANTED)
    assert isinstance(response, QueryResult)
    assert response.points == 40
    assert gateway.asked_for_count == [("a",)]


def test_a_series_that_stays_left_out_fails_the_query() -> None:
    gateway = Gateway(service(), without_a)
    with pytest.raises(IncompleteReadError, match="counts 20 points of a"):
        gateway.reader().read(("a", "b"), WANTED)


def test_a_series_without_points_that_is_named_costs_no_further_request() -> None:
    gateway = Gateway(service(points={"b": POINTS["b"]}, mentions_empty=True), lambda body: body)
    for _ in range(3):
        gateway.reader().read(("a", "b"), WANTED, recorded=frozenset("a"))
    assert (gateway.asked_for_count, len(gateway.service.requests)) == ([], 3)


def test_a_service_that_names_nothing_empty_is_asked_for_a_count_once() -> None:
    gateway = Gateway(service(points={"b": POINTS["b"]}, mentions_empty=False), lambda body: body, counts_empty=False)
    reader = gateway.reader()
    for _ in range(5):
        assert isinstance(reader.read(("a", "b"), WANTED), QueryResult)
    assert gateway.asked_for_count == [("a",)]
    reader.read(("a", "b"), WANTED, recorded=frozenset("a"))  # where points are recorded silence is never a habit
    assert gateway.asked_for_count == [("a",), ("a",)]


def test_a_service_that_names_what_is_empty_is_held_to_that() -> None:
    gateway = Gateway(service(points={}, mentions_empty=True), lambda body: body, counts_empty=False)
    reader = gateway.reader()
    reader.read(("a",), WANTED)
    gateway.spoil = nothing
    with pytest.raises(IncompleteReadError, match="names a no more"):
        reader.read(("a",), WANTED)


@pytest.mark.parametrize("format", FORMATS)
def test_another_range_than_asked_for_is_no_answer(format: str) -> None:
    later = steady("ab", TimeRange(40 * SECOND, 60 * SECOND), SECOND)
    page = json_page if format == "json" else protobuf_page
    gateway = Gateway(service(format), lambda _: page([(s, rows, 20) for s, rows in later.items()]), times=2)
    response = gateway.reader().read(("a", "b"), WANTED)
    assert isinstance(response, QueryResult)
    assert response.points == 40
    gateway.times = 10**9
    with pytest.raises(IncompleteReadError, match="the response is to another request"):
        gateway.reader().read(("a", "b"), WANTED)


@pytest.mark.parametrize("format", FORMATS)
def test_another_series_than_asked_for_is_no_answer(format: str) -> None:
    page = json_page if format == "json" else protobuf_page
    gateway = Gateway(service(format), lambda _: page([("c", POINTS["b"], 20)]))
    with pytest.raises(IncompleteReadError, match="'c', which was not requested"):
        gateway.reader().read(("a", "b"), WANTED)


def window(recorded: tuple[int, ...], requests: int = 1) -> Window:
    return Window(ChunkKey(("a", "b"), WANTED), sum(recorded), requests, recorded)


def test_what_is_recorded_is_not_given_up_on_the_word_of_silence() -> None:
    # Neither the answers nor the count name the series: a service that leaves out what is empty looks the same.
    gateway = Gateway(service(points={}), nothing, counts_empty=False)
    [failure] = gateway.windows().read([(0, window((20, 0), requests=3))], lambda _: True)
    assert isinstance(failure, WindowFailure)
    assert "recorded 20 points of a, and the service now names neither" in failure.message


def test_what_is_recorded_goes_where_the_service_says_that_it_is_gone() -> None:
    for named in (True, False):  # in the answer itself, or by its count
        gateway = Gateway(service(points={}, mentions_empty=named), lambda body: body)
        [chunk] = gateway.windows().read([(0, window((20, 20), requests=3))], lambda _: True)
        assert not isinstance(chunk, WindowFailure)


def test_a_part_of_a_window_may_be_empty() -> None:
    half = {s: [row for row in rows if row[0] < 10 * SECOND] for s, rows in POINTS.items()}
    gateway = Gateway(service(points=half, mentions_empty=False), lambda body: body, counts_empty=False)
    [chunk] = gateway.windows().read([(0, window((20, 20), requests=4))], lambda _: True)
    assert not isinstance(chunk, WindowFailure)


@given(
    st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(0, 9), min_size=1)),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["fine", "nothing", "a left out", "later"]), max_size=12),
)
def test_an_answer_is_whole_or_refused(
    times: dict[str, set[int]], mentions_empty: bool, counts_empty: bool, script: list[str]
) -> None:
    """Whatever is left out of answers: where the count is true, no point is missing without a word."""
    points = {s: [(t * SECOND, t, 192) for t in sorted(each)] for s, each in times.items()}
    gateway = Gateway(service(points=points, mentions_empty=mentions_empty), lambda b: b, counts_empty=counts_empty)
    plan = iter(script)

    def spoil(body: bytes) -> bytes:
        fault = next(plan, "fine")
        left = {s: rows for s, rows in points.items() if fault != "a left out" or s != "a"}
        if fault in ("nothing", "fine"):
            return b"" if fault == "nothing" else body
        shift = 100 * SECOND if fault == "later" else 0
        return protobuf_page([(s, [(t + shift, v, q) for t, v, q in rows], len(rows)) for s, rows in left.items()])

    gateway.spoil = spoil
    reader = gateway.reader()
    for _ in range(3):
        try:
            response = reader.read(("a", "b", "c"), TimeRange(0, 10 * SECOND), recorded=frozenset(points))
        except IncompleteReadError:
            continue
        assert isinstance(response, QueryResult)
        assert response.points == sum(map(len, points.values()))
