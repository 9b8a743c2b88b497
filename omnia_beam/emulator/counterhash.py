"""Random numbers by counter: the n-th number of a key is a function of key and n, whoever asks and in what order."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
# Made once: a numpy scalar costs more than the operation that it goes into.
_STEP, _FIRST, _SECOND = np.uint64(_GOLDEN), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


def key_of(*parts: Any) -> int:
    """A 64-bit key from anything with a stable `str`, such as a seed, an id and a purpose."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hashes(key: int, first: int, stop: int) -> Hashes:
    """The hashes of the counters `first <= n < stop`, as uint64 (splitmix64 of `key + n * golden ratio`)."""
    offset = (key + first * _GOLDEN) & _MASK
    mixed = np.arange(stop - first, dtype=np.uint64)
    mixed *= _STEP
    mixed += np.uint64(offset)
    return _mixed_in_place(mixed)


def hashes_of(key: int, counters: NDArray[Any]) -> Hashes:
    """The hashes of these counters, integers of any sign."""
    mixed = counters.astype(np.int64).view(np.uint64) * _STEP
    mixed += np.uint64(key & _MASK)
    return _mixed_in_place(mixed)


def hash_one(key: int, counter: int) -> int:
    """The hash of one counter, without numpy's overhead; equal to `hashes(key, counter, counter + 1)[0]`."""
    mixed = (key + counter * _GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def unit(hashed: int) -> float:
    """A hash as a fraction in `[0, 1)`."""
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
