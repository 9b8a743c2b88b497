"""Random numbers by counter: the n-th number of a key depends on key and n alone, not on the order of the draws."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
# Constants, because making a numpy scalar costs more than the operation that uses it.
_STEP, _FIRST, _SECOND = np.uint64(_GOLDEN), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


def key_of(*parts: Any) -> int:
    """Return a 64-bit key of parts that have a stable `str`, such as a seed, an id and a purpose."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hashes(key: int, first: int, stop: int) -> Hashes:
    """Return the hashes of the counters `first <= n < stop`, as uint64 (splitmix64 of `key + n * golden ratio`)."""
    offset = (key + first * _GOLDEN) & _MASK
    mixed = np.arange(stop - first, dtype=np.uint64)
    mixed *= _STEP
    mixed += np.uint64(offset)
    return _mixed_in_place(mixed)


def hashes_of(key: int, counters: NDArray[Any]) -> Hashes:
    """Return the hashes of these counters, which are integers of any sign."""
    mixed = counters.astype(np.int64).view(np.uint64) * _STEP
    mixed += np.uint64(key & _MASK)
    return _mixed_in_place(mixed)


def hash_one(key: int, counter: int) -> int:
    """Return the hash of one counter without numpy's overhead; it equals `hashes(key, counter, counter + 1)[0]`."""
    mixed = (key + counter * _GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def unit(hashed: int) -> float:
    """Return a hash as a fraction in `[0, 1)`."""
    return (hashed >> 11) * 2.0**-53


def _mixed_in_place(mixed: Hashes) -> Hashes:
    scratch = mixed >> _30
    mixed ^= scratch
    mixed *= _FIRST
    np.right_shift(mixed, _27, out=scratch)
    mixed ^= scratch
    mixed *= _SECOND
    np.right_shift(mixed, _31, out=scratch)
    mixed ^= scratch
    return mixed
