"""An emulator in a process of its own, for tests and benchmarks that must not share a GIL with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO

from omnia_beam.emulator.remote import Remote, control_token_for

_CONTROL_TOKEN_ENV = "OMNIA_EMULATOR_CONTROL_TOKEN"  # noqa: S105 - the name of a variable


class EmulatorProcess(Remote):
    """A process `python -m omnia_beam.emulator ARGUMENTS…`, ready when it has printed its first line; a context manager.

    `url` is the base URL, `pid` the process. `stop()` ends it cleanly (SIGTERM, exit code 0 expected), `kill()` at
    once (SIGKILL); `leave()` leaves it running. Raises RuntimeError, with what the emulator wrote to stderr, if it does
    not get ready within `timeout_s` seconds or does not stop cleanly.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        *,
        timeout_s: float = 30.0,
        env: Mapping[str, str] | None = None,
        detached: bool = False,
    ) -> None:
        self._command = [sys.executable, "-m", "omnia_beam.emulator", *map(str, arguments)]
        self._env = dict(env or {})
        self._control_token = control_token_for(self._command)
        if self._control_token is not None:
            self._command += ["--control-token-env", _CONTROL_TOKEN_ENV]
            self._env[_CONTROL_TOKEN_ENV] = self._control_token
        self._timeout_s = timeout_s
        self._detached = detached  # a session of its own keeps Ctrl-C and the end of the terminal away
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self.url = ""
        self.pid = 0

    def start(self) -> EmulatorProcess:
        """Start the process and return when it serves."""
        # A file, because the emulator would block on a full pipe that is not read.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end, with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            self._command,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **self._env},
            start_new_session=self._detached,
        )
        line = self._first_line(self._process)
        try:
            ready = json.loads(line)
            self.url, self.pid = ready["url"], ready["pid"]
        except (ValueError, KeyError, TypeError):
            self._process.kill()
            code, errors = self._process.wait(), self.errors()
            self._end()
            raise RuntimeError(f"the emulator did not get ready (exit code {code}): {errors or line!r}") from None
        return self

    def stop(self) -> None:
        """End the process cleanly; do nothing where it was ended by this object before."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        errors = self.errors()
        self._end()
        if code != 0:
            raise RuntimeError(f"the emulator ended with exit code {code}: {errors}")

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._end()

    def leave(self) -> None:
        """Leave the emulator running after this process; SIGTERM to `pid` ends it."""
        if self._process is not None:
            self._process.returncode = 0  # keeps Popen from warning that the process still runs
            self._end()

    def __enter__(self) -> EmulatorProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.kill()

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes:
        stdout = process.stdout
        if stdout is None:
            return b""
        # The timer kills the process, which ends the read below even when the emulator hangs.
        timer = threading.Timer(self._timeout_s, process.kill)
        timer.start()
        try:
            return stdout.readline()
        finally:
            timer.cancel()

    def errors(self) -> str:
        """Return what the process has written to stderr so far."""
        if self._stderr is None:
            return ""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()

    def _end(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        if self._stderr is not None:
            self._stderr.close()
        self._process = self._stderr = None
