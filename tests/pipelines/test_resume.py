"""Resuming by hand: the sequences of events that need care, one by one, without a service or a runner."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import DestinationError
from tests.pipelines.hand_run import HOUR, Ask, HandRun, at


@pytest.fixture
def hand(context: RunContext) -> Iterator[HandRun]:
    run = HandRun(context)
    yield run
    run.close()


def fill(hand: HandRun, hours: range, value: float = 1.0) -> None:
    hand.source.update({("a", hour): (value, 192) for hour in hours})


def is_exact(hand: HandRun) -> bool:
    return hand.stored() == {cell: [content] for cell, content in hand.source.items()}


def complete(hand: HandRun, ask: Ask) -> None:
    summary = hand.run(ask)
    assert summary is not None
    assert summary.status == "complete"


def files(hand: HandRun) -> set[str]:
    return {path.name for path in (hand.root / "out").rglob("*.parquet")}


@pytest.mark.long
def test_a_window_that_was_half_replaced_by_its_parts_and_then_shrinks_has_no_point_twice(hand: HandRun) -> None:
    ask = Ask(("a",), 0, 12, refresh=12)
    reached = 0
    for die_at in range(400):
        hand.clear()
        fill(hand, range(0, 12, 4))
        complete(hand, ask)
        whole = files(hand)
        assert len(whole) == 1
        fill(hand, range(12))  # late data: the window comes in three parts now
        if hand.run(replace(ask, die_at=die_at)) is not None:
            break
        parts = len(files(hand) - whole)
        hand.source.clear()  # and what was late goes away again, so that the next run may read the window in one
        fill(hand, range(0, 12, 4))
        complete(hand, ask)
        assert is_exact(hand), f"killed at step {die_at}, with {parts} parts in place"
        reached = max(reached, parts)
    assert reached == 3


def test_a_new_state_deletes_nothing_of_an_old_job(hand: HandRun) -> None:
    fill(hand, range(12))
    complete(hand, Ask(("a",), 0, 12))
    before = files(hand)
    shutil.rmtree(hand.root / "state")
    with pytest.raises(
        DestinationError, match=r"holds 4 files of the job 'model', .* is new and has no record of them"
    ):
        hand.run(Ask(("a",), 8, 12))
    assert files(hand) == before


def test_where_the_ledger_lost_a_file_what_is_not_read_again_is_kept(hand: HandRun) -> None:
    fill(hand, range(12))
    complete(hand, Ask(("a",), 0, 12))
    for segment in (hand.root / "state").rglob("segment-*"):
        segment.unlink()
    complete(hand, Ask(("a",), 6, 12))
    assert is_exact(hand)
    complete(hand, Ask(("a",), 0, 12))
    assert is_exact(hand)


@pytest.mark.long
def test_what_was_replaced_is_deleted_whatever_time_the_next_run_is_about(hand: HandRun) -> None:
    ask = Ask(("a",), 0, 12, refresh=12)
    for die_at in range(400):
        hand.clear()
        fill(hand, range(0, 12, 4))
        complete(hand, ask)
        whole = files(hand)
        fill(hand, range(12))
        ended = hand.run(replace(ask, die_at=die_at)) is not None
        if len(files(hand) - whole) == 3 and not ended:
            complete(hand, replace(ask, end=1))  # if receipts are missing, the window is read again whole
            assert is_exact(hand)
            complete(hand, replace(ask, start=100, end=112))
            assert is_exact(hand)
        if ended:
            return


def test_jobs_that_share_a_place_do_not_touch_each_others_files(hand: HandRun) -> None:
    fill(hand, range(4))
    complete(hand, Ask(("a",), 0, 4))
    folder = hand.root / "out/year=2024/month=01"
    name = "other-1234abcd-20240101T000000Z-20240101T040000Z-0123456789abcdef.parquet"
    own = next(iter(files(hand)))
    for each in (f".omnia-beam-0a1b-{name}.part", name, f"{own.partition('-2024')[0]}-notes.parquet"):
        (folder / each).write_bytes(b"somebody's")
    (folder / f".omnia-beam-0a1b-{own}.part").write_bytes(b"half")
    (hand.root / "out" / f".omnia-beam-0a1b-{own.partition('-2024')[0]}-probe.part").write_bytes(b"")
    complete(hand, Ask(("a",), 0, 4))
    assert hand.temporaries() == [f".omnia-beam-0a1b-{name}.part"]
    assert name in files(hand)
    assert f"{own.partition('-2024')[0]}-notes.parquet" in files(hand)
    assert len(files(hand)) == 4


def test_points_that_came_after_a_clock_had_run_ahead_are_read(hand: HandRun) -> None:
    fill(hand, range(6))
    hand.now_ns = at(1000)
    complete(hand, Ask(("a",), 0, 12))  # says that it was read long after its end
    hand.now_ns = at(8)
    fill(hand, range(8))
    complete(hand, Ask(("a",), 0, 8))
    assert is_exact(hand)
    hand.now_ns = at(13)
    fill(hand, range(13))
    complete(hand, Ask(("a",), 0, 13))
    assert is_exact(hand)
    read = len(hand.read)
    complete(hand, Ask(("a",), 0, 13))
    assert read
    assert not hand.read


def test_a_clock_that_runs_backwards_during_a_run_costs_work_and_no_points(hand: HandRun) -> None:
    fill(hand, range(12))
    hand.now_ns = at(1000)
    complete(hand, Ask(("a",), 0, 12))
    fill(hand, range(12), value=2.0)
    hand.tick_ns = -HOUR
    summary = hand.run(Ask(("a",), 0, 12, refresh=12))
    assert summary is not None
    assert summary.status == "incomplete"  # by their times, the receipts came before the announcements
    hand.tick_ns = 1
    complete(hand, Ask(("a",), 0, 12))
    assert is_exact(hand)


def test_a_refresh_that_is_stopped_each_time_still_reaches_every_window(hand: HandRun) -> None:
    fill(hand, range(24))
    complete(hand, Ask(("a",), 0, 24, chunk=4))
    fill(hand, range(24), value=2.0)
    ask = Ask(("a",), 0, 24, chunk=4, refresh=24, stop_after=5)
    reached: set[object] = set()
    for _ in range(3):  # of 8 windows or so
        summary = hand.run(ask)
        assert summary is not None
        assert summary.status == "incomplete"
        reached.update(window.key for window in hand.read)
    assert is_exact(hand), "what the stops left out was never reached"


def test_announcing_takes_a_flush_for_many_windows(hand: HandRun) -> None:
    fill(hand, range(40))
    complete(hand, Ask(("a",), 0, 40))
    steps = []
    for hours in (4, 40):
        hand.run(Ask(("a",), 0, 40, refresh=hours, stop_after=0))
        steps.append(hand.mortality.steps)
        complete(hand, Ask(("a",), 0, 40))
    assert steps[0] == steps[1]
