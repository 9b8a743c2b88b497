"""One arena: in a process of its own, since it cannot be undone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# malloc_info tells the arenas; sixteen threads that allocate would each get one of their own.
CODE = """
import ctypes, ctypes.util, os, tempfile, threading
from omnia_beam.pipelines.allocator import use_one_arena
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


@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="another C library has no arenas to limit"
)
def test_threads_share_one_arena_unless_the_environment_says_otherwise() -> None:
    assert arenas() == ("True", 1)
    done, count = arenas(MALLOC_ARENA_MAX="4")
    assert done == "False"
    assert count > 1
