"""The compiled loops at their own edges; that they read and hash as numpy does is shown in tests/wire and test_fingerprint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omnia_beam.core import kernel
from omnia_beam.core.fingerprint import hash_points

ROOT = Path(__file__).parents[2]
ROW = bytes.fromhex("220a08808080808080808001") + bytes.fromhex("2209110000000000000440") + bytes.fromhex("220318c001")
TAGS = b"\x08\x11\x18"

COMPILED = kernel.COMPILED
needs_kernel = pytest.mark.skipif(COMPILED is None, reason="this installation has no compiled kernel")


def room(rows: int) -> tuple[np.ndarray, ...]:
    return np.zeros(rows, np.uint64), np.zeros(rows, np.uint64), np.zeros(rows, np.uint32)


@needs_kernel
def test_rows_are_read_and_what_lies_behind_them_is_not_touched() -> None:
    assert COMPILED is not None
    columns = room(5)
    assert COMPILED.read_rows(b"xx" + ROW * 3 + b"yy", 2, 2 + 3 * len(ROW), TAGS, columns) == 3
    assert columns[0].tolist() == [2**56] * 3 + [0] * 2
    assert columns[1].view(np.float64).tolist() == [2.5] * 3 + [0.0] * 2
    assert columns[2].tolist() == [192] * 3 + [0] * 2


@needs_kernel
def test_more_rows_than_room_are_not_read() -> None:
    assert COMPILED is not None
    assert COMPILED.read_rows(ROW * 3, 0, 3 * len(ROW), TAGS, room(2)) == -1
    assert COMPILED.read_rows(ROW * 3, 0, 3 * len(ROW), TAGS, room(3)) == 3
    assert COMPILED.read_rows(b"", 0, 0, TAGS, room(0)) == 0


@needs_kernel
@pytest.mark.parametrize("size", range(1, len(ROW)))
def test_a_row_that_is_cut_is_none(size: int) -> None:
    assert COMPILED is not None
    assert COMPILED.read_rows(ROW + ROW[:size], 0, len(ROW) + size, TAGS, room(2)) == -1
    assert COMPILED.read_rows(ROW * 2, 0, len(ROW) + size, TAGS, room(2)) == -1  # bytes there are, but not its own


@needs_kernel
@pytest.mark.parametrize(
    ("begin", "end", "tags"),
    [(-1, 5, TAGS), (5, 4, TAGS), (0, len(ROW) + 1, TAGS), (0, 5, b""), (0, 5, b"\x08\x11"), (0, 5, b"\x08\x11\x99")],
)
def test_arguments_that_make_no_sense_are_refused(begin: int, end: int, tags: bytes) -> None:
    assert COMPILED is not None
    with pytest.raises(ValueError, match=r"region|column|member"):
        COMPILED.read_rows(ROW, begin, end, tags, room(2))


@needs_kernel
def test_columns_that_cannot_be_written_are_refused() -> None:
    assert COMPILED is not None
    with pytest.raises(BufferError):
        COMPILED.read_rows(ROW, 0, len(ROW), TAGS, (b"12345678", b"12345678", b"1234"))
    with pytest.raises(ValueError, match="contiguous"):
        COMPILED.read_rows(ROW, 0, len(ROW), TAGS, tuple(each[::2] for each in room(4)))


@needs_kernel
def test_values_are_counted_by_tag_and_length() -> None:
    assert COMPILED is not None
    assert COMPILED.count_values(ROW * 3, 0, 3 * len(ROW)) == 9
    assert COMPILED.count_values(ROW, len(ROW), len(ROW)) == 0
    assert COMPILED.count_values(ROW + b"\x1a\x00", 0, len(ROW) + 2) == -1
    assert COMPILED.count_values(ROW, 0, len(ROW) - 1) == -1
    with pytest.raises(ValueError, match="region"):
        COMPILED.count_values(ROW, 0, len(ROW) + 1)


@needs_kernel
def test_columns_of_different_lengths_have_no_hash() -> None:
    assert COMPILED is not None
    with pytest.raises(ValueError, match="of one length"):
        COMPILED.hash_points(np.zeros(2, np.int64), np.zeros(2), np.zeros(1, np.uint32))


@needs_kernel
@pytest.mark.parametrize("n", [0, 1, 16_384, 40_000])
def test_both_ways_to_hash_agree(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(n)
    times = random.integers(-(2**63), 2**63 - 1, n)
    values = random.integers(0, 2**64, n, dtype=np.uint64).view(np.float64)
    statuses = random.integers(0, 2**32, n, dtype=np.uint64).astype(np.uint32)
    compiled = hash_points(times, values, statuses)
    assert hash_points(times[::-1], values[::-1], statuses[::-1]) == compiled  # strided, and in another order
    monkeypatch.setattr(kernel, "COMPILED", None)
    assert hash_points(times, values, statuses) == compiled


def test_it_can_be_switched_off() -> None:
    program = "from omnia_beam.core import kernel; print(kernel.COMPILED)"
    environment = {**os.environ, "OMNIA_BEAM_KERNEL": "off"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_one_of_an_earlier_build_is_not_used() -> None:
    program = (
        "import sys, types; sys.modules['omnia_beam.core._kernel'] = types.SimpleNamespace(hash_points=None); "
        "from omnia_beam.core import kernel; print(kernel.COMPILED)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize("value", ["", "off"])
def test_setup_builds_with_it_and_without(value: str) -> None:
    """What Beam's `--setup_file` runs on workers: `OMNIA_BEAM_KERNEL=off` gives a package that any Python can use."""
    program = (
        "import setuptools; setuptools.setup = lambda **given: print(len(given['ext_modules'])); import runpy; "
        "runpy.run_path('setup.py')"
    )
    environment = {**os.environ, "OMNIA_BEAM_KERNEL": value}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0" if value else "1"]
