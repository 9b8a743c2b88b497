"""How far the reader looks ahead: further where answers have to be waited for, and back again where not."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from omnia_beam.core.chunk import RawChunk, RawPage
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.query_reader import QueryAnswer, QueryReader
from omnia_beam.io.window_reader import WindowReader

LEAST, MOST, WINDOWS = 3, 8, 60


class Late(Future[Any]):
    """An answer that is not there yet when it is asked for, and then is."""

    def done(self) -> bool:
        return False


class Pool:
    """Answers at once; some are `late`."""

    def __init__(self, late: range) -> None:
        self.late = late
        self.submitted = 0

    def submit(self, read: Any, series_ids: Any, query: TimeRange, **_: Any) -> Future[Any]:
        future: Future[Any] = Late() if self.submitted in self.late else Future()
        future.set_result(QueryAnswer((RawPage(query, b"page"),), 1))
        self.submitted += 1
        return future


def looks(late: range) -> list[int]:
    """How many queries were on their way or waiting as each window was handed out, itself included."""
    pool = Pool(late)
    reader = WindowReader(
        QueryReader(lambda *_: b"", format="protobuf", page_limit=1, max_points=1),
        pool,  # type: ignore[arg-type]  # as much of an executor as is used
        ahead=LEAST,
        most_ahead=MOST,
        max_chunk_points=1,
        format="protobuf",
        patience_s=10,
    )
    windows = [(i, Window(ChunkKey(("a",), TimeRange(i, i + 1)), 1, 1)) for i in range(WINDOWS)]
    found = []
    for taken, chunk in enumerate(reader.read(windows, lambda index: True)):
        assert isinstance(chunk, RawChunk)
        found.append(pool.submitted - taken)
    assert len(found) == pool.submitted == WINDOWS
    return found


def test_no_further_than_needed_where_answers_are_there() -> None:
    assert set(looks(range(0))[:-LEAST]) == {LEAST}


def test_further_where_they_are_waited_for_up_to_the_most() -> None:
    found = looks(range(WINDOWS))
    assert found[: MOST - LEAST + 1] == list(range(LEAST, MOST + 1))
    assert max(found) == MOST


@pytest.mark.parametrize("late", [10, 20])
def test_and_back_again(late: int) -> None:
    found = looks(range(late))
    assert max(found) == MOST
    assert found[late + 2 * MOST] == LEAST
