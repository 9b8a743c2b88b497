"""Compare two copies of one series in one range point by point: which points differ, and how. Vectorised throughout.

Times are matched first. Points that share a time and differ were changed; of the rest, a missing and an extra point of the
same value and status are one point whose time was shifted; all others are missing or extra.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Points
from omnia_beam.core.fingerprint import text_digests
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.io.difference import Difference, PointFacts

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class PointComparison:
    """How the points found differ from those expected.

    Args:
        missing: expected and not found.
        extra: found and not expected, repeats of a time among them.
        changed: (expected, found) of the same length and times: another value, another status, or both.
        shifted: (expected, found) of the same length, values and statuses, at other times.
    """

    missing: Points
    extra: Points
    changed: tuple[Points, Points]
    shifted: tuple[Points, Points]

    @property
    def count(self) -> int:
        """Number of differing points."""
        pairs = len(self.changed[0].times) + len(self.shifted[0].times)
        return len(self.missing.times) + len(self.extra.times) + pairs

    @property
    def times(self) -> dict[str, npt.NDArray[np.int64]]:
        """Times of the points that differ, ns, ascending, by kind; kinds without any are left out.

        Of a point that was shifted it is the time at which it was expected.
        """
        found = {kind: (sides[0] if sides[0] is not None else sides[1]) for kind, sides in self.sides.items()}
        return {kind: points.times for kind, points in found.items() if points is not None and len(points.times)}

    @cached_property
    def sides(self) -> dict[str, tuple[Points | None, Points | None]]:
        """Return by kind the points expected and found that differ; None where a kind has no such side."""
        changed = self.changed
        found: dict[str, tuple[Points | None, Points | None]] = {
            "missing_point": (self.missing, None),
            "extra_point": (None, self.extra),
        }
        for kind, where in (
            ("changed_value", self.value_changed),
            ("changed_status", self.status_changed),
            ("changed_text", self.text_changed),
        ):
            found[kind] = (changed[0].take(where), changed[1].take(where))
        return {**found, "shifted_time": self.shifted}

    @property
    def value_changed(self) -> npt.NDArray[np.bool_]:
        """For each changed point, whether the bits of the value differ."""
        expected, found = self.changed
        return np.asarray(value_bits(expected) != value_bits(found), bool)

    @property
    def status_changed(self) -> npt.NDArray[np.bool_]:
        """For each changed point, whether the status differs."""
        expected, found = self.changed
        return np.asarray(expected.statuses != found.statuses, bool)

    @property
    def text_changed(self) -> npt.NDArray[np.bool_]:
        """For each changed point, whether the text differs."""
        expected, found = self.changed
        return np.asarray(text_bits(expected) != text_bits(found), bool)


def compare_points(expected: Points, found: Points) -> PointComparison:
    """Compare points to the last bit: -0.0 and 0.0 differ, and so do two NaN of other bits.

    Args:
        expected: ascending in time, each time once.
        found: in any order; a time may occur several times.
    """
    expected = _sorted(expected)
    first, extra = _one_of_each_time(expected, found)
    matched, at = _places(expected, first.times)
    missing = np.ones(len(expected.times), bool)
    missing[at[matched]] = False
    same = _same(expected.take(at[matched]), first.take(matched))
    changed = (expected.take(at[matched]).take(~same), first.take(matched).take(~same))
    lost, strange = expected.take(missing), Points.concat([first.take(~matched), extra])
    one, other = _pairs(lost, strange)
    return PointComparison(
        missing=lost.take(_others(lost, one)),
        extra=_sorted(strange.take(_others(strange, other))),
        changed=changed,
        shifted=(lost.take(one), strange.take(other)),
    )


def value_bits(points: Points) -> npt.NDArray[np.uint64]:
    """Return the 64 bits of each value."""
    return np.ascontiguousarray(points.values, np.float64).view(np.uint64)


def text_bits(points: Points) -> npt.NDArray[np.uint64]:
    """Return 64 bits that stand for each text; 0 where there is none."""
    return np.zeros(len(points.times), np.uint64) if points.texts is None else text_digests(points.texts)


def _sorted(points: Points) -> Points:
    if bool((points.times[1:] >= points.times[:-1]).all()):
        return points
    return points.take(np.argsort(points.times, kind="stable"))


def _one_of_each_time(expected: Points, found: Points) -> tuple[Points, Points]:
    """Return one point of each time, the expected one where it is among them, and all others."""
    matched, at = _places(expected, found.times)
    right = np.zeros(len(found.times), bool)
    right[matched] = _same(expected.take(at[matched]), found.take(matched))
    order = np.lexsort((~right, found.times))
    found = found.take(order)
    repeat = np.zeros(len(order), bool)
    repeat[1:] = found.times[1:] == found.times[:-1]
    return found.take(~repeat), found.take(repeat)


def _places(expected: Points, times: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.bool_], Index]:
    """Return for each time whether it is expected, and at which index."""
    if not len(expected.times):
        return np.zeros(len(times), bool), np.zeros(len(times), np.intp)
    at = np.minimum(np.searchsorted(expected.times, times), len(expected.times) - 1)
    return np.asarray(expected.times[at] == times, bool), at


def _same(one: Points, other: Points) -> npt.NDArray[np.bool_]:
    same = np.asarray((value_bits(one) == value_bits(other)) & (one.statuses == other.statuses), bool)
    if one.texts is None and other.texts is None:
        return same
    return np.asarray(same & (text_bits(one) == text_bits(other)), bool)


def _pairs(lost: Points, strange: Points) -> tuple[Index, Index]:
    """Return indices of points of the same value and status, the n-th in time with the n-th, in the order of time."""
    if not len(lost.times) or not len(strange.times):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    _, one, other = np.intersect1d(_ranked(lost), _ranked(strange), assume_unique=True, return_indices=True)
    order = np.argsort(lost.times[one], kind="stable")
    return one[order], other[order]


_KEY = np.dtype([("bits", np.uint64), ("status", np.uint32), ("text", np.uint64), ("rank", np.int64)])


def _ranked(points: Points) -> npt.NDArray[Any]:
    """Return a unique key for each point: value, status, and how many of the same are before it in time."""
    keys = np.zeros(len(points.times), _KEY)
    bits = value_bits(points)
    texts = text_bits(points)
    order = np.lexsort((points.times, texts, points.statuses, bits))
    b, s, t = bits[order], points.statuses[order], texts[order]
    start = np.ones(len(order), bool)
    start[1:] = (b[1:] != b[:-1]) | (s[1:] != s[:-1]) | (t[1:] != t[:-1])
    place = np.arange(len(order))
    keys["bits"], keys["status"], keys["text"] = bits, points.statuses, texts
    keys["rank"][order] = place - np.maximum.accumulate(np.where(start, place, 0))
    return keys


def _others(points: Points, taken: Index) -> npt.NDArray[np.bool_]:
    left = np.ones(len(points.times), bool)
    left[taken] = False
    return left


def point_counts(comparison: PointComparison) -> dict[str, int]:
    """Return how many points differ, by kind; kinds without any are left out."""
    return {kind: len(times) for kind, times in comparison.times.items()}


def point_differences(series_id: str, comparison: PointComparison, limit: int | None) -> Iterator[Difference]:
    """Yield single points, of each kind at most `limit`, in the order of time; None for all."""
    for kind in comparison.sides:
        yield from differences_at(series_id, comparison, kind, slice(limit))


def differences_at(series_id: str, comparison: PointComparison, kind: str, which: slice) -> Iterator[Difference]:
    """Yield single points of one kind, those of a slice, in the order of time."""
    expected, found = comparison.sides[kind]
    if found is None:
        yield from (_missing(series_id, each) for each in _facts(expected, which))
    elif expected is None:
        yield from (_extra(series_id, each) for each in _facts(found, which))
    else:
        for one, other in zip(_facts(expected, which), _facts(found, which), strict=True):
            if kind == "shifted_time":
                yield _shifted(series_id, one, other)
            else:
                yield _changed(kind, series_id, one, other)


def _facts(points: Points | None, which: slice) -> Iterator[PointFacts]:
    if points is None:
        return
    points = points.take(which)
    texts = repeat(None) if points.texts is None else iter(points.texts)
    for time, value, bits, status in zip(points.times, points.values, value_bits(points), points.statuses, strict=True):
        yield PointFacts(int(time), float(value), int(bits), int(status), next(texts))


def _missing(series_id: str, point: PointFacts) -> Difference:
    text = f"{format_time(point.time_ns)} is missing: {point}"
    return Difference("missing_point", text, series_id, _instant(point), points=1, expected=point)


def _extra(series_id: str, point: PointFacts) -> Difference:
    text = f"{format_time(point.time_ns)} is too many: {point}"
    return Difference("extra_point", text, series_id, _instant(point), points=1, found=point)


def _changed(kind: str, series_id: str, expected: PointFacts, found: PointFacts) -> Difference:
    when = format_time(expected.time_ns)
    if kind == "changed_value":
        flipped = expected.bits ^ found.bits
        bits = f"bit {flipped.bit_length() - 1}" if flipped.bit_count() == 1 else f"{flipped.bit_count()} bits"
        text = f"{when}: value {expected.value_text} became {found.value_text}, {bits} changed"
    elif kind == "changed_text":
        text = f"{when}: text {expected.text!r} became {found.text!r}"
    else:
        text = f"{when}: status {expected.status} became {found.status}"
    return Difference(kind, text, series_id, _instant(expected), points=1, expected=expected, found=found)


def _shifted(series_id: str, expected: PointFacts, found: PointFacts) -> Difference:
    by = found.time_ns - expected.time_ns
    amount = f"{by:+,} ns" if abs(by) < NS_PER_SECOND else f"{by / NS_PER_SECOND:+,.9g} s"
    text = f"{format_time(expected.time_ns)} is at {format_time(found.time_ns)} ({amount}): {expected}"
    return Difference("shifted_time", text, series_id, _instant(expected), points=1, expected=expected, found=found)


def _instant(point: PointFacts) -> TimeRange:
    return TimeRange(point.time_ns, point.time_ns + 1)
