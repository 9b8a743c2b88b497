"""Times against two oracles: the day count of the proleptic Gregorian calendar, and numpy's datetime64."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, datetime_to_ns, format_time, parse_time

DAY_NS = 86_400 * 10**9
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

times = st.one_of(
    st.integers(MIN_TIME_NS, MAX_TIME_NS),
    st.builds(lambda n, digits: n * 10 ** (9 - digits), st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.sampled_from([MIN_TIME_NS, MAX_TIME_NS, -1, 0, 1, -(10**9), 951_782_400 * 10**9]),
)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def day_number(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, by counting leap years; no calendar library."""

    def before(year: int) -> int:
        past = year - 1
        return past * 365 + past // 4 - past // 100 + past // 400

    leap_day = 1 if month > 2 and is_leap(year) else 0
    return before(year) - before(1970) + sum(MONTH_DAYS[: month - 1]) + leap_day + day - 1


@st.composite
def dates(draw: st.DrawFn, first: int = 1678, last: int = 2261) -> tuple[int, int, int]:
    year = draw(st.one_of(st.integers(first, last), st.sampled_from([1700, 1900, 1970, 2000, 2024, 2100])))
    month = draw(st.integers(1, 12))
    return year, month, draw(st.integers(1, MONTH_DAYS[month - 1] + (month == 2 and is_leap(year))))


@given(
    dates(),
    st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)),
    st.text("0123456789", max_size=9),
    st.one_of(
        st.sampled_from(["", "Z", "z"]), st.tuples(st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59))
    ),
    st.sampled_from("Tt "),
    st.sampled_from(["", ":"]),
)
def test_parse_against_the_day_count(
    date: tuple[int, int, int],
    clock: tuple[int, int, int],
    fraction: str,
    zone: str | tuple[str, int, int],
    joint: str,
    colon: str,
) -> None:
    offset_s = 0
    if isinstance(zone, tuple):
        sign, hours, minutes = zone
        offset_s = (hours * 3_600 + minutes * 60) * (-1 if sign == "-" else 1)
        zone = f"{sign}{hours:02}{colon}{minutes:02}"
    text = "{:04}-{:02}-{:02}".format(*date) + joint + "{:02}:{:02}:{:02}".format(*clock)
    text += (f".{fraction}" if fraction else "") + zone
    seconds = clock[0] * 3_600 + clock[1] * 60 + clock[2] - offset_s
    expected = day_number(*date) * DAY_NS + seconds * 10**9 + int(fraction.ljust(9, "0"))
    assert parse_time(text) == expected


