"""Point by point: whatever was done to a copy, what is told undoes it, and tells no more than there is."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from omnia_beam.core.chunk import Points
from omnia_beam.pipelines.verify.points import compare_points, point_counts, point_differences

Row = tuple[int, int, int]
"""Time, bits of the value, status."""

NAN_A, NAN_B = 0x7FF8000000000000, 0x7FF8000000000001
BITS = st.sampled_from([0, 1 << 63, 0x3FF0000000000000, 0x3FF0000000000001, NAN_A, NAN_B, 0x7FF0000000000000])
ROW = st.tuples(st.integers(-5, 12), BITS, st.sampled_from([0, 64, 192]))


def points(rows: list[Row]) -> Points:
    times, bits, statuses = zip(*rows, strict=True) if rows else ((), (), ())
    return Points(np.array(times, np.int64), np.array(bits, np.uint64).view(np.float64), np.array(statuses, np.uint32))


def rows(found: Points) -> list[Row]:
    bits = np.ascontiguousarray(found.values).view(np.uint64)
    return list(zip(found.times.tolist(), bits.tolist(), found.statuses.tolist(), strict=True))


def once_each(drawn: list[Row]) -> list[Row]:
    return sorted({row[0]: row for row in drawn}.values())


@given(st.lists(ROW, max_size=12).map(once_each), st.lists(ROW, max_size=14))
@example([(0, 0, 192)], [(0, 1 << 63, 192)])
@example([(0, NAN_A, 192)], [(0, NAN_B, 192)])
@example([(0, 0, 192), (1, 0, 192)], [(1, 0, 192), (1, 0, 192), (0, 0, 192)])
@example([(0, 0, 192)], [(9, 0, 192)])
def test_what_is_told_undoes_what_was_done(expected: list[Row], found: list[Row]) -> None:
    told = compare_points(points(expected), points(found))
    missing, extra = Counter(rows(told.missing)), Counter(rows(told.extra))
    changed = [rows(side) for side in told.changed]
    shifted = [rows(side) for side in told.shifted]

    undone = Counter(found)
    undone.subtract(extra + Counter(changed[1]) + Counter(shifted[1]))
    undone.update(missing + Counter(changed[0]) + Counter(shifted[0]))
    assert {row: n for row, n in undone.items() if n} == Counter(expected)

    for one, other in zip(*changed, strict=True):
        assert one[0] == other[0]
        assert one != other
    for one, other in zip(*shifted, strict=True):
        assert one[0] != other[0]
        assert one[1:] == other[1:]
    assert not {row[1:] for row in missing} & {row[1:] for row in extra}  # those would be shifts
    assert not {row[0] for row in missing} & {row[0] for row in found}  # those would be changes
    intact = Counter(expected) & Counter(found)
    assert told.count == len(expected) - intact.total() + sum(n for row, n in (Counter(found) - intact).items()) - len(
        changed[0]
    ) - len(shifted[0])


@given(st.lists(ROW, max_size=12).map(once_each), st.randoms(use_true_random=False))
def test_order_does_not_matter(expected: list[Row], random: object) -> None:
    mixed = list(expected)
    random.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert compare_points(points(expected), points(mixed)).count == 0


@given(st.lists(ROW, max_size=12).map(once_each), st.lists(ROW, max_size=14), st.integers(0, 3))
def test_every_point_is_counted_and_so_many_are_named(expected: list[Row], found: list[Row], limit: int) -> None:
    told = compare_points(points(expected), points(found))
    counts = point_counts(told)
    named = Counter(each.kind for each in point_differences("s", told, limit))
    assert named == Counter({kind: min(limit, count) for kind, count in counts.items() if limit})
    both = int(np.count_nonzero(told.value_changed & told.status_changed))
    assert sum(counts.values()) == told.count + both


def test_a_point_is_told_in_full() -> None:
    one, other = 0x3FB999999999999A, 0x3FB999999999999B
    told = compare_points(points([(10**9, one, 192)]), points([(10**9, other, 192)]))
    (difference,) = point_differences("s", told, 5)
    assert difference.text == (
        "1970-01-01T00:00:01Z: value 0.1 (0x3fb999999999999a) became 0.10000000000000002 (0x3fb999999999999b), bit 0 changed"
    )
    assert difference.to_json()["found"] == {
        "time": "1970-01-01T00:00:01Z",
        "time_ns": 10**9,
        "value": "0.10000000000000002",
        "bits": "3fb999999999999b",
        "status": 192,
    }


def test_a_whole_series_an_hour_late_is_one_shift_each() -> None:
    hour = 3_600 * 10**9
    expected = [(i * hour, 0x3FF0000000000000 + i % 7, 192) for i in range(200)]
    late = [(time + hour // 2, bits, status) for time, bits, status in expected]
    told = compare_points(points(expected), points(late))
    assert point_counts(told) == {"shifted_time": 200}
    assert {b[0] - a[0] for a, b in zip(*map(rows, told.shifted), strict=True)} == {hour // 2}
    (first, *_) = point_differences("s", told, 1)
    assert "(+1,800 s)" in first.text
