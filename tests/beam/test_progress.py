"""The progress board: nothing is lost between threads, and the first error of ours is kept."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace

import pytest
from apache_beam.internal import pickler

from omnia_beam.beam.progress import RunBoard, board_of, put_board
from omnia_beam.core.errors import DestinationError, IncompleteReadError, OmniaBeamError


def test_counts_from_many_threads_add_up() -> None:
    board = RunBoard()

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
    board = RunBoard()
    board.add(windows_read=1)
    before = board.snapshot()
    board.add(windows_read=1)
    assert before == {"windows_read": 1}


def fail(board: RunBoard, error: BaseException) -> None:
    with board.noting_fatal():
        raise error


def test_keeps_the_first_error_of_ours_and_lets_it_go_on() -> None:
    board = RunBoard()
    first, second = IncompleteReadError("first"), DestinationError("second")
    for error in (first, second):
        with pytest.raises(OmniaBeamError) as caught:
            fail(board, error)
        assert caught.value is error
    assert board.fatal is first


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_takes_no_notice_of_others(error: BaseException) -> None:
    board = RunBoard()
    with pytest.raises(type(error)):
        fail(board, error)
    assert board.fatal is None


def test_a_new_pipeline_of_the_run_begins_from_nothing() -> None:
    board = RunBoard()
    board.add(windows_read=1)
    with pytest.raises(DestinationError):
        fail(board, DestinationError("full"))
    board.stop.set()
    board.begin()
    assert (board.snapshot(), board.fatal, board.stop.is_set()) == ({}, None, False)


def test_a_board_is_found_again_by_what_is_pickled() -> None:
    one, other = RunBoard(), RunBoard()
    for dumps, loads in ((pickle.dumps, pickle.loads), (pickler.dumps, pickler.loads)):
        assert loads(dumps([one, one, other])) == [one, one, other]


def test_another_process_has_a_board_of_its_own_for_the_same_run() -> None:
    board = RunBoard()
    board.add(windows_read=3)
    code = (
        "import pickle, sys; text = sys.stdin.buffer.read(); one, other = pickle.loads(text), pickle.loads(text);"
        "print(one is other, one.id, one.snapshot())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(board), capture_output=True, check=True)
    assert done.stdout.decode().split(maxsplit=2) == ["True", board.id, "{}\n"]


def test_a_board_goes_with_the_last_that_holds_it() -> None:
    board = RunBoard()
    data, run_id, held = pickle.dumps(board), board.id, weakref.ref(board)
    del board
    gc.collect()
    assert held() is None
    assert pickle.loads(data).id == run_id


def test_threads_that_find_a_board_at_the_same_time_find_one() -> None:
    data, start, found = pickle.dumps(RunBoard()), threading.Barrier(8), []

    def find() -> None:
        start.wait()
        found.append(pickle.loads(data))

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


class Pipeline:
    """All that boards need of a pipeline."""


def test_a_pipeline_without_a_run_has_a_board_of_its_own() -> None:
    one, other, ours = (SimpleNamespace(pipeline=Pipeline()) for _ in range(3))
    board = RunBoard()
    put_board(ours.pipeline, board)
    assert board_of(ours) is board
    assert board_of(one) is board_of(one)
    assert len({board_of(each) for each in (one, other, ours)}) == 3
