"""What a soak runs on: a source that can be killed and started again at the same port, and the job's files."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from omnia_beam.emulator.process import EmulatorProcess
from tests.support.free_port import free_port


@dataclass
class Service:
    """An emulator that dies and comes back, at the same address and with the same points.

    Args:
        arguments: of the emulator, without its port.
    """

    arguments: list[str]
    port: int = 0
    kills: int = 0
    served_before: int = 0
    requests_before: int = 0
    _running: EmulatorProcess | None = None

    def start(self) -> None:
        self.port = self.port or free_port()
        self._running = EmulatorProcess([*self.arguments, "--port", str(self.port)], timeout_s=120).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/plant/timeseries/v1.7"

    def points_served(self) -> int:
        """Since the very first start."""
        return self.served_before + int(self._stats()["points_served"])

    def kill(self) -> None:
        """kill -9; what was counted is kept."""
        stats = self._stats()
        self.served_before += int(stats["points_served"])
        self.requests_before += int(stats["requests_total"])
        self._process().kill()
        self.kills += 1

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None

    def _stats(self) -> dict[str, Any]:
        return self._process().stats()

    def _process(self) -> EmulatorProcess:
        if self._running is None:
            raise RuntimeError("the emulator was not started")
        return self._running


@dataclass
class Run:
    """One process of the command under test."""

    command: list[str]
    log: Path
    _process: subprocess.Popen[bytes] | None = None
    began_s: float = field(default_factory=time.monotonic)

    def start(self) -> Run:
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT)
        return self

    @property
    def code(self) -> int | None:
        """None while it runs; -9 when it was killed."""
        return self._popen().poll()

    def kill(self) -> None:
        self._popen().kill()
        self._popen().wait()

    def wait(self, timeout_s: float) -> int:
        try:
            return self._popen().wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen().send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen().wait(5)
            self.kill()
            raise RuntimeError(f"{self.command} did not end within {timeout_s:.0f} s; see {self.log}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def _popen(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the run was not started")
        return self._process


def product(arguments: list[str]) -> list[str]:
    """The command line of the product."""
    return [sys.executable, "-m", "omnia_beam.cli", *arguments]


def mortal(place: str, arrivals: int, arguments: list[str]) -> list[str]:
    """The same, dying at a chosen place."""
    return [sys.executable, "-m", "tests.soak.mortal", place, str(arrivals), *arguments]


def write_job(folder: Path, job: dict[str, Any]) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    return path
