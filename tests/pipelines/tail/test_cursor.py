"""The streaming tail's cursor: its bytes, and that no order of claims and splits leaves time out or gives it out twice."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.pipelines.tail.cursor import OVER, Round, TailCursor, TailCursorCoder, TailTracker

WINDOW = Window(ChunkKey(("a", "b"), TimeRange(10, 20)), 7, 2)

numbers = st.integers(-(2**62), 2**62)
keys = st.builds(
    lambda ids, start, length: ChunkKey(tuple(sorted(ids)), TimeRange(start, start + length)),
    st.sets(st.text(min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(-(2**61), 2**61),
    st.integers(1, 2**60),
)
windows = st.lists(st.builds(Window, keys, st.integers(0, 10**9), st.integers(1, 99)), max_size=5).map(tuple)
cursors = st.builds(
    TailCursor,
    st.sampled_from(["poll", "give", "over"]),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    numbers,
    numbers,
    windows,
)


@given(cursors)
def test_a_cursor_survives_its_encoding(cursor: TailCursor) -> None:
    assert TailCursorCoder().decode(TailCursorCoder().encode(cursor)) == cursor


def test_the_bytes_of_a_cursor_stay_as_they_are() -> None:
    """A job in flight carries them over an upgrade."""
    plain = TailCursor("poll", 3, 7, 1_000, 900)
    assert TailCursorCoder().encode(plain) == b'{"v":1,"mode":"poll","at":[3,7,1000,900]}\n'
    cursor = TailCursor("give", 3, 7, 1_000, 900, (WINDOW,))
    line, _, rest = TailCursorCoder().encode(cursor).partition(b"\n")
    assert line == b'{"v":1,"mode":"give","at":[3,7,1000,900]}'
    # What zlib makes of it may differ from one zlib to the next; what comes out of it may not.
    assert zlib.decompress(rest) == b'{"v":1,"groups":[["a","b"]],"windows":[[0,10,20,7,2]]}\n'
    pinned = bytes.fromhex(
        "789cab562a53b232d4514a2fca2f2d2856b28a8e564a54d2514a528a8dd5512acfcc4bc92f078b1ae8181ae81819"
        "e898eb18c5c6d6720100c3850f8a"
    )
    assert TailCursorCoder().decode(line + b"\n" + pinned) == cursor


def test_a_cursor_of_another_version_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match="version 2, this is version 1: cancel the job"):
        TailCursorCoder().decode(b'{"v":2,"mode":"poll","at":[0,0,0,0]}\n')


def test_many_windows_make_a_small_cursor() -> None:
    ids = tuple(f"{n:08x}-0000-4000-8000-000000000000" for n in range(100))
    many = tuple(Window(ChunkKey(ids, TimeRange(n, n + 1)), 1) for n in range(2_000))
    assert len(TailCursorCoder().encode(TailCursor("poll", 1, 1, 0, 0, many))) < 30_000


def follower(cursor: TailCursor, length: int, number: int) -> Round:
    """The round that a source claims next: a window over the next `length`, or a mere look where that is 0."""
    if not length:
        return Round((), cursor)
    at = cursor.read_to_ns
    given = (Window(ChunkKey(("a",), TimeRange(at, at + length)), number),)
    return Round(given, TailCursor("poll", cursor.cycle + 1, cursor.run + 2, at + length, at, given))


steps = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["claim", "split first", "split after", "split twice", "primary fails"]),
        st.floats(0, 1),
    ),
    max_size=40,
)


@given(steps)
def test_no_order_of_claims_and_splits_loses_time_or_gives_it_twice(taken: list[tuple[int, str, float]]) -> None:
    """A runner that does as it likes: what it hands on, and what it repeats, is together one unbroken line of windows."""
    cursor = TailCursor.at(0)
    out: list[Window] = []
    watermark = 0
    for number, (length, how, fraction) in enumerate(taken):
        tracker = TailTracker(cursor)
        if how == "split first":
            split = tracker.try_split(fraction)
            assert split == (OVER, cursor)
            assert not tracker.try_claim(follower(cursor, length, number))
            assert tracker.check_done()
            continue
        claim = follower(cursor, length, number)
        assert tracker.try_claim(claim)
        assert not tracker.try_claim(claim)
        split = tracker.try_split(fraction)
        assert split is not None
        primary, residual = split
        if how == "split twice":
            assert tracker.try_split(fraction) is None
        assert tracker.check_done()
        if how == "primary fails" and primary.mode == "give":  # nothing of it arrived: the runner does it again
            again = TailTracker(primary)
            assert again.is_bounded()
            with pytest.raises(ValueError, match="neither claimed"):
                again.check_done()
            assert again.try_claim(Round(primary.in_flight, OVER))
            assert again.try_split(0) is None
            assert again.check_done()
            out += primary.in_flight
        else:
            out += claim.given
        assert residual.complete_to_ns >= watermark
        watermark = residual.complete_to_ns
        assert all(each.key.range.start_ns >= 0 for each in out)
        assert watermark <= min((each.key.range.start_ns for each in residual.in_flight), default=watermark)
        cursor = residual
    at = 0
    for window in out:
        assert window.key.range.start_ns == at
        at = window.key.range.end_ns
    assert at == cursor.read_to_ns


def test_what_would_leave_time_out_is_refused() -> None:
    now = TailCursor("poll", 3, 7, 100, 90)
    for then in (
        TailCursor("poll", 4, 9, 99, 90, (WINDOW,)),
        TailCursor("poll", 4, 9, 110, 89, (WINDOW,)),
        TailCursor("poll", 5, 9, 110, 95, (WINDOW,)),
        TailCursor("poll", 4, 9, 110, 95),
    ):
        with pytest.raises(ValueError, match="cannot go on"):
            TailTracker(now).try_claim(Round((WINDOW,), then))
    with pytest.raises(ValueError, match="cannot go on"):
        TailTracker(now).try_claim(Round((WINDOW,), now))
    with pytest.raises(ValueError, match="and nothing else"):
        TailTracker(TailCursor("give", 3, 7, 100, 90, (WINDOW,))).try_claim(Round((), OVER))


def test_an_invocation_that_neither_claims_nor_hands_on_is_an_error() -> None:
    tracker = TailTracker(TailCursor.at(0))
    with pytest.raises(ValueError, match="neither claimed nor handed on"):
        tracker.check_done()
    assert tracker.try_claim(follower(TailCursor.at(0), 5, 1))
    with pytest.raises(ValueError, match="was not handed on"):
        tracker.check_done()


def test_the_end_needs_no_successor() -> None:
    tracker = TailTracker(TailCursor.at(0))
    assert not tracker.is_bounded()
    assert tracker.try_claim(Round((), OVER))
    assert tracker.try_split(0) is None
    assert tracker.check_done()
