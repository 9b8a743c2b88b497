"""Keep memory level and cheap: glibc's allocator, and Python's search for cycles.

By default glibc's allocator holds on to memory that threads free.

It makes an arena for each thread and returns an arena's memory to the system only from its end; with pages of megabytes
that one thread fetches and another one frees, memory creeps up with the length of a run. One arena for all costs nothing
here, where threads wait for sockets or work outside the allocator: measured, 395 instead of 468 MB after 200 M points.

What is free below the arena's end stays with the process all the same, and the small things that lie between grow more
scattered. A job without an end gives it back between its cycles.
"""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Final

_COLLECT_AFTER: Final = 20_000
_M_ARENA_MAX: Final = -8  # malloc.h of glibc


def use_one_arena() -> bool:
    """Limit glibc to one arena, and return whether that was done. Call it before threads start.

    It does nothing where the C library is another, or where the environment says how many arenas to use (MALLOC_ARENA_MAX).
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return False
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1) == 1)
    except (AttributeError, OSError, ValueError):
        return False


def collect_rarely() -> None:
    """Let Python look for cycles after 20,000 new objects in place of 700. For programs, never for a library.

    Most objects of a program live long: modules, the series of a plant, the windows of a plan. Measured with 100,000 series,
    looking through them again and again took a fifth of the time of planning.
    """
    gc.set_threshold(max(gc.get_threshold()[0], _COLLECT_AFTER))


def give_back() -> bool:
    """Return free memory to the system, in some milliseconds. Returns whether there was any; never with another C library."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0) == 1)
    except (AttributeError, OSError):
        return False
