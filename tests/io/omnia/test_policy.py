"""What the service's JSON cannot hold: every policy against a loop over single points."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS
from omnia_beam.io.omnia.policy import (
    NOT_FINITE,
    TIME_LEAVES,
    TIME_TAKEN,
    TOO_FINE,
    WriteOptions,
    apply_policy,
)
from omnia_beam.io.policy import PolicyResult
from tests.core.strategies import as_points, as_rows, rows
from tests.io.scripted_service import bits_of, double

Row = tuple[int, int, int]

options = st.builds(
    WriteOptions,
    nan=st.sampled_from(["dead_letter", "drop_counted", "as_bad_status"]),
    time_resolution=st.sampled_from(["dead_letter", "truncate"]),
    bad_status=st.sampled_from([0, 24, "keep"]),
    bad_value=st.sampled_from([0.0, -1.5]),
)


def by_hand(points: list[Row], window: TimeRange, chosen: WriteOptions) -> dict[str, Any]:
    """The policies, point by point."""
    good: list[Row] = []
    dead: dict[str, list[Row]] = {}
    counts = {"dropped": 0, "substituted": 0, "truncated": 0}
    taken: set[int] = set()
    for row in points:
        time_ns, bits, status = row
        if not math.isfinite(double(bits)):
            if chosen.nan == "dead_letter":
                dead.setdefault(NOT_FINITE, []).append(row)
                continue
            if chosen.nan == "drop_counted":
                counts["dropped"] += 1
                continue
            counts["substituted"] += 1
            bits = bits_of(chosen.bad_value)
            if chosen.bad_status != "keep":
                status = chosen.bad_status
            elif status & 0xC0:  # good or uncertain
                status = 0
        tick = time_ns // 100 * 100
        if tick != time_ns:
            if chosen.time_resolution == "dead_letter":
                dead.setdefault(TOO_FINE, []).append(row)
                continue
            if tick < window.start_ns:
                dead.setdefault(TIME_LEAVES, []).append(row)
                continue
            if tick in taken:
                dead.setdefault(TIME_TAKEN, []).append(row)
                continue
            counts["truncated"] += 1
        taken.add(tick)
        good.append((tick, bits, status))
    return {"good": good, "dead": dead, **counts}


def told(by_policy: PolicyResult) -> dict[str, Any]:
    dead = {reason: as_rows(points) for points, reason in by_policy.dead}
    assert len(dead) == len(by_policy.dead)
    return {
        "good": as_rows(by_policy.good),
        "dead": dead,
        "dropped": by_policy.dropped,
        "substituted": by_policy.substituted,
        "truncated": by_policy.truncated,
    }


@st.composite
def windows(draw: st.DrawFn) -> tuple[TimeRange, list[Row]]:
    start = draw(st.sampled_from([MIN_TIME_NS, -130, 0, 20, 1_704_067_200 * 10**9, MAX_TIME_NS - 700]))
    window = TimeRange(start, start + 700)
    return window, draw(rows(window.start_ns, window.end_ns, max_size=20))


@given(windows(), options)
@example(
    (TimeRange(120, 400), [(150, 0, 192), (199, 1, 192), (200, 2, 192), (250, 3, 192)]),
    WriteOptions(time_resolution="truncate"),
)
def test_every_policy_as_by_hand(drawn: tuple[TimeRange, list[Row]], chosen: WriteOptions) -> None:
    window, points = drawn
    assert told(apply_policy(as_points(points), window, chosen)) == by_hand(points, window, chosen)


def test_what_needs_no_policy_is_not_copied() -> None:
    points = as_points([(0, 0, 192), (100, bits_of(-0.0), 2**32 - 1)])
    assert apply_policy(points, TimeRange(0, 200), WriteOptions()).good is points


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_points": 0}, "batch_points is 0"),
        ({"batch_bytes": -1}, "batch_bytes is -1"),
        ({"isolation_requests": 0}, "isolation_requests is 0"),
        ({"nan": "keep"}, "nan is 'keep'"),
        ({"time_resolution": "round"}, "time_resolution is 'round'"),
        ({"bad_status": 2**32}, "bad_status is 4294967296"),
        ({"bad_value": math.nan}, "bad_value is nan"),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        WriteOptions(**wrong)


def test_both_limits_bound_a_request() -> None:
    assert WriteOptions(batch_points=500, batch_bytes=4_000_000).request_points == 500
    assert WriteOptions(batch_points=10_000, batch_bytes=100_000).request_points == 1_000
    assert WriteOptions(batch_points=10, batch_bytes=1).request_points == 1
