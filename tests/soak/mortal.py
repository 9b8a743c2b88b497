"""The command line in a process that kills itself, with SIGKILL, at the n-th arrival at a chosen place.

    python -m tests.soak.mortal PLACE N backfill job.yaml --json

The product knows nothing of this: functions of its modules are wrapped here, before the command starts.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Wrap = Callable[[Callable[..., Any], Callable[[], None]], Callable[..., Any]]
"""Takes the real function and what counts an arrival, and gives the function to put in its place."""


def before(real: Callable[..., Any], arrive: Callable[[], None]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arrive()
        return real(*args, **kwargs)

    return wrapped


def after(real: Callable[..., Any], arrive: Callable[[], None]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        response = real(*args, **kwargs)
        arrive()
        return response

    return wrapped


def before_rename_to(suffix: str) -> Wrap:
    def wrap(real: Callable[..., Any], arrive: Callable[[], None]) -> Callable[..., Any]:
        def replace(self: Path, target: Any) -> Any:
            if str(target).endswith(suffix):
                arrive()
            return real(self, target)

        return replace

    return wrap


def half_a_record(real: Callable[..., Any], arrive: Callable[[], None]) -> Callable[..., Any]:
    """The front half of an append reaches the file, and nothing after it."""

    def append(self: Any, data: bytes) -> None:
        first = data[: len(data) // 2]
        os.write(self._descriptor, first)
        arrive()
        os.ftruncate(self._descriptor, self._size)  # it was not this one
        real(self, data)

    return append


def written_and_not_synced(real: Callable[..., Any], arrive: Callable[[], None]) -> Callable[..., Any]:
    def append(self: Any, data: bytes) -> None:
        os.write(self._descriptor, data)
        arrive()
        os.ftruncate(self._descriptor, self._size)
        real(self, data)

    return append


# Place -> modules that know it, function (with its class), how to wrap it.
PLACES: Final[dict[str, tuple[str, str, Wrap]]] = {
    "planning": ("omnia_beam.io.omnia.planner", "probe_counts", after),
    "announced": ("omnia_beam.pipelines.run", "announce_again", after),
    "tidied": ("omnia_beam.io.files.sink", "clear_leftover_files", after),
    "tidying": ("omnia_beam.io.files.folder", "_delete", after),
    "fetched": ("omnia_beam.io.omnia.read", "fetch_page", after),
    "sent": ("omnia_beam.io.omnia.read", "fetch_page", before),
    "before the file": ("omnia_beam.store.local", "_write_local", before),
    "before the file's name": ("pathlib", "Path.replace", before_rename_to(".parquet")),
    "file, no receipt": ("omnia_beam.io.files.write", "write_durably", after),
    "before a flush": ("omnia_beam.ledger.writer", "LedgerWriter.flush", before),
    "after a flush": ("omnia_beam.ledger.writer", "LedgerWriter.flush", after),
    "half a record": ("omnia_beam.store.local", "LocalAppender.append", half_a_record),
    "not synced": ("omnia_beam.store.local", "LocalAppender.append", written_and_not_synced),
    "snapshot, no manifest": ("pathlib", "Path.replace", before_rename_to(".json")),
    "compacted": ("omnia_beam.ledger.compaction", "write_snapshot", after),
    "deleting segments": ("omnia_beam.ledger.state_dir", "StateDir.delete", after),
    "releasing the lease": ("omnia_beam.ledger.lease", "Lease.release", before),
    "before a write": ("omnia_beam.io.omnia.writer", "send_group", before),
    "written, no receipt": ("omnia_beam.io.omnia.writer", "send_group", after),
}

FILES_ONLY: Final = {"tidied", "tidying", "before the file", "before the file's name", "file, no receipt"}
SERVICE_ONLY: Final = {"before a write", "written, no receipt"}

RARE: Final = {
    "planning",
    "announced",
    "tidied",
    "tidying",
    "compacted",
    "snapshot, no manifest",
    "releasing the lease",
}
"""Places that a run comes by a few times at most."""

ONLY_ONCE: Final = {"announced", "tidied", "compacted", "releasing the lease"}


def arm(place: str, arrivals: int) -> None:
    """From now on the process dies at the so-many-th arrival at a place."""
    modules, dotted, wrap = PLACES[place]
    count, lock = itertools.count(1), threading.Lock()

    def arrive() -> None:
        with lock:
            if next(count) == arrivals:
                os.kill(os.getpid(), signal.SIGKILL)

    *path, name = dotted.split(".")
    for module in modules.split():
        owner: Any = importlib.import_module(module)
        for each in path:
            owner = getattr(owner, each)
        setattr(owner, name, wrap(getattr(owner, name), arrive))


def main(argv: list[str]) -> int:
    """PLACE N and the arguments of `omnia-beam`."""
    from omnia_beam import cli

    arm(argv[0], int(argv[1]))
    return cli.main(argv[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
