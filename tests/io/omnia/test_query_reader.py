"""Reading one query whole: paging, restarts, and never fewer points than the service holds without saying so."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.errors import (
    BadRequestError,
    ForbiddenError,
    IncompleteReadError,
    NotFoundError,
    OmniaBeamError,
    TransientServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.omnia.query_reader import Divide, QueryReader, QueryResult
from omnia_beam.transforms.assemble import assemble_chunk
from tests.io.scripted_service import FAULTS, SILENT_IN_JSON, ScriptedService, held, oracle, protobuf_page, steady

SECOND = 10**9
WANTED = TimeRange(0, 20 * SECOND)
POINTS = steady("ab", WANTED, SECOND)  # twenty points each
FORMATS = ["protobuf", "json"]


def reader_of(service: ScriptedService, *, max_points: int = 1_000) -> QueryReader:
    return QueryReader(
        service.fetch,
        format=service.format,
        page_limit=service.limit,
        max_points=max_points,  # type: ignore[arg-type]  # a test's str
    )


def read(service: ScriptedService, wanted: TimeRange = WANTED, series_ids: str = "ab", **options: Any) -> Any:
    return reader_of(service, **options).read(tuple(series_ids), wanted)


def points_in(
    service: ScriptedService, response: QueryResult, wanted: TimeRange = WANTED, series_ids: str = "ab"
) -> Any:
    return held(assemble_chunk(RawChunk(ChunkKey(tuple(series_ids), wanted), response.pages, service.format)))  # type: ignore[arg-type]  # a test's str


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("per_answer", [False, True])
@pytest.mark.parametrize("mentions_empty", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 20, 1_000])
def test_reads_all_pages(format: str, per_answer: bool, mentions_empty: bool, limit: int) -> None:
    service = ScriptedService(POINTS, format=format, per_answer=per_answer, mentions_empty=mentions_empty, limit=limit)
    response = read(service, series_ids="abc")  # c has no points
    assert points_in(service, response, series_ids="abc") == oracle(POINTS, "abc", WANTED)
    assert response.points == 40
    assert (
        len(response.pages) == len(service.requests) == max(1, (40 if per_answer else 20) // limit + (limit == 7) * (1))
    )
    assert {page.query for page in response.pages} == {WANTED}
    assert [token is None for _, _, token in service.requests] == [True] + [False] * (len(service.requests) - 1)


@pytest.mark.parametrize("format", FORMATS)
def test_points_that_the_service_adds_at_the_edges_are_counted_too(format: str) -> None:
    wanted = TimeRange(SECOND + 50, 10 * SECOND)
    service = ScriptedService(POINTS, format=format, end_inclusive=True, tick_ns=100)
    response = read(service, wanted)
    assert response.points == 2 * 10  # 1 s to 10 s, of which the first and the last are outside
    assert points_in(service, response, wanted) == oracle(POINTS, "ab", wanted)
    widened = TimeRange(SECOND + 50, SECOND + 60)
    response = read(service, widened)
    assert response.points == 2  # the service reads times in ticks of 100 ns and so finds the point at 1 s
    assert points_in(service, response, widened) == {"a": [], "b": []}


def test_a_service_without_totals_is_believed() -> None:
    service = ScriptedService(POINTS, tells_totals=False)
    assert points_in(service, read(service)) == oracle(POINTS, "ab", WANTED)


def test_ids_may_change_their_case_from_page_to_page() -> None:
    class Shouting(ScriptedService):
        def _page(self, series_ids: Any, query: Any, page: int) -> Any:
            items, more = super()._page(series_ids, query, page)
            return [(s.upper() if page % 2 else s, rows, total) for s, rows, total in items], more

    service = Shouting(POINTS)
    assert points_in(service, read(service)) == oracle(POINTS, "ab", WANTED)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_any_fault_once_is_survived_or_told(format: str, fault: str, place: int) -> None:
    if format == "json" and fault in SILENT_IN_JSON:
        pytest.skip("nobody can notice it")
    service = ScriptedService(POINTS, format=format, script=[None] * place + [fault])
    if fault == "give up":  # a request's own retries are not repeated here
        with pytest.raises(TransientServiceError):
            read(service)
        return
    response = read(service)
    assert points_in(service, response) == oracle(POINTS, "ab", WANTED)
    assert service.struck == [fault]


@pytest.mark.parametrize("format", FORMATS)
def test_a_duplicated_page_is_asked_for_again_and_no_other(format: str) -> None:
    service = ScriptedService(POINTS, format=format, script=[None, None, "duplicate page", "duplicate page"])
    response = read(service)
    assert len(service.requests) == 4 + 2
    assert len(response.pages) == 4


@pytest.mark.parametrize("format", FORMATS)
def test_a_page_that_repeats_for_ever_is_noticed(format: str) -> None:
    service = ScriptedService(POINTS, format=format, ever_after="token to itself")
    with pytest.raises(IncompleteReadError, match=r"a and 1 more series, .*repeats a page for ever"):
        read(service, TimeRange(0, 1))
    assert len(service.requests) < 100


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("tells_totals", [True, False])
def test_a_page_that_repeats_under_ever_new_tokens_is_noticed(format: str, tells_totals: bool) -> None:
    # A cursor that never moves, on a service that makes each token unique.
    class Stuck(ScriptedService):
        def _page(self, series_ids: Any, query: Any, page: int) -> Any:
            items, _ = super()._page(series_ids, query, 0)
            return items, True

    service = Stuck(POINTS, format=format, tells_totals=tells_totals, ever_after="nonce")
    with pytest.raises(IncompleteReadError, match="repeats a page for ever"):
        read_divided(service)
    assert len(service.requests) < 200


def read_divided(service: ScriptedService) -> None:
    """Read, following divisions down to the first part, until an answer or an error comes."""
    wanted = WANTED
    while isinstance(response := read(service, wanted), Divide):
        wanted = wanted.split(response.parts)[0]


def test_a_token_that_stays_the_same_may_lead_on() -> None:
    # A cursor on the service's side: what counts is whether the pages bring anything new.
    pages = [ScriptedService(POINTS)._page(("a", "b"), WANTED, page)[0] for page in range(4)]
    bodies = [protobuf_page(items, "cursor" if page < 3 else None) for page, items in enumerate(pages)]
    rest = iter(bodies)
    reader = QueryReader(lambda *_: next(rest), format="protobuf", page_limit=5, max_points=1_000)
    response = reader.read(("a", "b"), WANTED)
    assert isinstance(response, QueryResult)
    assert [page.body for page in response.pages] == bodies


@pytest.mark.parametrize("format", FORMATS)
def test_empty_pages_on_the_way_are_passed_over(format: str) -> None:
    class Gappy(ScriptedService):
        def _page(self, series_ids: Any, query: Any, page: int) -> Any:
            items, more = super()._page(series_ids, query, page // 4)
            return (items, more) if page % 4 == 3 else ([], True)

    service = Gappy(POINTS, format=format)
    assert points_in(service, read(service)) == oracle(POINTS, "ab", WANTED)


def test_empty_pages_without_end_are_noticed() -> None:
    class Void(ScriptedService):
        def _page(self, series_ids: Any, query: Any, page: int) -> Any:
            return [], True

    service = Void(POINTS)
    with pytest.raises(IncompleteReadError, match="without points"):
        read(service)
    assert len(service.requests) < 10_000


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("high total", IncompleteReadError, "counts 2 points but sent 1"),
        ("lose the tail", IncompleteReadError, "counts 1 point but sent 0"),
        ("garbage", WireFormatError, "byte offset"),
        ("cut short", WireFormatError, "byte offset"),
    ],
)
def test_what_never_adds_up_is_an_error(fault: str, error: type[OmniaBeamError], words: str) -> None:
    service = ScriptedService(POINTS, ever_after=fault)
    with pytest.raises(error, match=words):
        read(service, TimeRange(0, 1))
    assert len(service.requests) == 8


def test_the_error_says_which_series_is_short_and_by_how_much() -> None:
    service = ScriptedService(POINTS | {"b": POINTS["b"][:3]}, limit=50, ever_after="high total")
    with pytest.raises(IncompleteReadError, match=r"a and 1 more series, \[1970.*of a the service counts 21") as caught:
        read(service)
    assert (caught.value.expected, caught.value.received) == (21, 20)


@pytest.mark.parametrize("fault", ["refuse token", "lose the tail", "high total"])
def test_a_query_whose_pages_keep_failing_is_divided_into_single_pages(fault: str) -> None:
    # Where tokens do not work, queries of one page need none.
    service = ScriptedService(POINTS, ever_after=fault)
    response = read(service)
    assert isinstance(response, Divide)
    assert response.parts >= 40 // service.limit
    assert len(service.requests) <= 2 * 5


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fault", ["refuse token", "duplicate page"])
def test_tokens_that_never_work_are_got_round(format: str, fault: str) -> None:
    service = ScriptedService(POINTS, format=format, ever_after=fault)
    todo, found = [WANTED], Counter[str]()
    while todo:
        part = todo.pop()
        response = read(service, part)
        if isinstance(response, Divide):
            todo.extend(part.split(response.parts))
        else:
            found.update({s: len(rows) for s, rows in points_in(service, response, part).items()})
    assert found == {"a": 20, "b": 20}
    assert len(service.requests) < 100


@pytest.mark.parametrize(
    "error", [NotFoundError("404", status=404), BadRequestError("400", status=400), ForbiddenError("403")]
)
def test_a_first_page_that_is_refused_is_the_services_last_word(error: OmniaBeamError) -> None:
    service = ScriptedService(POINTS, errors={"a": error})
    with pytest.raises(type(error)):
        read(service)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "error", [NotFoundError("404"), BadRequestError("400"), UnauthorizedError("401"), ForbiddenError("403")]
)
def test_a_later_page_that_is_refused_starts_the_query_over(error: OmniaBeamError) -> None:
    service = ScriptedService(POINTS)
    refused = False

    def fetch(series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        nonlocal refused
        if token is not None and not refused:
            refused = True
            raise error
        return service.fetch(series_ids, query, token)

    reader = QueryReader(fetch, format="protobuf", page_limit=5, max_points=1_000)
    if isinstance(error, UnauthorizedError | ForbiddenError):  # that is not about the token of the page
        with pytest.raises(type(error)):
            reader.read(("a", "b"), WANTED)
    else:
        response = reader.read(("a", "b"), WANTED)
        assert isinstance(response, QueryResult)
        assert response.points == 40
        assert [token for _, _, token in service.requests].count(None) == 2


@pytest.mark.parametrize("format", FORMATS)
def test_too_much_is_divided_before_it_is_fetched(format: str) -> None:
    service = ScriptedService(POINTS, format=format)
    response = read(service, max_points=30)
    assert isinstance(response, Divide)
    if format == "protobuf":  # its first page tells
        assert len(service.requests) == 1
        assert response.parts == 9  # 40 points in pages of 5, a little less than full
    else:
        assert len(service.requests) == 4  # ten points a page: the fourth goes past thirty
        assert response.parts >= 2


def test_a_single_nanosecond_is_not_divided() -> None:
    service = ScriptedService(steady("ab", TimeRange(0, 10), 1), tick_ns=100)
    response = read(service, TimeRange(3, 4), max_points=15)
    assert isinstance(response, QueryResult)
    assert response.points == 20


def test_a_vast_query_is_divided_into_a_bounded_number_of_parts() -> None:
    vast = protobuf_page([("a", [(0, 0, 192)], 10**12)], "next")
    reader = QueryReader(lambda *_: vast, format="protobuf", page_limit=100_000, max_points=1_000_000)
    response = reader.read(("a",), WANTED)
    assert isinstance(response, Divide)
    assert response.parts == 1_000


def test_nothing_at_all_is_asked_for_again() -> None:
    # A body without bytes is a page without items in protobuf, and what a broken gateway sends.
    service = ScriptedService(POINTS, limit=50, script=["empty body", "empty body"])
    response = read(service)
    assert points_in(service, response) == oracle(POINTS, "ab", WANTED)


def test_nothing_at_all_is_believed_when_it_is_said_again() -> None:
    service = ScriptedService({}, mentions_empty=False)
    response = read(service)
    assert points_in(service, response) == {"a": [], "b": []}
    assert len(service.requests) == 3


@pytest.mark.parametrize("mentions_empty", [True, False])
def test_nothing_is_believed_at_once_where_nothing_is_expected_or_the_series_are_named(mentions_empty: bool) -> None:
    service = ScriptedService({}, mentions_empty=mentions_empty)
    response = reader_of(service).read(("a", "b"), WANTED, points_expected=mentions_empty)
    assert isinstance(response, QueryResult)
    assert len(service.requests) == 1


scripts = st.lists(st.none() | st.sampled_from(FAULTS), max_size=25)


@given(
    st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(0, 60), max_size=30), max_size=3),
    st.builds(
        dict,
        limit=st.integers(1, 12),
        per_answer=st.booleans(),
        end_inclusive=st.booleans(),
        mentions_empty=st.booleans(),
        script=scripts,
        ever_after=st.none() | st.sampled_from(FAULTS),
    ),
    st.integers(5, 200),
)
def test_points_are_exact_or_an_error_says_why(
    times: dict[str, set[int]], service_of: dict[str, Any], max_points: int
) -> None:
    points = {s: [(t, t * 3, 192) for t in sorted(each)] for s, each in times.items()}
    service = ScriptedService(points, **service_of)
    wanted = TimeRange(0, 60)
    if service.ever_after == "empty body":
        service.ever_after = None  # who says nothing for ever is believed
    if "empty body" in service.script:
        service.script = [None if fault == "empty body" and i % 2 else fault for i, fault in enumerate(service.script)]
    try:
        response = read(service, wanted, series_ids="abc", max_points=max_points)
        # Two faults may make up for each other in number: then it is the assembling that tells.
        found = points_in(service, response, wanted, "abc") if isinstance(response, QueryResult) else None
    except OmniaBeamError:
        assert service.struck
        return
    if isinstance(response, QueryResult):
        assert found == oracle(points, "abc", wanted)
        assert response.points <= max_points
    else:
        assert response.parts >= 2
