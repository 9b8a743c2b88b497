"""Every command for every pair of kinds: in this process, with workers, and through a job service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.cli import main
from tests.io.contract.conftest import write_job
from tests.io.contract.place import Place, case, kinds_at
from tests.pipelines.conftest import Rows, differences, rows
from tests.pipelines.job_service import JobService

SOURCES, SINKS = kinds_at("source"), kinds_at("sink")
POINTS = {
    name: rows(range(0, 40 * 10**9, 10**9), [at + shift for at in range(40)], [192] * 40)
    for name, shift in (("A", 0.5), ("B", -0.25), ("C", 1e6))
}
QUICK = [("sqlite", "omnia")]
"""What `make test` walks; the whole matrix is long."""

AGAINST = sorted(
    {(kind, other) for kind in SOURCES for other in ("parquet", "omnia")}
    | {(other, kind) for kind in SINKS for other in ("parquet", "omnia")}
)
PAIRWISE = [case(*pair) for pair in (*((kind, "parquet") for kind in SOURCES), *(("parquet", kind) for kind in SINKS))]
"""Each kind once as a source and once as a sink."""


def in_this_process(arguments: Sequence[str]) -> int:
    return main(list(arguments))


def with_runner_elsewhere(arguments: Sequence[str]) -> int:
    """Run what takes options of Beam in a process of its own, and everything else in this one."""
    if "--" not in arguments:
        return in_this_process(arguments)
    command = [sys.executable, "-m", "omnia_beam", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=dict(os.environ))
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def walk(
    folder: Path, source: Place, sink: Place, run: Callable[[Sequence[str]], int], *runner: str, **keys: Any
) -> None:
    """Run every command once, and compare what arrived."""
    source.put(POINTS)
    job = str(write_job(folder, source, sink, max_chunk_points=25, **keys))
    expected: dict[str, Rows] = POINTS
    quiet = ["--no-progress", "--quiet"]
    assert run(["check", job]) == 0
    assert run(["series", job]) == 0
    assert run(["plan", job, "--quiet"]) == 0
    assert run(["migrate", job, *quiet, *runner]) == 0
    assert differences(by_name(source, sink.held()), expected) == {}
    assert run(["plan", job, "--quiet"]) == 0
    assert run(["status", job, "--quiet"]) == 0
    assert run(["verify", job, "--source", *quiet, *runner]) == 0
    sink.spoil(next(iter(sink.held())), 10**9)
    assert run(["verify", job, *quiet, *runner]) == 1
    assert run(["verify", job, "--repair", *quiet, *runner]) == 0
    assert differences(by_name(source, sink.held()), expected) == {}
    assert run(["replay", job, *quiet]) in (0, 2)  # 2 where the sink refuses no points
    assert run(["profile", job, "--quiet"]) in (0, 1, 2)  # 2 where what the sink holds is not in files
    if not runner:  # a tail elsewhere is a streaming job
        assert run(["tail", job, *quiet, "--set", "tail.poll=1s", "--set", "tail.lag=1s"]) == 0
    assert run(["migrate", job, *quiet, *runner]) == 0
    assert differences(by_name(source, sink.held()), expected) == {}


def by_name(source: Place, held: dict[str, Rows]) -> dict[str, Rows]:
    names = source.ids()
    return {names.get(series_id, series_id): points for series_id, points in held.items()}


@pytest.mark.parametrize(
    ("source", "sink"),
    [case(*pair, marks=() if pair in QUICK else [pytest.mark.long]) for pair in AGAINST],
)
def test_every_command_in_this_process(source: str, sink: str, make: Callable[..., Place], tmp_path: Path) -> None:
    walk(tmp_path, make(source), make(sink), in_this_process)


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "sink"), [case(one, other) for one in SOURCES for other in SINKS if (one, other) not in AGAINST]
)
def test_every_command_for_every_other_pair(source: str, sink: str, make: Callable[..., Place], tmp_path: Path) -> None:
    walk(tmp_path, make(source), make(sink), in_this_process)


@pytest.mark.long
@pytest.mark.parametrize(("source", "sink"), PAIRWISE)
def test_every_command_with_workers(source: str, sink: str, make: Callable[..., Place], tmp_path: Path) -> None:
    walk(tmp_path, make(source), make(sink), in_this_process, workers=2)


@pytest.mark.long
@pytest.mark.parametrize(("source", "sink"), PAIRWISE)
def test_every_command_through_a_job_service(
    source: str, sink: str, make: Callable[..., Place], tmp_path: Path
) -> None:
    with JobService(tmp_path) as service:
        endpoint = f"--job_endpoint=localhost:{service.port}"
        runner = ["--runner=PortableRunner", "--", endpoint, "--environment_type=LOOPBACK"]
        walk(tmp_path, make(source), make(sink), with_runner_elsewhere, *runner)
