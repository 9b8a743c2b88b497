from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from omnia_beam.net.http.retry import retry_after_s

NOW = 1_700_000_000


def http_date(epoch_s: int) -> str:
    return format_datetime(datetime.fromtimestamp(epoch_s, UTC), usegmt=True)


def asked(value: str, **others: str) -> float | None:
    return retry_after_s(CaseInsensitiveDict({"retry-after": value, **others}), NOW)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("120", 120), (" 7 ", 7), ("1.5", 1.5)])
def test_seconds(text: str, seconds: float) -> None:
    assert asked(text) == seconds


@given(st.integers(-(10**6), 10**6))
def test_http_date_against_our_clock(delta: int) -> None:
    assert asked(http_date(NOW + delta)) == max(0, delta)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_http_date_against_the_services_own_clock(skew: int, delta: int) -> None:
    assert asked(http_date(NOW + skew + delta), Date=http_date(NOW + skew)) == delta


@pytest.mark.parametrize("text", ["", "soon", "-5", "nan", "inf", "1e9", "٣", "Mon, 99 Foo 2024", "9" * 30])
def test_what_cannot_be_read_is_nothing(text: str) -> None:
    assert asked(text) is None


@given(st.text())
def test_nothing_breaks_it(text: str) -> None:
    found = asked(text)
    assert found is None or found >= 0


def test_no_header() -> None:
    assert retry_after_s({}, NOW) is None
