"""Times as text against the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.emulator.common.timetext import format_times, parse_duration, parse_time, parse_times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENTS = st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31))


def _ns(moment: datetime) -> int:
    return (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


@given(_MOMENTS, st.integers(0, 999), st.sampled_from(["", "Z", "z", "+00:00"]), st.sampled_from("T t"))
def test_reads_every_nanosecond(moment: datetime, nanoseconds: int, zone: str, between: str) -> None:
    text = moment.strftime(f"%Y-%m-%d{between}%H:%M:%S.%f").zfill(26) + f"{nanoseconds:03d}{zone}"
    assert parse_time(text) == _ns(moment) + nanoseconds


@given(_MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_reads_zones(moment: datetime, minutes: int) -> None:
    sign, (hours, rest) = ("-" if minutes < 0 else "+"), divmod(abs(minutes), 60)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").zfill(19) + f"{sign}{hours:02d}:{rest:02d}"
    assert parse_time(text) == _ns(moment.replace(microsecond=0)) - minutes * 60_000_000_000


@given(
    st.lists(_MOMENTS, min_size=1, max_size=30),
    st.sampled_from(
        ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S.%f1Z", "%Y-%m-%d", "%Y-%m-%dT%H:%M"]
    ),
    st.booleans(),
)
def test_many_are_read_as_each_alone(moments: list[datetime], form: str, mixed: bool) -> None:
    texts = [moment.strftime(form) for moment in moments]
    if mixed:
        texts.append("2024-02-29T23:59:59+01:00")
    assert parse_times(texts).tolist() == [parse_time(text) for text in texts]
    assert parse_times(texts, 100).tolist() == [parse_time(text) // 100 * 100 for text in texts]


@given(st.lists(st.integers(-(2**63) + 10**17, 2**63 - 10**17), max_size=20))
def test_writes_what_it_reads(times: list[int]) -> None:
    rows = format_times(np.array(times, dtype=np.int64))
    texts = [bytes(row).decode() for row in rows]
    assert all(len(text) == 28 and text.endswith("Z") for text in texts)
    assert parse_times(texts).tolist() == [time_ns // 100 * 100 for time_ns in times]


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-13-01", "2023-02-29", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z", "2024-1-1", "2024-01-01T00:00:00+1",
     "2024-01-01T00:00:00Zjunk", "20240101", "2024-01-01T00:00:00.Z", "²024-01-01"],
)  # fmt: skip
def test_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month|day"):
        parse_time(text)
    with pytest.raises(ValueError, match=r"time|month|day"):
        parse_times(["2024-01-01"] * 9 + [text])
    with pytest.raises(ValueError, match=r"time|month|day"):
        parse_times([text] * 9)


def test_durations() -> None:
    assert [parse_duration(text) for text in ("100ns", "2us", "3ms", "1s", "5m", "10h", "20d")] == [
        100, 2_000, 3_000_000, 10**9, 300 * 10**9, 36_000 * 10**9, 1_728_000 * 10**9,
    ]  # fmt: skip
    for text in ("", "s", "0s", "1.5s", "1w", "-1s"):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)
