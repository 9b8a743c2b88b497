"""An order-independent fingerprint of datapoints that adds up over disjoint ranges.

The fingerprint can be recomputed with this recipe. All arithmetic is on unsigned 64-bit integers and wraps:

    mix(x):  x ^= x >> 30;  x *= 0xBF58476D1CE4E5B9;  x ^= x >> 27;  x *= 0x94D049BB133111EB;  x ^= x >> 31
             (the finalizer of splitmix64, Steele, Lea and Flood 2014)
    h(point) = mix(mix(mix(time ^ 0x9E3779B97F4A7C15) + bits(value)) + status)
    low      = sum of h(point) over all points
    high     = sum of mix(h(point) ^ 0xD1B54A32D192ED03) over all points
    text     = 32 hex digits: high, then low

`time` is the int64 of ns, `bits(value)` the 64 bits of the double (so that -0.0, 0.0 and every NaN differ), `status`
the uint32. An empty set gives 32 zeros. The fingerprint of the union of two disjoint sets is the lane by lane sum of
their fingerprints, so the fingerprints of windows add up to the fingerprint of the range.

It detects accidents, not attacks: it is not a cryptographic hash.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core import kernel

_TIME_SALT: Final = np.uint64(0x9E3779B97F4A7C15)
_LANE_SALT: Final = np.uint64(0xD1B54A32D192ED03)
_MASK: Final = 2**64 - 1
_BLOCK: Final = 16_384  # points a step, so that the temporaries stay inside the second-level cache


def hash_points(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], statuses: npt.NDArray[np.uint32]) -> str:
    """Return the fingerprint of points, in whatever order they are given.

    Args:
        times: ns, int64, shape (n,).
        values: float64, shape (n,).
        statuses: uint32, shape (n,).

    Returns:
        32 hex digits.

    >>> times, statuses = np.array([10, 20]), np.array([192, 192], np.uint32)
    >>> forwards = hash_points(times, np.array([1.5, 2.5]), statuses)
    >>> forwards == hash_points(times[::-1], np.array([2.5, 1.5]), statuses)
    True
    """
    times = np.ascontiguousarray(times, np.int64)
    values = np.ascontiguousarray(values, np.float64)
    if kernel.COMPILED is not None:
        low, high = kernel.COMPILED.hash_points(times, values, np.ascontiguousarray(statuses, np.uint32))
    else:
        low, high = _hash_in_blocks(times.view(np.uint64), values.view(np.uint64), statuses)
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
