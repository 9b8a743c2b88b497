"""One rule of completeness: client and pipeline accept and refuse the same pages, and read the same points from them.

The pages are any mix of points, repeats, lost and repeated pages, totals that are short, grown or absent; the oracle states the
rule by brute force, over dicts and lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.errors import IncompleteReadError, OmniaBeamError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.omnia.query_reader import QueryReader, QueryResult
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.api.series_query import SeriesQuery
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.transforms.assemble import assemble_chunk
from tests.io.scripted_service import Row, bits_of, held, json_page, protobuf_page

TICK = 100
WANTED = TimeRange(0, 10 * TICK)
PROTO, JSON = "application/protobuf", "application/json"

Item = tuple[str, list[Row], int]
ScriptPage = tuple[list[Item], str | None]
"""Items (series, rows, total) and the token for the next page."""

Points = dict[str, list[Row]]

rows = st.lists(
    st.tuples(st.sampled_from([*range(0, 11 * TICK, TICK), -TICK, 30 * TICK]), st.just(bits_of(1.0)), st.just(192)),
    max_size=4,
)
items = st.tuples(st.sampled_from("abzaabb"), rows, st.integers(0, 8))


@st.composite
def rude(draw: st.DrawFn) -> list[ScriptPage]:
    """Pages without any sense: most are to be refused."""
    tokens = st.sampled_from(["t", "u", "v"])
    return [*draw(st.lists(st.tuples(st.lists(items, max_size=3), tokens), max_size=4)), (draw(st.lists(items)), None)]


@st.composite
def spoiled(draw: st.DrawFn) -> list[ScriptPage]:
    """Pages of a good service, of which a few are struck: most are to be accepted, or differ by little from those."""
    has_totals = draw(st.booleans())
    data = {s: draw(st.lists(st.integers(0, 10), unique=True, max_size=10)) for s in "ab"}
    if draw(st.booleans()):
        data = {s: sorted(times) for s, times in data.items()}
    size = draw(st.integers(1, 6))
    count = max(1, *(-(-len(times) // size) for times in data.values()))
    pages: list[ScriptPage] = []
    for n in range(count):
        page: list[Item] = []
        for s, times in data.items():
            here = [(t * TICK, bits_of(float(t)), 192) for t in times[n * size : (n + 1) * size]]
            if here or (n == 0 and has_totals):
                page.append((s, here, len(times) if has_totals else 0))
        pages.append((page, f"t{n}" if n < count - 1 else None))
    for _ in range(draw(st.integers(0, 2))):
        pages = draw(struck(pages))
    return pages


@st.composite
def struck(draw: st.DrawFn, pages: list[ScriptPage]) -> list[ScriptPage]:
    n = draw(st.integers(0, len(pages) - 1))
    page, token = pages[n]
    kind = draw(
        st.sampled_from(["again", "new token", "at the end", "lost", "short", "grown", "doubled", "other", "empty"])
    )
    if kind in ("again", "new token", "empty"):
        repeated = ([] if kind == "empty" else page, token if kind == "again" else f"new{len(pages)}")
        return [*pages[: n + 1], *[repeated] * draw(st.sampled_from([1, 2, 5, 6])), *pages[n + 1 :]] if token else pages
    if kind == "at the end":
        return [*pages[:-1], (pages[-1][0], "more"), (page, None)]
    if kind == "lost":
        return [*pages[:n], *pages[n + 1 :]] if token else pages
    if kind in ("short", "grown"):
        more = 1 if kind == "grown" else -1
        page = [(s, found, max(0, total + more)) for s, found, total in page]
    if kind == "doubled":
        page = page * 2
    if kind == "other":
        page = [
            (s, [(t, bits_of(9.5) if i == 0 else v, q) for i, (t, v, q) in enumerate(found)], c) for s, found, c in page
        ]
    return [*pages[:n], (page, token), *pages[n + 1 :]]


def a(*times: int, total: int = 0) -> Item:
    """Points of series a at these times."""
    return "a", [(t, bits_of(1.0), 192) for t in times], total


def oracle(pages: Sequence[ScriptPage], wanted: TimeRange, format: str) -> Points | None:
    """The points that these pages hold, by the rule in the words of `core/completeness.py`; None where they are refused."""
    read: list[ScriptPage] = []
    repeats = 0
    for page in pages:
        if read and same(page, read[-1], format):
            repeats += 1
            if repeats > 5:
                return None
            continue
        repeats = 0
        has_points = any(found for _, found, _ in page[0])
        if has_points and any(same((page[0], None), (before[0], None), format) for before in read):
            return None
        read.append(page)
        if page[1] is None:
            break
    else:
        return None  # the service goes on repeating its last page
    found: Points = {"a": [], "b": []}
    totals: dict[str, int] = {}
    for page, _ in read:
        for series_id, points, total in page:
            if series_id not in found or any(not wanted.start_ns <= t <= wanted.end_ns for t, _, _ in points):
                return None
            found[series_id] += points
            if format == "protobuf" and (total or not points):
                totals.setdefault(series_id, total)
    for series_id, points in found.items():
        different = sorted(set(points))
        if len({t for t, _, _ in different}) < len(different):
            return None
        if series_id in totals and not totals[series_id] == len(points) == len(different):
            return None
        found[series_id] = [row for row in different if row[0] in wanted]
    return found


def same(one: ScriptPage, other: ScriptPage, format: str) -> bool:
    return encoded(one, format) == encoded(other, format)


def encoded(page: ScriptPage, format: str) -> bytes:
    return json_page(*page) if format == "json" else protobuf_page(*page)


def by_pipeline(bodies: Sequence[bytes], format: Any) -> Points | None:
    """What one try of the reader, and the decoding, make of the pages; whether it would try again is not asked."""
    rest = iter(bodies)
    last = bodies[-1]
    tries = 0

    def fetch(_: object, __: object, token: str | None) -> bytes:
        nonlocal tries
        tries += token is None
        if tries > 1:
            raise AbandonedError
        return next(rest, last)

    reader = QueryReader(fetch, format=format, page_limit=10**5, max_points=10**6)
    try:
        result = reader.read(("a", "b"), WANTED, points_expected=False)
        assert isinstance(result, QueryResult)
        return held(assemble_chunk(RawChunk(ChunkKey(("a", "b"), WANTED), result.pages, format)))
    except (AbandonedError, OmniaBeamError):
        return None


class AbandonedError(Exception):
    """The reader starts over."""


class TestPages:
    """A scripted service for all examples of a property: a socket each would take long."""

    @pytest.fixture
    def clients(self, service: Any) -> Iterator[dict[str, OmniaClient]]:
        made: dict[str, OmniaClient] = {}
        for format in ("protobuf", "json"):
            settings: dict[str, Any] = {"requests_per_second": None, "environ": {}, "retry": RetryPolicy(2, 10, 0)}
            made[format] = OmniaClient(service.url, format=format, **settings)  # type: ignore[arg-type]  # a test's str
        yield made
        for each in made.values():
            each.close()

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(pages=st.one_of(rude(), spoiled()), format=st.sampled_from(["protobuf", "json"]))
    @example([([a(0, total=1)], "t"), ([a(100, total=2)], None)], "protobuf")  # grown: the first total is the one
    @example([([a(0, total=2)], "t"), ([a(100, total=3)], None)], "protobuf")
    @example([([a(1000, 1000, total=2)], None)], "protobuf")  # a repeat at the end of the range, which is cut off
    @example([([a(0, total=1)] * 2, None)], "protobuf")  # one point, as counted, but sent twice
    @example([([a()], "t"), ([a(0)], None)], "protobuf")  # a count of nothing
    @example([([a(0)], "t"), ([a(0)], "t"), ([a(100)], None)], "json")  # the page before in place of the next
    @example([([a(0)], "t"), ([a(0)], None)], "json")  # and as the last
    @example([([a(0, 200)], "t"), ([a(100, 200)], None)], "json")  # across each other, with a repeat
    @example([([a(0), ("a", [(0, bits_of(2.0), 192)], 0)], None)], "json")  # two points of one time
    @example([([], "t"), ([a()], "u"), ([a()], "v"), ([a(0)], None)], "protobuf")  # nothing, repeatedly
    def test_client_and_pipeline_judge_alike(
        self, service: Any, clients: dict[str, OmniaClient], pages: list[ScriptPage], format: str
    ) -> None:
        expected = oracle(pages, WANTED, format)
        bodies = [encoded(page, format) for page in pages]
        assert by_pipeline(bodies, format) == expected
        assert self.by_client(service, clients[format], bodies, format) == expected
        in_pieces = self.by_client(service, clients[format], bodies, format, in_pieces=True)
        if in_pieces is not None:
            in_pieces = {series_id: sorted(found) for series_id, found in in_pieces.items()}
        assert in_pieces in (expected, None)
        if expected is not None and ascending(pages):
            assert in_pieces == expected

    @staticmethod
    def by_client(
        service: Any, client: OmniaClient, bodies: Sequence[bytes], format: str, *, in_pieces: bool = False
    ) -> Points | None:
        service.requests.clear()
        service.script = [service.response(200, body, PROTO if format == "protobuf" else JSON) for body in bodies]
        queries = [SeriesQuery(id=s, start_time=WANTED.start_ns, end_time=WANTED.end_ns) for s in "ab"]
        found: Points = {"a": [], "b": []}
        try:
            if in_pieces:
                pieces = list(client.iter_multi_datapoints(queries))
            else:
                pieces = list(client.get_multi_datapoints(queries).values())
        except IncompleteReadError:
            return None
        for piece in pieces:
            found[piece.series_id] += [(p.time, bits_of(p.value), p.status) for p in piece]
        return found


def ascending(pages: Sequence[ScriptPage]) -> bool:
    """Whether each series' points ascend strictly over all items, so that nothing lies across anything."""
    for series_id in "ab":
        times = [t for page, _ in pages for s, found, _ in page if s == series_id for t, _, _ in found]
        if times != sorted(set(times)):
            return False
    return True
