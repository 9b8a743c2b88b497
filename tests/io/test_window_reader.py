"""Reading windows: in order, whole, whatever the service does; never less without saying so."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.errors import (
    CredentialError,
    IncompleteReadError,
    NotFoundError,
    NotTheServiceError,
    OmniaBeamError,
    TransientServiceError,
    UnauthorizedError,
)
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.omnia.query_reader import QueryReader, raw_chunks
from omnia_beam.io.window_reader import MoreAhead, WindowReader
from omnia_beam.transforms.assemble import assemble_chunk
from tests.io.reading import SECOND, AtOnce, Outcome, check, in_a_row, read, reader_of, window_of
from tests.io.scripted_service import FAULTS, SILENT_IN_JSON, ScriptedService, steady

OUTAGE = TransientServiceError("503 in every try", status=503)


@pytest.mark.parametrize("format", ["protobuf", "json"])
@pytest.mark.parametrize("requests", [1, 3])
@pytest.mark.parametrize("threads", [1, 8])
def test_reads_windows_whole_and_in_order(format: str, requests: int, threads: int) -> None:
    windows = in_a_row("ab", 12, requests)
    service = ScriptedService(steady("ab", TimeRange(0, 110 * SECOND), SECOND), format=format)
    with ThreadPoolExecutor(threads) as pool:
        outcomes = read(reader_of(service, pool), windows)
    assert check(outcomes, windows, service) == set()
    assert [outcome.key for outcome in outcomes] == [window.key for window in windows]
    assert all(isinstance(outcome, RawChunk) and outcome.format == format for outcome in outcomes)


def test_a_window_is_cut_into_the_planned_queries() -> None:
    [window] = in_a_row("ab", 1, requests=3)
    service = ScriptedService(steady("ab", TimeRange(0, 10 * SECOND), SECOND))
    [chunk] = read(reader_of(service), [window])
    assert isinstance(chunk, RawChunk)
    assert [page.query for page in chunk.pages] == window.key.range.split(3)
    assert {query for _, query, _ in service.requests} == set(window.key.range.split(3))


@pytest.mark.long
def test_what_is_too_large_is_divided_before_its_pages_are_fetched() -> None:
    # A million points within a second, at the service's own limits, in a window that was planned as one request.
    burst = TimeRange(5 * SECOND, 6 * SECOND)
    points = {"a": [(t, t % 7, 192) for t in range(burst.start_ns, burst.end_ns, 50_000)]}  # 20,000: a hundred pages
    service = ScriptedService(points, limit=200)
    window = window_of("a", 0, 10**12, points=30)
    outcomes = read(reader_of(service, max_points=2_000), [window])
    assert check(outcomes, [window], service) == set()
    assert all(isinstance(each, RawChunk) and assemble_chunk(each).num_points <= 2_000 for each in outcomes)
    assert len(service.requests) < 500
    assert 20_000 // 2_000 <= len(outcomes) < 100


def test_a_divided_window_gives_few_chunks() -> None:
    points = steady("a", TimeRange(0, 1_000 * SECOND), SECOND)
    service = ScriptedService(points, limit=10)
    window = window_of("a", 0, 1_000 * SECOND)
    outcomes = read(reader_of(service, max_points=300), [window])
    assert check(outcomes, [window], service) == set()
    assert len(outcomes) == 4


@pytest.mark.parametrize(
    "error",
    [NotFoundError("404"), TransientServiceError("503"), NotTheServiceError("HTML"), IncompleteReadError("short")],
)
def test_one_bad_window_does_not_stop_the_others(error: OmniaBeamError) -> None:
    windows = [window for n in range(3) for window in in_a_row("axb"[n], 2, requests=2)]
    points = steady("ab", TimeRange(0, 20 * SECOND), SECOND)
    service = ScriptedService(points, errors={"x": error})
    outcomes = read(reader_of(service), windows)
    assert check(outcomes, windows, service) == {2, 3}
    failures = [each for each in outcomes if isinstance(each, WindowFailure)]
    assert [(each.error, each.message) for each in failures] == [(type(error).__name__, str(error))] * 2


def test_the_rest_of_a_failed_window_is_not_asked_for() -> None:
    windows = [window_of("x", 0, 1_000, requests=100), window_of("a", 0, 1_000)]
    service = ScriptedService({}, errors={"x": NotFoundError("404")})
    outcomes = read(reader_of(service, ahead=4), windows)
    assert [type(each) for each in outcomes] == [WindowFailure, RawChunk]
    assert sum(ids == ("x",) for ids, _, _ in service.requests) <= 4


@pytest.mark.parametrize("error", [CredentialError("no token"), UnauthorizedError("401")])
def test_without_a_credential_nothing_goes_on(error: OmniaBeamError) -> None:
    windows = in_a_row("a", 2) + in_a_row("x", 1) + in_a_row("a", 50)
    service = ScriptedService({}, errors={"x": error})
    with pytest.raises(type(error)) as caught:
        read(reader_of(service), windows)
    assert caught.value is error
    assert len(service.requests) < 20


@pytest.mark.parametrize("error", [OUTAGE, NotTheServiceError("a page of the proxy")])
def test_an_outage_ends_the_reading(error: OmniaBeamError) -> None:
    windows = in_a_row("a", 3) + in_a_row("x", 100)
    service = ScriptedService({}, errors={"x": error})
    outcomes: list[Outcome] = []

    def read_all() -> None:
        outcomes.extend(reader_of(service).read(enumerate(windows), lambda _: True))

    with pytest.raises(type(error)):
        read_all()
    assert [type(each) for each in outcomes] == [RawChunk] * 3 + [WindowFailure] * 9


@pytest.mark.parametrize("between", ["a", "y"])
def test_what_the_service_answers_in_between_ends_an_outage(between: str) -> None:
    # `a` is read, `y` is refused: either way the service is up.
    windows = (in_a_row("x", 9) + in_a_row(between, 1)) * 3
    service = ScriptedService({}, errors={"x": OUTAGE, "y": NotFoundError("404")})
    assert len(read(reader_of(service), windows)) == 30


def test_claims_in_order_each_once_before_anything_is_given() -> None:
    windows = in_a_row("ab", 8, requests=2)
    service = ScriptedService(steady("ab", TimeRange(0, 80 * SECOND), SECOND), errors={})
    claimed: list[int] = []

    def claim(index: int) -> bool:
        claimed.append(index)
        return True

    given = 0
    for outcome in reader_of(service, max_points=10).read(enumerate(windows), claim):
        assert windows[claimed[-1]].key.range.covers(outcome.key.range)
        given += 1
    assert claimed == list(range(8))
    assert given == 16  # twenty points a window, ten a chunk


@pytest.mark.parametrize("refused", range(6))
def test_a_refused_claim_ends_the_reading_there(refused: int) -> None:
    windows = in_a_row("a", 6, requests=2)
    service = ScriptedService(steady("a", TimeRange(0, 60 * SECOND), SECOND))
    claimed: list[int] = []

    def claim(index: int) -> bool:
        claimed.append(index)
        return index != refused

    outcomes = read(reader_of(service), windows, claim)
    assert claimed == list(range(refused + 1))
    assert check(outcomes, windows[:refused], service) == set()


@pytest.mark.parametrize(("points", "requests"), [(0, 1), (1, 3)])
def test_nothing_is_asked_for_again_only_where_points_are_expected(points: int, requests: int) -> None:
    service = ScriptedService({}, mentions_empty=False)
    assert len(read(reader_of(service), [window_of("a", 0, 100, points=points)])) == 1
    assert len(service.requests) == requests


def test_a_mistake_of_ours_is_not_taken_for_the_services() -> None:
    def broken(*_: Any) -> bytes:
        raise ZeroDivisionError

    queries = QueryReader(broken, format="protobuf", page_limit=5, max_points=100)
    reader = WindowReader(
        queries, AtOnce(), ahead=2, max_chunk_points=100, assemble=raw_chunks("protobuf"), retry_for_s=1
    )
    with pytest.raises(ZeroDivisionError):
        read(reader, in_a_row("a", 2))


def test_no_windows_no_requests() -> None:
    service = ScriptedService({})
    assert read(reader_of(service), []) == []
    assert service.requests == []


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Window], dict[str, list[tuple[int, int, int]]]]:
    """Windows of a plan over one or two groups, and points for them, some in bursts."""
    groups = draw(st.sampled_from([["a"], ["ab"], ["ab", "c"]]))
    length = draw(st.sampled_from([1, 40, 400])) * 100
    windows = []
    for group in groups:
        for part in TimeRange(0, length).split(draw(st.integers(1, 4))):
            requests, points = draw(st.integers(1, 3)), draw(st.integers(0, 1))
            windows.append(Window(ChunkKey(tuple(group), part), points, requests))
    burst = draw(st.integers(0, length // 100 - 1))
    near = st.integers(burst, burst + 5) | st.integers(0, length // 100 - 1)
    times = st.sets(near.map(lambda tick: tick * 100), max_size=40)
    points_of = {s: [(t, t * 8, 192) for t in sorted(draw(times))] for s in "abc"}
    return windows, points_of


@settings(max_examples=settings.default.max_examples * 2)
@given(
    plans(),
    st.builds(
        dict,
        format=st.sampled_from(["protobuf", "protobuf", "json"]),
        limit=st.integers(1, 9),
        per_answer=st.booleans(),
        end_inclusive=st.booleans(),
        tick_ns=st.sampled_from([1, 100]),
        mentions_empty=st.booleans(),
        script=st.lists(st.none() | st.sampled_from([f for f in FAULTS if f != "empty body"]), max_size=40),
        ever_after=st.sampled_from([None, None, None, *(f for f in FAULTS if f != "empty body")]),
    ),
    st.integers(1, 6),
    st.integers(3, 60),
)
def test_each_window_is_exact_or_a_failure(
    plan: tuple[list[Window], Any], service_of: dict[str, Any], ahead: int, max_points: int
) -> None:
    windows, points = plan
    service = ScriptedService(points, **service_of, most_requests=5_000)
    if service.format == "json":
        service.script = [None if fault in SILENT_IN_JSON else fault for fault in service.script]
        service.ever_after = None if service.ever_after in SILENT_IN_JSON else service.ever_after
    outcomes = read(reader_of(service, ahead=ahead, max_points=max_points), windows)  # too few for an outage
    failed = check(outcomes, windows, service)
    assert not failed or service.struck


@pytest.mark.parametrize(
    ("wanted", "points", "begun"), [(True, 100, 12), (False, 100, 4), (True, 10, 4), (True, 16, 7)]
)
def test_windows_behind_one_that_waits_are_read_as_far_as_memory_allows(wanted: bool, points: int, begun: int) -> None:
    """The first window waits, as for a Retry-After, until no further one is begun for a while."""
    windows = [window_of("a", n * 10 * SECOND, (n + 1) * 10 * SECOND, points=2) for n in range(30)]
    service = ScriptedService(steady("a", TimeRange(0, 300 * SECOND), 5 * SECOND))
    asked: set[int] = set()
    at_rest = threading.Event()

    def fetch(series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        if query.start_ns == 0:
            while not at_rest.wait(0.6):
                if len(asked) >= begun:
                    at_rest.set()
        elif not at_rest.is_set():
            asked.add(query.start_ns)
        return service.fetch(series_ids, query, token)

    queries = QueryReader(fetch, format="protobuf", page_limit=10, max_points=1_000)
    with ThreadPoolExecutor(32) as pool:
        reader = WindowReader(
            queries,
            pool,
            ahead=5,
            max_chunk_points=1_000,
            assemble=raw_chunks("protobuf"),
            retry_for_s=30,
            more_ahead=MoreAhead(13, points, lambda: wanted),
        )
        outcomes = read(reader, windows)
    assert check(outcomes, windows, service) == set()
    assert len(asked) == begun
