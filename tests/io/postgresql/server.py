"""A PostgreSQL server of its own for tests: made by the machine's own programs, on loopback, thrown away at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
shared_buffers = 64MB
max_wal_size = 512MB
lc_messages = 'C'
"""


def programs() -> Path | None:
    """Where `initdb` and `postgres` are; None where this machine has none."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in found if (each / "postgres").exists()), None)


@dataclass
class Server:
    """A running server.

    Args:
        bin: of its programs.
        folder: of its data, socket and log.
        port: on loopback.
    """

    bin: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(as_postgres(command), stdout=log, stderr=log)
        end = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(f"{self.base}/postgres").close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """Stop it: SIGQUIT at once, as a crash would; SIGINT with a farewell to its clients."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()


def as_postgres(command: list[Any]) -> list[str]:
    """The command as a user that the server accepts: it refuses to run as root."""
    words = [str(each) for each in command]
    return words if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]


@contextmanager
def running_server(settings: str = SETTINGS, files: Mapping[str, bytes] | None = None) -> Iterator[Server]:
    """A new server for the block, with further lines of its configuration, and files in its data directory."""
    found = programs()
    assert found is not None, "the caller looks for the programs first"
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        if not os.getuid():
            shutil.chown(folder, "postgres")
        data = Path(folder) / "data"
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(as_postgres([found / "initdb", "-D", data, *options]), check=True, stdout=subprocess.DEVNULL)
        with (data / "postgresql.conf").open("a") as file:
            file.write(settings)
        for name, content in (files or {}).items():
            (data / name).write_bytes(content)
            (data / name).chmod(0o600)
            if not os.getuid():
                shutil.chown(data / name, "postgres")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        server = Server(found, Path(folder), port)
        server.start()
        try:
            yield server
        finally:
            server.stop()
