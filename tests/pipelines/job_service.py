"""Beam's local job service and worker pool in processes of their own: the real Fn API, without a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType


class JobService:
    """A context manager; `port` is where it listens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    def __enter__(self) -> JobService:
        port_file = self._folder / "job-service.port"
        module = "apache_beam.runners.portability.local_job_service_main"
        command = [sys.executable, "-m", module, "--port", "0", "--port_file", str(port_file)]
        self._log = (self._folder / "job-service.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        for _ in range(600):
            if port_file.exists() and (text := port_file.read_text().strip()):
                self.port = int(text)
                return self
            time.sleep(0.05)
        self._end()
        raise AssertionError((self._folder / "job-service.log").read_text())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


class WorkerPool:
    """What starts the workers of `--environment_type=EXTERNAL`; a context manager, `port` is where it listens.

    Args:
        folder: for the log, and what the workers leave there.
        program: started for each worker; None for `python`, which Beam takes from PATH, so that this one comes first there.
    """

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        self._log_file = folder / "worker-pool.log"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        module = "apache_beam.runners.worker.worker_pool_main"
        self._command = [sys.executable, "-m", module, f"--service_port={self.port}"]
        if program is not None:
            self._command.append(f"--container_executable={program}")
        self._environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def __enter__(self) -> WorkerPool:
        self._log = self._log_file.open("wb")
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log, env=self._environment)
        for _ in range(600):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        self._end()
        raise AssertionError(self._log_file.read_text())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()  # so that it ends its workers
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
