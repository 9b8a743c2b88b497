"""Chunk keys: what they refuse, and names that pin the exact text."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND, format_time
from omnia_beam.core.window import ChunkKey, Window

HOUR = TimeRange.parse("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z")
# A small alphabet, so that different groups of series are made of the same letters and could be mixed up.
names = st.text(st.sampled_from(["a", "b", "\0", " ", "å", "1"]), max_size=4)
groups = st.lists(names, min_size=1, max_size=4, unique=True).map(lambda ids: tuple(sorted(ids)))
bounds = st.one_of(
    st.integers(MIN_TIME_NS, MAX_TIME_NS), st.integers(-3, 3), st.integers(0, 3).map(lambda n: n * NS_PER_SECOND)
)
ranges = st.tuples(bounds, bounds).map(lambda ends: TimeRange(min(ends), max(ends)))
keys = st.builds(ChunkKey, groups, ranges)


@pytest.mark.parametrize(
    ("series_ids", "time_range", "name"),
    [
        (("a",), HOUR, "20240101T000000Z-20240101T010000Z-3d27aaa15250303a"),
        (("a", "b"), HOUR, "20240101T000000Z-20240101T010000Z-0a3f3c1d061494ec"),
        (("a\0b",), HOUR, "20240101T000000Z-20240101T010000Z-c236d7938719abc6"),
        (("a",), TimeRange(-1, 1), "19691231T235959Z-19700101T000000Z-b7607e10d54deb51"),
        (("a",), TimeRange(MIN_TIME_NS, MAX_TIME_NS), "16770921T001243Z-22620411T234716Z-0982931464483fc6"),
    ],
)
def test_name_is_pinned(series_ids: tuple[str, ...], time_range: TimeRange, name: str) -> None:
    """Files of earlier runs carry these names: a change here orphans them.

    The digests are what `printf '1704067200000000000 1704070800000000000 1:a' | b2sum -l 64` prints, and so on.
    """
    assert ChunkKey(series_ids, time_range).name == name


@given(keys)
def test_name_fits_a_file_on_any_system(key: ChunkKey) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z-[0-9a-f]{16}", key.name)
    assert key.name.startswith(re.sub("[-:]", "", format_time(key.range.start_ns, 0)))


@given(keys, keys)
def test_names_are_equal_exactly_when_keys_are(a: ChunkKey, b: ChunkKey) -> None:
    assert (a.name == b.name) == (a == b)


@given(ranges)
def test_grouping_changes_the_name(time_range: TimeRange) -> None:
    groups = [("ab",), ("a", "b"), ("a\0b",), ("", "ab"), ("a b",), ("\0ab",), ("", "a", "b"), ("a", "b", "b\0")]
    assert len({ChunkKey(group, time_range).name for group in groups}) == len(groups)


@given(keys, st.integers(0), st.integers(1))
def test_survives_pickling(key: ChunkKey, points: int, requests: int) -> None:
    window = Window(key, points, requests)
    again = pickle.loads(pickle.dumps(window))
    assert again == window
    assert again.key.name == key.name
    assert hash(again) == hash(window)
    assert Window(key) == Window(key, expected_points=0, requests=1)


def test_no_series_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one series"):
        ChunkKey((), HOUR)


@pytest.mark.parametrize("series_ids", [("b", "a"), ("a", "a"), ("a", "c", "b")])
def test_series_out_of_order_are_refused(series_ids: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="ascending, each once"):
        ChunkKey(series_ids, HOUR)


def test_text_for_people() -> None:
    assert str(ChunkKey(("a",), HOUR)) == "a [2024-01-01T00:00:00Z, 2024-01-01T01:00:00Z)"
    assert str(ChunkKey(("a", "b", "c"), HOUR)).startswith("a and 2 more series [2024")
