"""A standalone Flink as a cluster has it: a JobManager and TaskManagers, each a process of its own, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType

import yaml

from tests.pipelines.flink_job import JAR, REPOSITORY, WATCHED
from tests.support.free_port import free_port

_ENTRY = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_WORKER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_OPENED = ("lang", "lang.invoke", "nio", "time", "util", "util.concurrent")
# A script of Flink's distribution computes these from one figure; without it each has to be given.
_MEMORY = {
    "task.heap.size": "256m",
    "task.off-heap.size": "0",
    "framework.heap.size": "64m",
    "framework.off-heap.size": "64m",
    "network.min": "64m",
    "network.max": "64m",
    "managed.size": "128m",
    "jvm-metaspace.size": "192m",
    "jvm-overhead.min": "64m",
    "jvm-overhead.max": "64m",
}


class FlinkCluster:
    """A context manager that starts the cluster and waits until all of its TaskManagers have registered.

    Args:
        folder: for configuration, logs and Flink's own files.
        size: number of TaskManagers, each with one slot.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._started = 0

    @property
    def master(self) -> str:
        """The address that `--flink_master` takes."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> FlinkCluster:
        self._folder.mkdir(parents=True)
        self._configure()
        try:
            self._start(_ENTRY)
            for _ in range(self._size):
                self.add_task_manager()
            self._await_all()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def add_task_manager(self) -> None:
        """Start another TaskManager."""
        options = [f"-Dtaskmanager.memory.{name}={size}" for name, size in _MEMORY.items()]
        self._start(_WORKER, "-Dtaskmanager.cpu.cores=1.0", *options)

    def kill_task_manager(self) -> None:
        """Kill the TaskManager that was started first, and start another in its place."""
        first = self._processes.pop(1)
        first.send_signal(signal.SIGKILL)
        first.wait()
        self.add_task_manager()

    def _configure(self) -> None:
        settings = yaml.safe_load((REPOSITORY / "deploy/flink/config.yaml").read_text(encoding="utf-8"))
        settings |= {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": free_port(),
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "700m",
            "rest.address": "127.0.0.1",
            "rest.port": self.port,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": 1,
            "heartbeat.timeout": 10_000,
            "heartbeat.interval": 2_000,
            "io.tmp.dirs": str(self._folder / "tmp"),
            **WATCHED,
        }
        (self._folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def _start(self, entry: str, *options: str) -> None:
        self._started += 1
        opens = [word for name in _OPENED for word in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")]
        command = ["java", "-Xmx512m", *opens, "-cp", JAR, entry, "--configDir", str(self._folder), *options]
        log = (self._folder / f"process-{self._started}.log").open("wb")
        with log:
            started = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, start_new_session=True)
        self._processes.append(started)

    def _await_all(self) -> None:
        ends = time.monotonic() + 90
        while self._registered() < self._size:
            dead = [each for each in self._processes if each.poll() is not None]
            assert not dead, self.errors()
            assert time.monotonic() < ends, self.errors()
            time.sleep(0.3)

    def _registered(self) -> int:
        try:
            with urllib.request.urlopen(f"http://{self.master}/overview", timeout=5) as response:
                return int(yaml.safe_load(response.read())["taskmanagers"])
        except OSError:
            return 0

    def errors(self) -> str:
        """The end of each process's log."""
        logs = sorted(self._folder.glob("process-*.log"))
        return "\n".join(f"{each.name}: {each.read_text(errors='replace')[-1_500:]}" for each in logs)

    def _end(self) -> None:
        for each in self._processes:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)  # the workers that a TaskManager has started end with it
            each.wait()
