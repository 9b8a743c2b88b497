"""The writer without Beam: what goes into a request, and what becomes of the chunks of a request that fails."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import BadRequestError, TransientServiceError
from omnia_beam.io.omnia.delivery import WriteMemory
from omnia_beam.io.omnia.group import Group, columns, size
from omnia_beam.io.omnia.pending_chunk import WrittenChunk
from omnia_beam.io.omnia.policy import WriteOptions
from omnia_beam.io.omnia.writer import OmniaWriter, more_ahead, send_group
from omnia_beam.io.window_reader import MoreAhead
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.wire import encode_datapoints
from tests.io.omnia.written_chunks import SECOND, START, chunk_of
from tests.net.conftest import Request, ScriptedService


def written_by(writer: OmniaWriter, chunks: list[Chunk]) -> list[WrittenChunk]:
    found: list[WrittenChunk] = []
    for chunk in chunks:
        writer.put(chunk, chunk.key)
        found.extend(writer.taken())
    return [*found, *writer.drained()]


def test_a_request_names_at_most_a_hundred_series() -> None:
    groups: list[Group] = []
    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(groups.append, pool=pool, ahead=2, options=WriteOptions(), memory=WriteMemory(), sink="s")
        chunks = [chunk_of({f"{i:04}": f"{i:04}" for i in range(at, at + 70)}, 0, points=2) for at in range(0, 350, 70)]
        assert len(written_by(writer, chunks)) == 5
    assert [len(group) for group in groups] == [100, 100, 100, 50]
    assert {size(group) for group in groups} == {200, 100}


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), max_size=3),
    st.integers(4, 500),
    st.integers(250, 9_000),
)
def test_no_body_is_larger_than_either_limit(drawn: list[tuple[int, int]], batch_points: int, batch_bytes: int) -> None:
    groups: list[Group] = []
    options = WriteOptions(batch_points=batch_points, batch_bytes=batch_bytes)
    chunks = [
        chunk_of({f"{i:036}": f"{i:036}" for i in range(ids)}, w, points) for w, (ids, points) in enumerate(drawn)
    ]
    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(groups.append, pool=pool, ahead=2, options=options, memory=WriteMemory(), sink="s")
        assert len(written_by(writer, chunks)) == len(chunks)
    assert sum(map(size, groups)) == sum(chunk.num_points for chunk in chunks)
    assert all(size(group) <= batch_points for group in groups)
    assert all(len(encode_datapoints(columns(group))) <= batch_bytes for group in groups)


def test_what_a_failed_chunk_still_has_is_not_sent() -> None:
    sent: list[int] = []

    def send(group: Group) -> None:
        sent.append(size(group))
        if len(sent) == 1:
            raise TransientServiceError("503", status=503)

    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(
            send,
            pool=pool,
            ahead=2,
            options=WriteOptions(batch_points=10),
            memory=WriteMemory(),
            sink="s",
            give_up_chunks=True,
        )
        [first, second] = written_by(writer, [chunk_of({"a": "a"}, 0, points=95), chunk_of({"b": "b"}, 1, points=5)])
    assert (first.receipt, first.failure and first.failure.message, first.dead_letters) == (None, "503", ())
    assert second.receipt is not None
    assert sent == [10, 5]


def test_an_error_that_is_not_ours_comes_through() -> None:
    def send(group: Group) -> None:
        raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(send, pool=pool, ahead=2, options=WriteOptions(), memory=WriteMemory(), sink="s")
        with pytest.raises(ZeroDivisionError):
            written_by(writer, [chunk_of({"a": "a"}, 0)])


def test_no_refusal_is_taken_for_another_chunk_s() -> None:
    """Two chunks of one series in one request: each gets its own letters."""

    def send(group: Group) -> None:
        if any(START + 45 * SECOND in run.selected.times for run in group):
            raise BadRequestError("POST /data: 400 no", method="POST", path="/data", status=400)

    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(send, pool=pool, ahead=2, options=WriteOptions(), memory=WriteMemory(), sink="s")
        found = {
            each.ticket.range.start_ns: each
            for each in written_by(writer, [chunk_of({"a": "x"}, 1), chunk_of({"a": "x"}, 0)])
        }
    assert found[START].dead_letters == ()
    [letter] = found[START + 40 * SECOND].dead_letters
    assert letter.points.times.tolist() == [START + 45 * SECOND]


def test_points_of_a_slow_source_do_not_wait_for_ever() -> None:
    groups: list[Group] = []
    now_s = iter([0, 4, 6, 11, 12])  # when the chunks come
    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(
            groups.append,
            pool=pool,
            ahead=2,
            options=WriteOptions(),
            memory=WriteMemory(),
            sink="s",
            clock_ns=lambda: next(now_s) * SECOND,
        )
        assert len(written_by(writer, [chunk_of({"a": "a"}, window, points=7) for window in range(5)])) == 5
    assert [size(group) for group in groups] == [14, 14, 7]


@pytest.fixture
def refusing() -> Iterator[ScriptedService]:
    made = ScriptedService()
    yield made
    made.close()


def test_a_batch_that_waits_for_the_service_holds_no_place_of_those_in_flight(refusing: ScriptedService) -> None:
    """The first batches, as many as are usually under way, wait until all the others have been taken."""
    batches, in_flight, refused = 12, 2, 4
    others_are_there, lock = threading.Event(), threading.Lock()
    inside = most = taken = 0

    def response(connection: socket.socket, request: Request) -> bool:
        nonlocal inside, most, taken
        with lock:
            inside += 1
            most = max(most, inside)
        others_are_there.wait(0.02)
        with lock:
            # Before the answer: the client may send the next one at once.
            inside -= 1
            taken += 1
            if taken == batches - refused:
                others_are_there.set()
        connection.sendall(refusing.response(200, b'{"statusCode": 200}'))
        return True

    refusing.script = [refusing.response(429, Retry_After="1")] * refused + [response]
    settings = ServiceSettings(refusing.url, requests_per_second=None, max_in_flight=in_flight)
    waited: list[bool] = []
    with (
        ServiceSession(settings, sleep=lambda _: waited.append(others_are_there.wait(20))) as session,
        ThreadPoolExecutor(settings.threads) as pool,
    ):
        writer = OmniaWriter(
            partial(send_group, session),
            pool=pool,
            ahead=2 * in_flight,
            more_ahead=more_ahead(session),
            options=WriteOptions(batch_points=10),
            memory=WriteMemory(),
            sink="s",
        )
        found = written_by(writer, [chunk_of({"a": "a"}, 0, points=10 * batches)])
    assert [each.receipt is not None for each in found] == [True]
    assert waited == [True] * refused
    assert most <= in_flight
    bodies = [request.body for request in refusing.requests]
    assert set(bodies[-refused:]) == set(bodies[:refused])


def test_batches_under_way_hold_no_more_points_than_allowed() -> None:
    """However many may be under way while requests wait."""
    go_on, lock = threading.Event(), threading.Lock()
    points: list[int] = []

    def send(group: Group) -> None:
        with lock:
            points.append(size(group))
        go_on.wait(20)

    with ThreadPoolExecutor(8) as pool:
        writer = OmniaWriter(
            send,
            pool=pool,
            ahead=2,
            more_ahead=MoreAhead(8, 50, lambda: True),
            options=WriteOptions(batch_points=10),
            memory=WriteMemory(),
            sink="s",
        )
        putting = threading.Thread(target=writer.put, args=(chunk_of({"a": "a"}, 0, points=95),))
        putting.start()
        deadline = time.monotonic() + 20
        while sum(points) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        putting.join(0.3)  # time to go too far
        under_way = sum(points)
        go_on.set()
        putting.join()
        assert len(list(writer.drained())) == 1
    assert under_way == 50
    assert sum(points) == 95
