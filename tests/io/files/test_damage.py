"""Damaged source files, a few of each form: read exactly, or refused by name. `make fuzz-files` tries thousands."""

from __future__ import annotations

import random

import pytest

from tests.soak.damage import judge
from tests.soak.damaged_forms import FORMS, damage, make_text, read_text, same_rows


@pytest.mark.parametrize("name", FORMS)
def test_damaged_files_are_read_exactly_or_refused(name: str) -> None:
    verdict = judge(FORMS[name], cases=60, seed=3)
    assert verdict.wrong == []
    assert verdict.exact + verdict.refused == 60
    assert verdict.refused > 0
    assert verdict.peak_bytes < 512 << 20


def test_the_judge_sees_a_point_that_differs() -> None:
    rng = random.Random(1)
    text = make_text(rng)
    rows = read_text(text)
    assert rows
    other = dict(rows)
    key = next(iter(other))
    other[key] = (other[key][0], 24)
    assert same_rows(rows, dict(rows))
    assert not same_rows(rows, other)
    assert not same_rows(rows, {name: rows[name] for name in list(rows)[1:]})
    assert {damage(text, rng, text)[0] for _ in range(200)} == {"flip", "cut", "zero", "repeat", "join"}