@given(times)
@example(MIN_TIME_NS)
@example(MAX_TIME_NS)
def test_round_trip_is_exact(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns
    assert parse_time(format_time(ns, 9)) == ns


@given(times.filter(lambda ns: ns != MIN_TIME_NS))  # numpy's NaT
def test_both_ways_against_numpy(ns: int) -> None:
    moment = np.datetime64(ns, "ns")
    assert format_time(ns, 9) == f"{moment}Z"
    assert parse_time(str(moment)) == ns


@given(times, st.integers(0, 9))
def test_digits_are_cut_off_towards_the_past(ns: int, digits: int) -> None:
    unit = 10 ** (9 - digits)
    kept = ns // unit * unit
    text = format_time(ns, digits)
    assert len(text.partition(".")[2]) == (digits + 1 if digits else 0)
    if kept >= MIN_TIME_NS:
        assert parse_time(text) == kept
    assert text == format_time(kept, digits)


@given(times)
def test_the_fewest_digits_that_hold_the_time(ns: int) -> None:
    """And of those only 0, 3, 6, 7 (the service's own) and 9, which other programs read too."""
    digits = len(format_time(ns).partition(".")[2].rstrip("Z"))
    assert digits == min(d for d in (0, 3, 6, 7, 9) if ns % 10 ** (9 - d) == 0)


def test_seven_digits_of_the_service_and_nine_of_protobuf() -> None:
    assert parse_time("2021-02-01T09:54:05.4200001Z") == 1_612_173_245_420_000_100
    assert format_time(1_612_173_245_420_000_100) == "2021-02-01T09:54:05.4200001Z"
    assert format_time(1_612_173_245_420_000_101) == "2021-02-01T09:54:05.420000101Z"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01", 0),
        ("2024-02-29", day_number(2024, 2, 29) * DAY_NS),
        ("2024-01-01T06:30", day_number(2024, 1, 1) * DAY_NS + 23_400 * 10**9),
        ("2024-01-01 06:30+01:00", day_number(2024, 1, 1) * DAY_NS + 19_800 * 10**9),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("  2024-01-01\n", day_number(2024, 1, 1) * DAY_NS),
        ("1970-01-01T00:00:00.000000001000Z", 1),
        ("1677-09-21T00:12:43.145224192Z", MIN_TIME_NS),
        ("2262-04-11T23:47:16.854775807Z", MAX_TIME_NS),
        ("1970-01-01T23:59+23:59", 0),
        ("1969-12-31T00:01-23:59", 0),
        ("2262-04-12T00:47:16.854775807+01:00", MAX_TIME_NS),
    ],
)
def test_parse_by_hand(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024",
        "2024-01",
        "2024-1-1",
        "20240101",
        "24-01-01",
        "12024-01-01",
        "-2024-01-01",
        "2024-01-01T",
        "2024-01-01Z",
        "2024-01-01T06",
        "2024-01-01T6:30:00Z",
        "2024-01-01T06:30:00.Z",
        "2024-01-01T06:30:00,5Z",
        "2024-01-01T06:30.5Z",  # half a minute or half a second? RFC 3339 has neither
        "2024-01-01T06:30:00ZZ",
        "2024-01-01T06:30:00 Z",
        "2024-01-01T06:30:00+1",
        "2024-01-01T06:30:00+01",
        "2024-01-01T06:30:00 UTC",
        "٢٠٢٤-٠١-٠١",
        "2024-01-01T06:30:00Z; DROP",
        "1e18",
        "1704067200",
    ],
)
def test_what_is_not_a_time_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: write 2024-01-31") as failure:
        parse_time(text)
    assert repr(text) in str(failure.value)


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-04-31",
        "0000-01-01",
        "2024-01-01T24:00:00Z",
        "2024-01-01T23:60:00Z",
        "2024-01-01T23:59:60Z",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00-05:60",
        "2024-01-01T00:00:00+9999",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time that exists") as failure:
        parse_time(text)
    assert repr(text) in str(failure.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2024-01-01T00:00:00.0000000001Z", "finer than a nanosecond"),
        ("1677-09-21T00:12:43.145224191Z", "1677-09-21 to 2262-04-11"),
        ("2262-04-11T23:47:16.854775808Z", "1677-09-21 to 2262-04-11"),
        ("0001-01-01", "1677-09-21 to 2262-04-11"),
        ("9999-12-31T23:59:59Z", "1677-09-21 to 2262-04-11"),
    ],
)
def test_what_int64_ns_cannot_hold_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_time(text)


@given(dates(1, 9999))
def test_format_from_year_1_to_9999(date: tuple[int, int, int]) -> None:
    assert format_time(day_number(*date) * DAY_NS) == "{:04}-{:02}-{:02}T00:00:00Z".format(*date)


def test_numpy_integers_are_times_too() -> None:
    assert format_time(np.int64(MAX_TIME_NS)) == "2262-04-11T23:47:16.854775807Z"


@pytest.mark.parametrize("ns", [day_number(1, 1, 1) * DAY_NS - 1, day_number(9999, 12, 31) * DAY_NS + DAY_NS, 2**80])
def test_format_outside_the_calendar_is_refused(ns: int) -> None:
    with pytest.raises(ValueError, match=f"{ns} ns is outside the years 1 to 9999"):
        format_time(ns)


@given(st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1)), st.integers(-1_439, 1_439))
def test_datetime_against_numpy(local: datetime, minutes: int) -> None:
    utc = np.datetime64(local, "ns") - np.timedelta64(minutes, "m")
    assert datetime_to_ns(local.replace(tzinfo=timezone(timedelta(minutes=minutes)))) == utc.astype(np.int64)


def test_a_datetime_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        datetime_to_ns(datetime(2024, 1, 1))
    assert datetime_to_ns(datetime(2024, 1, 1, tzinfo=UTC)) == day_number(2024, 1, 1) * DAY_NS
