"""A job on Flink, watched from outside: its subtasks by Flink's REST interface, its workers by their process ids."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.support.free_port import free_port

REPOSITORY = Path(__file__).parents[2]
JAR = os.environ.get("FLINK_JOB_SERVER_JAR", "")
PARALLELISM = 2
WATCHED = {"rest.bind-address": "127.0.0.1", "web.refresh-interval": 200, "metrics.fetcher.update-interval": 200}
"""Flink's configuration for who wants to see figures that are not older than a look."""
_LOOK_EVERY_S = 0.3


@dataclass
class Subtask:
    """One subtask of the source's stage, as Flink last told of it."""

    attempts: set[int] = field(default_factory=set)
    shards: int = 0


class FlinkJob:
    """A context manager around `omnia-beam COMMAND JOB --runner=FlinkRunner`; `wait` follows it to its end.

    Args:
        folder: for configuration, log and process ids.
        job: the configuration.
        place: LOOPBACK, or PROCESS with as many processes as subtasks.
        command: `backfill` or `migrate`.
        rest_port: of a cluster on this machine; None for a Flink that is embedded in the job server.
    """

    def __init__(
        self, folder: Path, job: Path, place: str, *, command: str = "backfill", rest_port: int | None = None
    ) -> None:
        self._folder = folder
        self._job = job
        self._place = place
        self._name = command
        self._master = "[local]" if rest_port is None else f"127.0.0.1:{rest_port}"
        self._port = rest_port or free_port()
        self.subtasks: dict[int, Subtask] = {}
        self.summary: dict[str, Any] = {}
        self.elapsed_s = 0.0

    def __enter__(self) -> FlinkJob:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = (self._folder / "errors.log").open("wb")
        self._out = (self._folder / "out.log").open("wb")
        self._began = time.monotonic()
        # A group of its own: when a test ends early, Flink and its workers end with it.
        self._process = subprocess.Popen(
            self._command(), stdout=self._out, stderr=self._log, cwd=self._folder, start_new_session=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
        self._out.close()

    def wait(self, each_look: Callable[[], None] = lambda: None, timeout_s: float = 400) -> int:
        """Follow the job to its end, looking several times a second; its exit code."""
        while self._process.poll() is None:
            assert time.monotonic() - self._began < timeout_s, self.errors()
            each_look()
            self._look_at_subtasks()
            time.sleep(_LOOK_EVERY_S)
        self.elapsed_s = time.monotonic() - self._began
        lines = (self._folder / "out.log").read_text(encoding="utf-8").splitlines()
        self.summary = json.loads(lines[-1]) if lines else {}
        return self._process.returncode

    def errors(self) -> str:
        """The end of what the command said."""
        return (self._folder / "errors.log").read_text(encoding="utf-8", errors="replace")[-4_000:]

    def workers(self) -> list[int]:
        """Process ids of all workers that were started, in order."""
        path = self._folder / "workers.pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def busiest_worker(self) -> int:
        """The living worker that has used most of a processor."""
        return max(filter(is_alive, self.workers()), key=cpu_ticks)

    def _command(self) -> list[str]:
        known = json.loads(Path(JAR).with_suffix(".json").read_text(encoding="utf-8"))
        options = [
            f"--flink_master={self._master}",
            f"--flink_version={known['flink']}",
            f"--flink_job_server_jar={JAR}",
            f"--flink_conf_dir={self._configuration()}",
            f"--parallelism={PARALLELISM}",
            f"--environment_type={self._place}",
        ]
        if self._place == "PROCESS":
            options += [
                f"--environment_config={json.dumps({'command': str(self._worker())})}",
                f"--sdk_worker_parallelism={PARALLELISM}",
            ]
        command = [sys.executable, "-m", "omnia_beam.cli", self._name, str(self._job), "--json", "--no-progress"]
        return [*command, "--runner=FlinkRunner", "--", *options]

    def _configuration(self) -> Path:
        """What is recommended, with a port where this test can ask."""
        folder = self._folder / "flink"
        folder.mkdir()
        shutil.copy(REPOSITORY / "deploy/flink/config.yaml", folder)
        with (folder / "config.yaml").open("a") as file:
            file.write(yaml.safe_dump({"rest.bind-port": str(self._port), **WATCHED}))
        return folder

    def _worker(self) -> Path:
        """`omnia-beam-worker`, with its process id left behind."""
        script = self._folder / "worker"
        pids = self._folder / "workers.pids"
        program = Path(sys.executable).with_name("omnia-beam-worker")
        script.write_text(f'#!/bin/sh\necho $$ >>"{pids}"\nexec "{program}" "$@"\n')
        script.chmod(0o755)
        return script

    def _look_at_subtasks(self) -> None:
        for job in self._ask("/jobs/overview").get("jobs", []):
            for vertex in self._ask(f"/jobs/{job['jid']}").get("vertices", []):
                if "Decode" in vertex["name"]:  # the stage that fetches, too: one, since they are fused
                    self._note(self._ask(f"/jobs/{job['jid']}/vertices/{vertex['id']}"))

    def _note(self, vertex: Mapping[str, Any]) -> None:
        for each in vertex.get("subtasks", []):
            subtask = self.subtasks.setdefault(each["subtask"], Subtask())
            subtask.attempts.add(each["attempt"])
            subtask.shards = max(subtask.shards, each["metrics"]["read-records"])

    def _ask(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as response:
                return json.load(response)  # type: ignore[no-any-return]  # Flink answers with objects
        except (OSError, ValueError):
            return {}  # not there yet, or no more


def windows_by_writer(ledger: Path) -> dict[str, int]:
    """Windows recorded by each writer: every subtask has one of its own, and a new one when it is started again."""
    found = {}
    for segment in sorted(ledger.glob("segment-*.jsonl")):
        records = [json.loads(line) for line in segment.read_text(encoding="utf-8").splitlines()]
        writer = re.split(r"[-.]", segment.name)[2]
        found[writer] = found.get(writer, 0) + sum(each.get("kind") == "receipt" for each in records)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs: the dead that nobody has asked after count as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_ticks(pid: int) -> int:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
