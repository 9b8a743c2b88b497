"""The painter's algorithm, against painting instant by instant."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.ledger.coverage import Pieces, visible_pieces

RANGES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-20, 20), st.integers(1, 18)).map(lambda x: (x[0], x[1], x[1] + x[2])),
    max_size=16,
)


def paint(ranges: list[tuple[int, int, int]], ranks: list[int]) -> Pieces:
    columns = np.array(ranges, np.int64).reshape(-1, 3)
    return visible_pieces(columns[:, 0], columns[:, 1], columns[:, 2], np.array(ranks, np.int64))


@settings(max_examples=500)
@given(RANGES.flatmap(lambda ranges: st.tuples(st.just(ranges), st.permutations(range(len(ranges))))))
def test_each_instant_belongs_to_the_highest_over_it(case: tuple[list[tuple[int, int, int]], list[int]]) -> None:
    ranges, ranks = case
    expected: dict[tuple[int, int], int] = {}
    for row in sorted(range(len(ranges)), key=ranks.__getitem__):
        group, start, end = ranges[row]
        expected.update({(group, instant): row for instant in range(start, end)})
    pieces = paint(ranges, list(ranks))
    found = [
        ((ranges[row][0], instant), int(row))
        for row, start, end in zip(*pieces, strict=True)
        for instant in range(start, end)
    ]
    assert len(found) == len(dict(found)), "an instant is in two pieces"
    assert dict(found) == expected


@given(RANGES)
def test_pieces_are_in_order_and_as_few_as_can_be(ranges: list[tuple[int, int, int]]) -> None:
    pieces = paint(ranges, list(range(len(ranges))))
    placed = [(ranges[row][0], start, end, row) for row, start, end in zip(*pieces, strict=True)]
    assert placed == sorted(placed)
    assert not [1 for a, b in itertools.pairwise(placed) if a[3] == b[3] and a[2] == b[1]]


def test_one_range_over_a_thousand_and_a_thousand_over_one() -> None:
    many = [(0, i, i + 1) for i in range(1000)]
    assert [list(each) for each in paint([*many, (0, 0, 1000)], list(range(1001)))] == [[1000], [0], [1000]]
    below = paint([(0, -5, 1005), *many], list(range(1001)))
    assert below.row.tolist() == [0, *range(1, 1001), 0]


def test_bounds_of_int64_do_not_wrap() -> None:
    low, high = -(2**63), 2**63 - 1
    pieces = paint([(0, low, high), (0, 0, 1)], [0, 1])
    assert list(zip(*map(list, pieces), strict=True)) == [(0, low, 0), (1, 0, 1), (0, 1, high)]
