"""One arena, and what is given back: in processes of their own, since neither can be undone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# malloc_info tells the arenas; sixteen threads that allocate would each get one of their own.
CODE = """
import ctypes, ctypes.util, os, tempfile, threading
from omnia_beam.beam.allocator import use_one_arena
done = use_one_arena()
held = threading.Barrier(9)
def work():
    kept = [bytes(5000) for _ in range(100)]
    held.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
[each.start() for each in threads]
held.wait()
[each.join() for each in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
with tempfile.NamedTemporaryFile() as file:
    stream = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(done, open(file.name).read().count("<heap nr="))
"""


def arenas(**environ: str) -> tuple[str, int]:
    told = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={**os.environ, **environ}
    )
    done, count = told.stdout.split()
    return done, int(count)


NEEDS_GLIBC = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="another C library has no arenas to limit"
)


@NEEDS_GLIBC
def test_threads_share_one_arena_unless_the_environment_says_otherwise() -> None:
    assert arenas() == ("True", 1)
    done, count = arenas(MALLOC_ARENA_MAX="4")
    assert done == "False"
    assert count > 1


SCATTERED = """
import os
from omnia_beam.beam.allocator import give_back
def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
blocks, kept = [], []
for _ in range(2_000):
    blocks.append(bytearray(50_000))
    kept.append(bytearray(1_000))  # not a constant, which would be one object
blocks.clear()
before = resident_mb()
print(give_back(), before - resident_mb())
"""


@NEEDS_GLIBC
def test_what_lies_free_between_small_things_is_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    done, freed_mb = told.stdout.split()
    assert done == "True"
    assert float(freed_mb) > 50
