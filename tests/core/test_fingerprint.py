"""The fingerprint against a slow implementation in plain integers, written from its docstring alone."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.fingerprint import Fingerprint, add_hashes, describe_change, hash_points
from tests.core.strategies import SPECIAL_BITS, as_points, rows

Row = tuple[int, int, int]
WORD = 2**64


def mix(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 % WORD
    x ^= x >> 27
    x = x * 0x94D049BB133111EB % WORD
    return x ^ x >> 31


def slow_hash(made: list[Row]) -> str:
    low = high = 0
    for time, bits, status in made:
        h = mix((mix((mix(time % WORD ^ 0x9E3779B97F4A7C15) + bits) % WORD) + status) % WORD)
        low += h
        high += mix(h ^ 0xD1B54A32D192ED03)
    return f"{high % WORD:016x}{low % WORD:016x}"


def test_the_oracle_mixes_as_splitmix64_does() -> None:
    """The first output of splitmix64 for the seed 1234567, as its reference implementations print it."""
    assert mix((1234567 + 0x9E3779B97F4A7C15) % WORD) == 6457827717110365317


@given(rows(max_size=40))
def test_equals_the_docstring_in_plain_integers(made: list[Row]) -> None:
    assert hash_points(*as_points(made)) == slow_hash(made)


@pytest.mark.parametrize("count", [16_383, 16_384, 16_385, 40_000])
def test_equals_it_across_the_blocks_worked_on(count: int) -> None:
    made = [(i * 10**9, (i * 0x9E3779B97F4A7C15) % WORD, 192) for i in range(count)]
    assert hash_points(*as_points(made)) == slow_hash(made)


def test_is_pinned() -> None:
    """Ledgers of earlier runs hold these texts: a change here makes every copy look different from its source."""
    assert hash_points(*as_points([])) == "0" * 32
    bits = struct.unpack("<Q", struct.pack("<d", 1.5))[0]
    assert hash_points(*as_points([(1_704_067_200_000_000_000, bits, 192)])) == "b7bed8c7943208e413617f8ff8fe4bd4"


@given(rows(max_size=20), st.randoms(use_true_random=False))
def test_order_does_not_matter(made: list[Row], random) -> None:
    assert hash_points(*as_points(random.sample(made, len(made)))) == hash_points(*as_points(made))


@given(rows(max_size=30), st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_disjoint_sets_add_up(made: list[Row], homes: list[int]) -> None:
    parts = [[row for row, home in zip(made, homes, strict=False) if home == part] for part in range(4)]
    assert add_hashes(*(hash_points(*as_points(part)) for part in parts)) == hash_points(*as_points(made))


def test_adding_wraps_each_lane_by_itself() -> None:
    assert add_hashes() == "0" * 32
    assert add_hashes("f" * 32, "0" * 15 + "1" + "0" * 15 + "1") == "0" * 32
    assert add_hashes("0" * 16 + "f" * 16, "0" * 31 + "1") == "0" * 32, "no carry from the low lane to the high one"


@given(rows(max_size=10).filter(bool), st.data())
def test_one_bit_anywhere_changes_both_lanes(made: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(made) - 1))
    column = data.draw(st.integers(0, 2))
    bit = 1 << data.draw(st.integers(0, (63, 63, 31)[column]))
    row = list(made[place])
    row[column] ^= bit
    if column == 0:
        row[0] = (row[0] + WORD // 2) % WORD - WORD // 2
    changed = [*made[:place], tuple(row), *made[place + 1 :]]
    before, after = hash_points(*as_points(made)), hash_points(*as_points(changed))
    assert before[:16] != after[:16]
    assert before[16:] != after[16:]


def test_every_special_double_differs() -> None:
    assert len({hash_points(*as_points([(0, bits, 192)])) for bits in SPECIAL_BITS}) == len(SPECIAL_BITS)


@given(rows(max_size=10), st.integers(0, 9))
def test_a_point_twice_or_not_at_all_is_noticed(made: list[Row], place: int) -> None:
    if made:
        row = made[place % len(made)]
        texts = {hash_points(*as_points(rows)) for rows in (made, [*made, row], [each for each in made if each != row])}
        assert len(texts) == 3


def test_the_columns_are_left_alone() -> None:
    points = as_points([(1, 5, 192), (2, 6, 64)])
    kept = [each.copy() for each in points[:3]]
    for each in points[:3]:
        each.flags.writeable = False
    strided = [np.repeat(each, 2)[::2] for each in points[:3]]
    assert hash_points(*points) == hash_points(*strided)
    assert all((each.view(np.uint8) == copy.view(np.uint8)).all() for each, copy in zip(points[:3], kept, strict=True))


ONE = Fingerprint(3, 10**9, 2 * 10**9, ((0, 1), (192, 2)), "0" * 31 + "1")
MORE = Fingerprint(2, 5 * 10**8, 7 * 10**9, ((64, 1), (192, 1)), "1" + "0" * 31)


def test_disjoint_sets_add_up_whole() -> None:
    both = Fingerprint(5, 5 * 10**8, 7 * 10**9, ((0, 1), (64, 1), (192, 3)), "1" + "0" * 30 + "1")
    assert ONE.plus(MORE) == MORE.plus(ONE) == both
    assert ONE.plus(Fingerprint()) == Fingerprint().plus(ONE) == ONE


@given(rows(max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
def test_the_fingerprint_of_a_set_is_that_of_its_parts_together(made: list[Row], homes: list[bool]) -> None:
    inside = [row for row, home in zip(made, homes, strict=False) if home]
    outside = [row for row, home in zip(made, homes, strict=False) if not home]
    whole = Fingerprint.of(as_points(made))
    assert Fingerprint.of(as_points(inside)).plus(Fingerprint.of(as_points(outside))) == whole
    times = [time for time, _, _ in made]
    assert (whole.count, whole.first_ns, whole.last_ns) == (
        len(made),
        min(times, default=None),
        max(times, default=None),
    )


def test_a_report_holds_every_member() -> None:
    """Pinned: programs read reports."""
    assert ONE.to_json() == {
        "count": 3,
        "first_ns": 10**9,
        "last_ns": 2 * 10**9,
        "statuses": [[0, 1], [192, 2]],
        "content_hash": "0" * 31 + "1",
    }


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"count": 1_002}, "3 points expected, 1,002 found"),
        (
            {"first_ns": None},
            "from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z expected, from nothing to 1970-01-01T00:00:02Z found",
        ),
        (
            {"last_ns": 3 * 10**9},
            "from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z expected, "
            "from 1970-01-01T00:00:01Z to 1970-01-01T00:00:03Z found",
        ),
        ({"statuses": ((192, 3_000),)}, "statuses 0 (1), 192 (2) expected, 192 (3,000) found"),
        ({"content_hash": "f" * 32}, f"3 points, fingerprint {'0' * 31}1 expected, {'f' * 32} found"),
    ],
)
def test_a_change_is_described_by_the_first_thing_that_differs(changed: dict[str, Any], words: str) -> None:
    assert describe_change(ONE, replace(ONE, **changed)) == words
