"""The room that all bodies share: never more than its bound and one body, and never a standstill."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from omnia_beam.net.http.body import MAX_BODY_BYTES, most_page_bytes
from omnia_beam.net.http.body_room import BodyRoom


def test_many_bodies_at_once_stay_within_the_bound_and_one_body() -> None:
    room, lock, most = BodyRoom(100), threading.Lock(), 0

    def read(_: int) -> None:
        nonlocal most
        with room.share() as share:
            for _piece in range(30):  # each body is 60, so that two do not fit
                share.take(2)
                with lock:
                    most = max(most, room.used)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(read, range(60)))
    assert room.used == 0
    assert 60 <= most <= 100 + 60


def test_room_is_given_back_after_an_error() -> None:
    room = BodyRoom(10)

    def read() -> None:
        with room.share() as share:
            share.take(10)
            raise KeyError

    with pytest.raises(KeyError):
        read()
    assert room.used == 0


def test_a_body_that_is_given_up_does_not_wait() -> None:
    room = BodyRoom(10)
    with room.share() as first, room.share() as second:
        first.take(20)
        second.take(5, lambda: True)
        assert (first.taken, second.taken) == (20, 0)


@pytest.mark.parametrize(
    ("series", "page_limit", "most"),
    [(1, 500, 16 << 20), (1, 100_000, 16 << 20), (50, 10_000, 40_000_000), (100, 100_000, MAX_BODY_BYTES)],
)
def test_a_page_has_a_largest_size(series: int, page_limit: int, most: int) -> None:
    assert most_page_bytes(series, page_limit, 40) == most
