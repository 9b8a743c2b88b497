"""The progress board: nothing is lost between threads, and the first error of ours is kept."""

from __future__ import annotations

import threading

import pytest

from omnia_beam.beam.progress import ProgressBoard
from omnia_beam.core.errors import DestinationError, IncompleteReadError, OmniaBeamError


def test_counts_from_many_threads_add_up() -> None:
    board = ProgressBoard()

    def count() -> None:
        for _ in range(1_000):
            board.add(windows_read=1, points_written=3)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert board.snapshot() == {"windows_read": 8_000, "points_written": 24_000}


def test_a_snapshot_is_not_changed_afterwards() -> None:
    board = ProgressBoard()
    board.add(windows_read=1)
    before = board.snapshot()
    board.add(windows_read=1)
    assert before == {"windows_read": 1}


def fail(board: ProgressBoard, error: BaseException) -> None:
    with board.noting_fatal():
        raise error


def test_keeps_the_first_error_of_ours_and_lets_it_go_on() -> None:
    board = ProgressBoard()
    first, second = IncompleteReadError("first"), DestinationError("second")
    for error in (first, second):
        with pytest.raises(OmniaBeamError) as caught:
            fail(board, error)
        assert caught.value is error
    assert board.fatal is first


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_takes_no_notice_of_others(error: BaseException) -> None:
    board = ProgressBoard()
    with pytest.raises(type(error)):
        fail(board, error)
    assert board.fatal is None


def test_reset_forgets_all() -> None:
    board = ProgressBoard()
    board.add(windows_read=1)
    with pytest.raises(DestinationError):
        fail(board, DestinationError("full"))
    board.reset()
    assert (board.snapshot(), board.fatal) == ({}, None)
