"""Disks that fill up, places that cannot be written, a damaged ledger, two runs at once: told in one line, nothing lost.

Each run is a process of its own, as a cron job's is. File systems of a size of their own need root; elsewhere those
tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from tests.pipelines.conftest import differences, emulated_points, stored_points

pytestmark = pytest.mark.long  # processes against full disks and lost leases, each started a few times

START, END = parse_time("2024-01-01"), parse_time("2024-02-01")
Write = Callable[..., Path]


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    times = START + np.arange(40_000) * 60 * 10**9
    noise = np.random.default_rng(1).normal(size=40_000)  # so that Parquet cannot make it small
    with EmulatorThread(series={"a": (times, noise, 192), "b": (times, noise * 2, 192)}) as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a tmpfs of so many kB at a name below tmp_path."""
    mounted: list[Path] = []

    def mount(name: str, kilobytes: int, *options: str) -> Path:
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        with_size = ",".join([f"size={kilobytes}k", *options])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", with_size, "tmpfs", str(path)], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"a file system of a size of its own cannot be mounted here: {done.stderr.strip()}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=False, capture_output=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True, capture_output=True)


def start(job: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "omnia_beam.cli", "backfill", str(job), "--json", "--no-progress"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(job: Path) -> tuple[int, str, dict[str, Any]]:
    """Exit code, the last line of stderr that is no log line, the summary."""
    process = start(job)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    told = [line for line in err.splitlines() if line.startswith("omnia-beam ")]
    assert len(told) <= 1, err
    return process.returncode, told[0] if told else "", json.loads(out.splitlines()[-1])


def is_exact(emulator: EmulatorThread, out: Path) -> bool:
    return differences(stored_points(out), emulated_points(emulator, START, END)) == {}


def job_of(write: Write, emulator: EmulatorThread, **keys: Any) -> Path:
    return write(emulator.url, source={"page_limit": 2_000}, max_chunk_points=2_000, **keys)


def test_the_destinations_disk_fills_up(
    emulator: EmulatorThread, job_file: Write, small_disk: Callable[..., Path], tmp_path: Path
) -> None:
    out = small_disk("out", 400)
    job = job_of(job_file, emulator)
    code, told, summary = run(job)
    assert code == 3
    assert str(out) in told
    assert "No space left on device" in told
    assert summary["status"] == "failed"
    remount(out, "size=4000k")
    code, _, summary = run(job)
    assert code == 0
    assert summary["windows_skipped"] > 5  # what fitted was kept
    assert is_exact(emulator, out)
    assert not list(out.rglob(".omnia-beam-*"))


def test_the_states_disk_fills_up(
    emulator: EmulatorThread, job_file: Write, small_disk: Callable[..., Path], tmp_path: Path
) -> None:
    state = small_disk("state", 24)  # the lease, and a few receipts
    job = job_of(job_file, emulator)
    code, told, _ = run(job)
    assert code == 3
    assert str(state) in told
    assert "No space left on device; free some space and run the same command again" in told
    remount(state, "size=4000k")
    code, _, _ = run(job)
    assert code == 0
    assert is_exact(emulator, tmp_path / "out")


@pytest.mark.parametrize("name", ["state", "out"])
def test_a_place_that_is_read_only(
    name: str, emulator: EmulatorThread, job_file: Write, small_disk: Callable[..., Path], tmp_path: Path
) -> None:
    place = small_disk(name, 4_000)
    remount(place, "ro")
    job = job_of(job_file, emulator)
    code, told, _ = run(job)
    assert code == 3
    assert str(place) in told
    assert "Read-only file system" in told
    assert emulator.stats()["points_served"] <= 2  # found before anything was read
    remount(place, "rw")
    assert run(job)[0] == 0
    assert is_exact(emulator, tmp_path / "out")


@pytest.mark.parametrize("name", ["state", "out"])
def test_a_file_in_the_way(name: str, emulator: EmulatorThread, job_file: Write, tmp_path: Path) -> None:
    (tmp_path / name).write_text("in the way")
    code, told, _ = run(job_of(job_file, emulator))
    assert code == 3
    assert str(tmp_path / name) in told
    assert (tmp_path / name).read_text() == "in the way"


def test_a_damaged_ledger_is_named_and_nothing_is_touched(
    emulator: EmulatorThread, job_file: Write, tmp_path: Path
) -> None:
    job = job_of(job_file, emulator)
    assert run(job)[0] == 0
    (segment,) = (tmp_path / "state").rglob("segment-*")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0x10
    segment.write_bytes(content)
    before = sorted((tmp_path / "out").rglob("*.parquet"))
    code, told, _ = run(job)
    assert code == 3
    assert str(segment) in told
    assert "damaged" in told
    assert sorted((tmp_path / "out").rglob("*.parquet")) == before
    segment.unlink()  # as the message says
    code, _, summary = run(job)
    assert (code, summary["windows_skipped"]) == (0, 0)
    assert is_exact(emulator, tmp_path / "out")


def test_two_runs_at_once(emulator: EmulatorThread, job_file: Write, tmp_path: Path) -> None:
    emulator.set_faults(["path=/data stall=0.1"])
    job = job_of(job_file, emulator)
    both = [start(job), start(job)]
    ended = {process.communicate(timeout=60)[1]: process.returncode for process in both}
    assert sorted(ended.values()) == [0, 3]
    (told,) = (
        line for err, code in ended.items() if code == 3 for line in err.splitlines() if line.startswith("omnia-beam ")
    )
    assert "another run of job 'job' is running" in told
    assert f"pid {both[0].pid}" in told or f"pid {both[1].pid}" in told
    assert is_exact(emulator, tmp_path / "out")
    emulator.set_faults([])
    assert run(job)[2]["windows_done"] == 0


@pytest.mark.skipif(os.name != "posix", reason="processes are stopped with SIGSTOP")
def test_a_lease_that_was_taken_away_stops_the_run_at_once(
    emulator: EmulatorThread, job_file: Write, tmp_path: Path
) -> None:
    """As when a machine was suspended for so long that another took over: here the lease is simply rewritten."""
    emulator.set_faults(["path=/data stall=0.1"])
    job = job_of(job_file, emulator)
    process = start(job)
    lease = tmp_path / "state/job/lease.json"
    while not list((tmp_path / "state").rglob("segment-*")):
        assert process.poll() is None
    taken = json.loads(lease.read_text()) | {"nonce": "somebody else's", "run": 7}
    lease.write_text(json.dumps(taken))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "has lost its lease and stops writing" in err
    lease.write_text(json.dumps(taken | {"released": True}))
    emulator.set_faults([])
    assert run(job)[0] == 0
    assert is_exact(emulator, tmp_path / "out")
