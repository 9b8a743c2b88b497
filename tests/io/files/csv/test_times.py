"""Wall clock times: against the zone database, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.timestamps import datetime_to_ns, parse_time
from omnia_beam.io.files.csv.times import local_to_utc

ZONES = ("Europe/Oslo", "America/St_Johns", "Asia/Kathmandu", "Africa/Monrovia", "Australia/Lord_Howe", "UTC")


@given(
    zone=st.sampled_from(ZONES),
    moments=st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1), timezones=st.just(UTC)), max_size=6),
    fraction=st.integers(0, 999),
)
def test_there_and_back(zone: str, moments: list[datetime], fraction: int) -> None:
    here = ZoneInfo(zone)
    walls = [moment.astimezone(here) for moment in moments]
    local = np.array([datetime_to_ns(wall.replace(tzinfo=UTC, fold=0)) + fraction for wall in walls], np.int64)
    twice = [wall for wall in walls if wall.replace(fold=0).utcoffset() != wall.replace(fold=1).utcoffset()]
    if twice:
        with pytest.raises(ValueError, match=f"happened twice or never in {zone}"):
            local_to_utc(local, zone)
        return
    assert local_to_utc(local, zone).tolist() == [datetime_to_ns(moment) + fraction for moment in moments]


@pytest.mark.parametrize("text", ["2024-03-31T02:30:00", "2024-10-27T02:30:00", "2049-10-31T02:59:59.999999999"])
def test_clocks_that_were_changed(text: str) -> None:
    with pytest.raises(ValueError, match="happened twice or never in Europe/Oslo"):
        local_to_utc(np.array([parse_time(text)]), "Europe/Oslo")


def test_the_edge_of_time() -> None:
    with pytest.raises(ValueError, match="outside what 64-bit nanoseconds can hold"):
        local_to_utc(np.array([2**63 - 1], np.int64), "America/New_York")
