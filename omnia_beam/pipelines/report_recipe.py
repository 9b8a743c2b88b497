"""A program that recomputes a fingerprint with the standard library alone, printed in the report and in docs/verify.md."""

from __future__ import annotations

from typing import Final

RECIPE: Final = """\
import struct

M = 2**64 - 1  # all sums wrap at 64 bits


def mix(x):  # the finalizer of splitmix64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M
    return x ^ x >> 31


def fingerprint(points):  # (time: ns since 1970, value: float, status: int), in any order
    low = high = 0
    for time, value, status in points:
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        h = mix(mix(mix(time & M ^ 0x9E3779B97F4A7C15) + bits & M) + status & M)
        low, high = low + h & M, high + mix(h ^ 0xD1B54A32D192ED03) & M
    return f"{high:016x}{low:016x}"
"""
"""The program as text. No points give 32 zeros; the fingerprint of two disjoint sets is the sum of theirs, each half by itself."""
