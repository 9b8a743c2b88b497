"""Resuming by hand: the sequences of events that need care, one by one, without a service or a runner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from omnia_beam.pipelines.context import RunContext
from tests.pipelines.hand_run import Ask, HandRun


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
