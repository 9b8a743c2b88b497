"""Durations and moments: against sums of integers, and the forms that are refused."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.config.times import (
    DURATION_PATTERN,
    MOMENT_PATTERN,
    UNIT_NS,
    format_duration,
    parse_duration,
    parse_moment,
)
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, format_time, parse_time

HOUR = 3_600 * 10**9
NOW = parse_time("2024-05-06T07:08:09Z")


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("90s", 90 * 10**9),
        ("15m", 900 * 10**9),
        ("1h", HOUR),
        ("1d", 24 * HOUR),
        ("2w", 336 * HOUR),
        ("1h30m", 5_400 * 10**9),
        ("1.5h", 5_400 * 10**9),
        ("500ms", 500_000_000),
        ("7us", 7_000),
        ("3ns", 3),
        ("1m1ms", 60_001_000_000),
        (" 5s ", 5 * 10**9),
        ("0s", 0),
        ("PT15M", 900 * 10**9),
        ("P1D", 24 * HOUR),
        ("P1DT12H", 36 * HOUR),
        ("P2W", 336 * HOUR),
        ("PT0.5S", 500_000_000),
        ("PT1H30M", 5_400 * 10**9),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("90", "90s is seconds"),
        ("", "write 90s"),
        ("s", "write 90s"),
        ("1h 30m", "write 90s"),
        ("30m1h", "write 90s"),
        ("-5m", "write 90s"),
        ("5M", "no fixed length"),
        ("1y", "no fixed length"),
        ("2months", "no fixed length"),
        ("P1M", "no fixed length"),
        ("P1Y", "no fixed length"),
        ("P", "write 90s"),
        ("PT", "write 90s"),
        ("P1DT", "write 90s"),
        ("PT1D", "write 90s"),
        ("1.h", "write 90s"),
        ("1e3s", "write 90s"),
        ("٣s", "write 90s"),
        ("0.5ns", "finer than a nanosecond"),
        ("0.0000000001s", "finer than a nanosecond"),
        ("400000d", "longer than"),
        ("9" * 5_000 + "s", "longer than"),
    ],
)
def test_durations_that_are_none(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_duration(text)


_parts = st.fixed_dictionaries({}, optional={unit: st.integers(0, 200) for unit in UNIT_NS}).filter(bool)


@given(_parts)
def test_a_duration_is_the_sum_of_its_parts(parts: dict[str, int]) -> None:
    text = "".join(f"{parts[unit]}{unit}" for unit in UNIT_NS if unit in parts)
    assert parse_duration(text) == sum(count * UNIT_NS[unit] for unit, count in parts.items())


@given(st.integers(0, MAX_TIME_NS))
def test_a_formatted_duration_reads_back(ns: int) -> None:
    text = format_duration(ns)
    assert parse_duration(text) == ns
    assert re.fullmatch(DURATION_PATTERN, text)


@given(st.decimals(0, 10_000, places=9, allow_nan=False), st.sampled_from(["h", "m", "s"]))
def test_fractions_are_exact(number: Decimal, unit: str) -> None:
    assert parse_duration(f"{number:f}{unit}") == int(number * UNIT_NS[unit])


@given(st.text("0123456789.PTDHMSWwdhmsnu ", max_size=12))
def test_the_pattern_admits_what_the_parser_reads(text: str) -> None:
    try:
        parse_duration(text)
        read = True
    except ValueError as error:
        read = "is not a duration" not in str(error)
    assert read == bool(re.fullmatch(f" *({DURATION_PATTERN}) *", text))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("now", NOW),
        ("now-15m", NOW - 900 * 10**9),
        ("now - 15m", NOW - 900 * 10**9),
        ("now+1h", NOW + HOUR),
        ("-7d", NOW - 168 * HOUR),
        ("+1h", NOW + HOUR),
        ("now-PT15M", NOW - 900 * 10**9),
        ("2023-01-01", parse_time("2023-01-01")),
        ("2023-01-01T00:00:00.123456789Z", 1_672_531_200_123_456_789),
        ("2023-01-01 02:00+01:00", parse_time("2023-01-01T01:00:00Z")),
    ],
)
def test_moments(text: str, ns: int) -> None:
    assert parse_moment(text, NOW) == ns


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yesterday", "write 2024-01-31"),
        ("", "write 2024-01-31"),
        ("1700000000", "write 2024-01-31"),
        ("now-15", "15s is seconds"),
        ("now-", "write 2024-01-31"),
        ("-1M", "no fixed length"),
        ("Now", "write 2024-01-31"),
        ("2023-02-30", "exists"),
        ("2023-01-01T00:00:00.1234567891Z", "finer than a nanosecond"),
        ("now-200000d", "longer than"),
        ("now+100000d", "64-bit nanoseconds"),
        ("9999-01-01", "64-bit nanoseconds"),
    ],
)
def test_moments_that_are_none(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_moment(text, NOW)


def test_a_relative_moment_needs_a_now() -> None:
    with pytest.raises(ValueError, match="there is no now here"):
        parse_moment("now-1h", None)
    assert parse_moment("2023-01-01", None) == parse_time("2023-01-01")


@given(st.integers(MIN_TIME_NS, MAX_TIME_NS))
def test_written_times_read_back_and_fit_the_pattern(ns: int) -> None:
    text = format_time(ns, digits=9)
    assert parse_moment(text, None) == ns
    assert re.fullmatch(MOMENT_PATTERN, text)
