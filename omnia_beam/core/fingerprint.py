"""An order-independent fingerprint of datapoints that adds up over disjoint ranges.

The fingerprint can be recomputed with this recipe. All arithmetic is on unsigned 64-bit integers and wraps:

    mix(x):  x ^= x >> 30;  x *= 0xBF58476D1CE4E5B9;  x ^= x >> 27;  x *= 0x94D049BB133111EB;  x ^= x >> 31
             (the finalizer of splitmix64, Steele, Lea and Flood 2014)
    h(point) = mix(mix(mix(time ^ 0x9E3779B97F4A7C15) + bits(value)) + status)
    h(point) = mix(h(point) + text), once more, where the point has a text
    low      = sum of h(point) over all points
    high     = sum of mix(h(point) ^ 0xD1B54A32D192ED03) over all points
    text     = 32 hex digits: high, then low

`time` is the int64 of ns, `bits(value)` the 64 bits of the double (so that -0.0, 0.0 and every NaN differ), `status`
the uint32, `text` the BLAKE2b digest of 8 bytes of the text's UTF-8, as a little-endian number. An empty set gives 32 zeros.
The fingerprint of the union of two disjoint sets is the lane by lane sum of
their fingerprints, so the fingerprints of windows add up to the fingerprint of the range.

It detects accidents, not attacks: it is not a cryptographic hash.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core import kernel
from omnia_beam.core.chunk import Points
from omnia_beam.core.text import counted
from omnia_beam.core.timestamps import format_time

_TIME_SALT: Final = np.uint64(0x9E3779B97F4A7C15)
_LANE_SALT: Final = np.uint64(0xD1B54A32D192ED03)
_MASK: Final = 2**64 - 1
_BLOCK: Final = 16_384  # points a step, so that the temporaries stay inside the second-level cache


def hash_points(
    times: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    statuses: npt.NDArray[np.uint32],
    texts: npt.NDArray[np.object_] | None = None,
) -> str:
    """Return the fingerprint of points, in whatever order they are given.

    Args:
        times: ns, int64, shape (n,).
        values: float64, shape (n,).
        statuses: uint32, shape (n,).
        texts: str or None, shape (n,); None where no point has a text.

    Returns:
        32 hex digits.

    >>> times, statuses = np.array([10, 20]), np.array([192, 192], np.uint32)
    >>> forwards = hash_points(times, np.array([1.5, 2.5]), statuses)
    >>> forwards == hash_points(times[::-1], np.array([2.5, 1.5]), statuses)
    True
    """
    if texts is not None:
        has_text = np.array([each is not None for each in texts], bool)
        plain = hash_points(times[~has_text], values[~has_text], statuses[~has_text])
        points = (times[has_text], values[has_text], statuses[has_text])
        return add_hashes(plain, _hash_with_texts(*points, texts[has_text].tolist()))
    times = np.ascontiguousarray(times, np.int64)
    values = np.ascontiguousarray(values, np.float64)
    if kernel.COMPILED is not None:
        low, high = kernel.COMPILED.hash_points(times, values, np.ascontiguousarray(statuses, np.uint32))
    else:
        low, high = _hash_in_blocks(times.view(np.uint64), values.view(np.uint64), statuses)
    return f"{high & _MASK:016x}{low & _MASK:016x}"


def text_digests(texts: Iterable[str | None]) -> npt.NDArray[np.uint64]:
    """Return for each text the number that its point's hash is mixed with; 0 for None."""
    none = bytes(8)
    digests = (none if each is None else hashlib.blake2b(each.encode(), digest_size=8).digest() for each in texts)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _hash_with_texts(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], statuses: npt.NDArray[np.uint32], texts: list[str]
) -> str:
    with np.errstate(over="ignore"):
        h = np.ascontiguousarray(times, np.int64).view(np.uint64) ^ _TIME_SALT
        for part in (np.ascontiguousarray(values, np.float64).view(np.uint64), statuses, text_digests(texts)):
            _mix(h)
            h += part
        _mix(h)
        low = int(h.sum(dtype=np.uint64))
        h ^= _LANE_SALT
        _mix(h)
        high = int(h.sum(dtype=np.uint64))
    return f"{high & _MASK:016x}{low & _MASK:016x}"


