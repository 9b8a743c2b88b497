"""A few sequences of `tests.soak.world`, two of each pair; `make soak-world` plays thousands."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.moving_world import World, WorldError
from tests.soak.world import PAIRS, play_one
from tests.soak.world_places import emptied_emulator, stop_emulator


@pytest.fixture(scope="module", autouse=True)
def emulator() -> Iterator[None]:
    """One for all worlds."""
    emptied_emulator()
    yield
    stop_emulator()


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("pair", PAIRS)
def test_nothing_false_is_said(pair: str, number: int) -> None:
    assert len(play_one(seed=1, number=number, steps=3, pair=pair)) == 3


@pytest.mark.parametrize("pair", PAIRS[1:])  # the first one reads everything again anyway
def test_a_run_that_does_not_look_is_caught(tmp_path: Path, pair: str) -> None:
    world = World(pair, random.Random(1), tmp_path)
    try:
        world.settle("the start")
        world.target.reset()
        world.options = {"destination_check": "off"}
        with pytest.raises(WorldError, match="are missing or wrong"):
            world.settle("a loss")
    finally:
        world.close()


def test_a_copy_that_nobody_tells_of_is_caught(tmp_path: Path) -> None:
    world = World("csv-parquet", random.Random(1), tmp_path)
    world.settle("the start")
    world.target.copy(world.draw)
    world.options = {"destination_check": "off"}
    with pytest.raises(WorldError, match="without a word"):
        world.settle("a copy")
