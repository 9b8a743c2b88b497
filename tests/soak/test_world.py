"""A few sequences of `tests.soak.world`, one of each pair; `make soak-world` plays thousands."""

from __future__ import annotations

import pytest

from tests.soak.world import PAIRS, play_one


@pytest.mark.parametrize("pair", PAIRS)
def test_nothing_false_is_said(pair: str) -> None:
    assert len(play_one(seed=1, number=1, steps=4, pair=pair)) == 4