def _hash_in_blocks(
    time_bits: npt.NDArray[np.uint64], value_bits: npt.NDArray[np.uint64], statuses: npt.NDArray[np.uint32]
) -> tuple[int, int]:
    low = high = 0
    with np.errstate(over="ignore"):
        for at in range(0, len(time_bits), _BLOCK):
            part = slice(at, at + _BLOCK)
            h = time_bits[part] ^ _TIME_SALT
            _mix(h)
            h += value_bits[part]
            _mix(h)
            h += statuses[part]
            _mix(h)
            low += int(h.sum(dtype=np.uint64))
            h ^= _LANE_SALT
            _mix(h)
            high += int(h.sum(dtype=np.uint64))
    return low, high


def add_hashes(*hashes: str) -> str:
    """Return the fingerprint of the union of disjoint sets of points, given the fingerprint of each."""
    high = sum(int(text[:16], 16) for text in hashes) & _MASK
    low = sum(int(text[16:], 16) for text in hashes) & _MASK
    return f"{high:016x}{low:016x}"


def _mix(x: npt.NDArray[Any]) -> None:
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)


def status_histogram(points: Points) -> tuple[tuple[int, int], ...]:
    """Return (status, points) pairs, ascending by status."""
    statuses = points.statuses
    if not len(statuses):
        return ()
    first = statuses[0]
    if (statuses == first).all():  # one status is the common case, and a comparison is far cheaper than a sort
        return ((int(first), len(statuses)),)
    found, counts = np.unique(statuses, return_counts=True)
    return tuple((int(s), int(n)) for s, n in zip(found, counts, strict=True))


RECIPE: Final = """\
import hashlib, struct

M = 2**64 - 1  # all sums wrap at 64 bits


def mix(x):  # the finalizer of splitmix64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M
    return x ^ x >> 31


def fingerprint(points):  # (time: ns since 1970, value: float, status: int[, text: str or None]), in any order
    low = high = 0
    for time, value, status, *text in points:
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        h = mix(mix(mix(time & M ^ 0x9E3779B97F4A7C15) + bits & M) + status & M)
        for each in text:
            if each is not None:
                digest = hashlib.blake2b(each.encode(), digest_size=8).digest()
                h = mix(h + int.from_bytes(digest, "little") & M)
        low, high = low + h & M, high + mix(h ^ 0xD1B54A32D192ED03) & M
    return f"{high:016x}{low:016x}"
"""
"""A program that computes `content_hash` from any copy, as text: reports print it. No points give 32 zeros; the fingerprint of two
disjoint sets is the sum of theirs, each half by itself."""

READING: Final = """\
import glob
import pyarrow.dataset as ds

files = ds.dataset(sorted(glob.glob({pattern}, recursive=True)))
columns = [name for name in ("time", "value", "status", "text") if name in files.schema.names]
for series_id in sorted(files.to_table(["series_id"])["series_id"].unique().to_pylist()):
    found = files.to_table(columns, filter=ds.field("series_id") == series_id)
    found = found.set_column(0, "time", found["time"].cast("int64"))
    print(series_id, fingerprint(zip(*(column.to_pylist() for column in found.columns))))
"""
"""What follows RECIPE to print the fingerprint of every series in Parquet files; `pattern` is a literal of their glob."""

QUERY: Final = """\
create or replace macro low64(x) as x & 18446744073709551615::uhugeint;
create or replace macro mix1(x) as low64(xor(x, x >> 30) * 13787848793156543929::uhugeint);
create or replace macro mix2(x) as low64(xor(x, x >> 27) * 10723151780598845931::uhugeint);
create or replace macro mix3(x) as xor(x, x >> 31);
create or replace macro mix(x) as mix3(mix2(mix1(x)));
create or replace macro total(x) as low64(sum(x::hugeint)::uhugeint)::ubigint;

with points as (
    select series_id, xor(epoch_ns(time)::bit::ubigint, 11400714819323198485::ubigint)::uhugeint as t,
        value::bit::ubigint::uhugeint as v, status::uhugeint as s
    from read_parquet({pattern}){condition}),
a as materialized (select series_id, v, s, mix(t) as h from points),
b as materialized (select series_id, s, mix(low64(h + v)) as h from a),
c as materialized (select series_id, mix(low64(h + s)) as h from b)
select series_id, count(*) as points,
    format('{{:016x}}{{:016x}}', total(mix(xor(h, 15111065706836454659::uhugeint))), total(h)) as fingerprint
from c group by series_id order by series_id;
"""
"""The same in SQL, for points without texts, since DuckDB has no BLAKE2b; `pattern` is a literal, `condition` empty or WHERE."""


