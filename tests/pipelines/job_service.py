"""Beam's local job service in a process of its own: the real Fn API, without a cluster."""

from __future__ import annotations

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
