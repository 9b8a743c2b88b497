from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.net.api.time_argument import exact_text, time_to_ns

INT64 = st.integers(-(2**63), 2**63 - 1)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(INT64)
def test_ns_are_ns(ns: int) -> None:
    assert time_to_ns(ns) == ns
    assert time_to_ns(np.int64(ns)) == ns  # type: ignore[arg-type]  # numpy's integers are integers


@given(st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1), timezones=ZONES))  # bounds are naive
def test_aware_datetimes_of_any_zone(moment: datetime) -> None:
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    assert time_to_ns(moment) == expected
    assert time_to_ns(moment.isoformat()) == expected


@given(st.sampled_from(["D", "h", "m", "s", "ms", "us", "ns", "W", "25s", "100ns", "7D"]), st.integers(-(10**4), 10**4))
def test_datetime64_of_every_unit(unit: str, count: int) -> None:
    moment = np.datetime64(count, unit)
    assert time_to_ns(moment) == int(moment.astype("datetime64[ns]").astype(np.int64))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00.0000001Z", 100),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_texts(text: str, ns: int) -> None:
    assert time_to_ns(text) == ns


def test_years_and_months_of_numpy() -> None:
    assert time_to_ns(np.datetime64("1971")) == 365 * 86400 * 10**9
    assert time_to_ns(np.datetime64("1970-02")) == 31 * 86400 * 10**9


class Timestamp(datetime):
    """Like pandas': a datetime with nanoseconds beyond its microseconds."""

    nanosecond = 789


def test_nanoseconds_beyond_a_datetime_are_kept() -> None:
    assert time_to_ns(Timestamp(1970, 1, 1, 0, 0, 0, 5, tzinfo=UTC)) == 5789


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (datetime(2024, 1, 1), "naive"),  # that is the point
        (date(2024, 1, 1), "write '2024-01-01'"),
        (np.datetime64("NaT"), "NaT"),
        (np.datetime64(1, "ps"), "finer than a nanosecond"),
        (np.datetime64(2**62, "s"), "outside what 64-bit"),
        (2**63, "outside what 64-bit"),
        (1.5, "float"),
        (True, "bool"),
        (None, "NoneType"),
        ("yesterday", "yesterday"),
        ("9999-01-01", "9999"),
    ],
)
def test_what_is_no_time_is_refused_with_the_arguments_name(bad: Any, told: str) -> None:
    with pytest.raises(UsageError, match=f"start_time: .*{told}"):
        time_to_ns(bad, "start_time")


def test_exact_texts_do_not_round() -> None:
    assert exact_text(100, "x") == "1970-01-01T00:00:00.0000001Z"
    with pytest.raises(UsageError, match=r"end_time: .* finer than the 100 ns"):
        exact_text(150, "end_time")