def reading_program(pattern: str) -> str:
    """Return what follows RECIPE to print the fingerprint of every series in the Parquet files that a glob names."""
    return READING.format(pattern=json.dumps(pattern))


def reading_query(pattern: str, *, texts: bool) -> str:
    """Return the statements with which DuckDB computes the fingerprint of every series in the Parquet files that a glob names.

    Args:
        texts: whether the files have a column of texts: then series that have any are left out.
    """
    literal = "'" + pattern.replace("'", "''") + "'"
    with_texts = f"select series_id from read_parquet({literal}) where text is not null"  # noqa: S608  # nothing runs it here
    return QUERY.format(pattern=literal, condition=f"\n    where series_id not in ({with_texts})" if texts else "")


_NO_HASH = "0" * 32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a set of points of one series.

    Equal fingerprints mean the same points, except for a chance of about 2^-128.

    Args:
        count: points.
        first_ns, last_ns: the earliest and the latest time, None where there are no points.
        statuses: (status, points) pairs, ascending by status.
        content_hash: 32 hex digits; see `core.fingerprint`.
    """

    count: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    statuses: tuple[tuple[int, int], ...] = ()
    content_hash: str = _NO_HASH

    @classmethod
    def of(cls, points: Points) -> Fingerprint:
        """Return the fingerprint of points in any order."""
        if not len(points.times):
            return cls()
        first, last = int(points.times.min()), int(points.times.max())
        return cls(len(points.times), first, last, status_histogram(points), hash_points(*points))

    def plus(self, other: Fingerprint) -> Fingerprint:
        """Return the fingerprint of the union of two disjoint sets."""
        if not other.count or not self.count:
            return self if self.count else other
        statuses = Counter(dict(self.statuses)) + Counter(dict(other.statuses))
        return Fingerprint(
            self.count + other.count,
            _bound(min, self.first_ns, other.first_ns),
            _bound(max, self.last_ns, other.last_ns),
            tuple(sorted(statuses.items())),
            add_hashes(self.content_hash, other.content_hash),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report."""
        return {
            "count": self.count,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "statuses": [list(pair) for pair in self.statuses],
            "content_hash": self.content_hash,
        }


def total_fingerprint(parts: Iterable[Fingerprint]) -> Fingerprint:
    """Return the fingerprint of the union of disjoint sets."""
    total = Fingerprint()
    for part in parts:
        total = total.plus(part)
    return total


def describe_change(expected: Fingerprint, found: Fingerprint) -> str:
    """Describe in words how two fingerprints differ."""
    if expected.count != found.count:
        return f"{counted(expected.count, 'point')} expected, {found.count:,} found"
    if (expected.first_ns, expected.last_ns) != (found.first_ns, found.last_ns):
        return f"from {_span(expected)} expected, from {_span(found)} found"
    if expected.statuses != found.statuses:
        return f"statuses {_statuses(expected)} expected, {_statuses(found)} found"
    return (
        f"{counted(expected.count, 'point')}, fingerprint {expected.content_hash} expected, {found.content_hash} found"
    )


def _span(print_: Fingerprint) -> str:
    return " to ".join("nothing" if each is None else format_time(each) for each in (print_.first_ns, print_.last_ns))


def _statuses(print_: Fingerprint) -> str:
    return ", ".join(f"{status} ({count:,})" for status, count in print_.statuses)


def _bound(choose: Any, *times: int | None) -> int:
    return int(choose(time for time in times if time is not None))
