"""The writer without Beam: what goes into a request, and what becomes of the chunks of a request that fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import BadRequestError, TransientServiceError
from omnia_beam.io.omnia_writer import OmniaWriter
from omnia_beam.io.pending_chunk import WrittenChunk
from omnia_beam.io.write_group import Group, size
from omnia_beam.io.write_memory import WriteMemory
from omnia_beam.io.write_policy import WriteOptions
from tests.io.written_chunks import SECOND, START, chunk_of


def written_by(writer: OmniaWriter, chunks: list[Chunk]) -> list[WrittenChunk]:
    found: list[WrittenChunk] = []
    for chunk in chunks:
        writer.put(chunk, chunk.key)
        found.extend(writer.taken())
    return [*found, *writer.drained()]


def test_a_request_names_at_most_a_hundred_series() -> None:
    groups: list[Group] = []
    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(
            groups.append, pool=pool, threads=1, options=WriteOptions(), memory=WriteMemory(), sink="s"
        )
        chunks = [chunk_of({f"{i:04}": f"{i:04}" for i in range(at, at + 70)}, 0, points=2) for at in range(0, 350, 70)]
        assert len(written_by(writer, chunks)) == 5
    assert [len(group) for group in groups] == [100, 100, 100, 50]
    assert {size(group) for group in groups} == {200, 100}


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
            threads=1,
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
        writer = OmniaWriter(send, pool=pool, threads=1, options=WriteOptions(), memory=WriteMemory(), sink="s")
        with pytest.raises(ZeroDivisionError):
            written_by(writer, [chunk_of({"a": "a"}, 0)])


def test_no_refusal_is_taken_for_another_chunk_s() -> None:
    """Two chunks of one series in one request: each gets its own letters."""

    def send(group: Group) -> None:
        if any(START + 45 * SECOND in run.selected.times for run in group):
            raise BadRequestError("POST /data: 400 no", method="POST", path="/data", status=400)

    with ThreadPoolExecutor(1) as pool:
        writer = OmniaWriter(send, pool=pool, threads=1, options=WriteOptions(), memory=WriteMemory(), sink="s")
        found = {
            each.ticket.range.start_ns: each
            for each in written_by(writer, [chunk_of({"a": "x"}, 1), chunk_of({"a": "x"}, 0)])
        }
    assert found[START].dead_letters == ()
    [letter] = found[START + 40 * SECOND].dead_letters
    assert letter.points.times.tolist() == [START + 45 * SECOND]
