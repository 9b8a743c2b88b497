"""Read and write `lease.json`: the active or last run, whether its process is alive, and whether a run may still write."""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from omnia_beam.core.errors import StateError
from omnia_beam.core.timestamps import format_time
from omnia_beam.ledger.state_dir import StateDir

_DEAD_STATES = frozenset("ZXx")  # killed, and not yet waited for by its parent


@dataclass(frozen=True, slots=True)
class LeaseOwner:
    """The process that holds a lease.

    Args:
        host: the host's name, for messages.
        pid: process id.
        machine: distinguishes what a host name does not: the boot of the kernel and the space of process ids (containers
            and pods share names and always have a pid 1).
        started: when the process started, in the kernel's clock ticks, so that a reused pid is recognised; empty where
            the system does not show it (no /proc).
        run_id: the caller's name for this run.
    """

    host: str
    pid: int
    machine: str
    started: str
    run_id: str

    @classmethod
    def here(cls, run_id: str) -> LeaseOwner:
        """Return this process as an owner."""
        pid = os.getpid()
        host = socket.gethostname()
        return cls(host, pid, machine_id(host), _process_state(pid)[1], run_id)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LeaseOwner:
        """Parse the owner in a lease.

        Raises:
            KeyError, TypeError, ValueError: it is no owner.
        """
        return cls(str(data["host"]), int(data["pid"]), str(data["machine"]), str(data["started"]), str(data["run_id"]))

    @property
    def boot(self) -> str:
        """Id of the kernel's boot, shared by a machine and its containers; empty where the system does not show it."""
        boot, slash, space = self.machine.partition("/pid:")
        return boot if slash and space else ""

    def __str__(self) -> str:
        return f"host {self.host}, pid {self.pid}"


def fate_of(owner: LeaseOwner, here: LeaseOwner) -> Literal["alive", "dead", "unknown"]:
    """Return whether a process lives, as far as this machine can decide without comparing clocks."""
    if owner.machine != here.machine or os.name != "posix":  # on other systems os.kill(pid, 0) does more than check
        return "unknown"
    if not _exists(owner.pid):
        return "dead"
    state, started = _process_state(owner.pid)
    if state in _DEAD_STATES:
        return "dead"
    if not started or not owner.started:
        return "unknown"
    return "alive" if started == owner.started else "dead"  # another process got the pid


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _process_state(pid: int) -> tuple[str, str]:
    """Return the state letter and the start time in clock ticks since boot, from proc(5); empty where that cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""


def machine_id(host: str) -> str:
    """Return what tells this boot of this machine, and this container, from others; `host` is for where there is no such id."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{host}/{uuid.getnode():012x}"


LEASE_FILE: Final = "lease.json"
FORMAT: Final = 1
_TAG: Final = "omnia_beam_lease"
_MOST_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class LeaseToken:
    """What a worker carries of its run's lease: plain data, which can be pickled.

    Args:
        run: number, greater than that of every run before; it orders receipts.
        nonce: identifies this lease.
    """

    run: int
    nonce: str

    def check(self, state_dir: StateDir) -> None:
        """Check with one small read that the run may still write.

        Raises:
            StateError: the lease was taken over by another run, or does not exist; nothing may be written any more.
        """
        self.record(state_dir)

    def record(self, state_dir: StateDir) -> LeaseRecord:
        """Return the current content of the lease, which is still this one.

        Raises:
            StateError: as `check`.
        """
        return self.record_and_version(state_dir)[0]

    def record_and_version(self, state_dir: StateDir) -> tuple[LeaseRecord, Any]:
        """Return the content of the lease, as `record`, and the version of its file."""
        found, version = read_version(state_dir)
        if found is None or found.nonce != self.nonce or found.released:
            raise lost_error(state_dir, self.run, found)
        return found, version

    def current(self, state_dir: StateDir) -> LeaseToken:
        """Return the token of the run that is active under this lease now.

        Raises:
            StateError: as `check`.
        """
        return LeaseToken(self.record(state_dir).run, self.nonce)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The content of `lease.json`.

    Args:
        run: number of the run.
        nonce: identifies this lease.
        owner: its process.
        acquired_ns: when it was acquired, ns since the Unix epoch, by the owner's clock.
        beat: number of heartbeats; a change shows that the owner is alive, whatever the clocks show.
        beat_ns: time of the last heartbeat, ns since the Unix epoch, by the owner's clock; it never decreases.
        interval_s: seconds between heartbeats.
        stale_after_s: seconds without a heartbeat after which others may take over.
        released: whether the run has ended; the file stays because of the run's number.
    """

    run: int
    nonce: str
    owner: LeaseOwner
    acquired_ns: int
    beat: int
    beat_ns: int
    interval_s: float
    stale_after_s: float
    released: bool = False

    def to_json(self, nonce: str = "") -> bytes:
        """Return the content of the file.

        Args:
            nonce: makes it unlike any other, for stores that number versions by their content; empty for none.
        """
        data = {_TAG: FORMAT, **dataclasses.asdict(self), **({"write": nonce} if nonce else {})}
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, text: bytes) -> LeaseRecord:
        """Parse the content of the file.

        Raises:
            ValueError, KeyError, TypeError: it is no lease.
        """
        data: dict[str, Any] = orjson.loads(text)
        if data[_TAG] != FORMAT:
            raise ValueError(f"it is of format {data[_TAG]}, and this omnia-beam knows format {FORMAT}")
        return cls(
            int(data["run"]),
            str(data["nonce"]),
            LeaseOwner.from_json(data["owner"]),
            int(data["acquired_ns"]),
            int(data["beat"]),
            int(data["beat_ns"]),
            float(data["interval_s"]),
            float(data["stale_after_s"]),
            bool(data["released"]),
        )

    def __str__(self) -> str:
        return f"run {self.run}, {self.owner}, since {format_time(self.acquired_ns, 0)}"


def read_lease(state_dir: StateDir) -> LeaseRecord | None:
    """Return the lease, or None where the job has never run.

    Raises:
        StateError: the file cannot be read, or is no lease.
    """
    return read_version(state_dir)[0]


def read_version(state_dir: StateDir) -> tuple[LeaseRecord | None, Any]:
    """Return the lease as `read_lease` does, and the version of its file, which `write_lease` replaces."""
    found = state_dir.read_version(LEASE_FILE)
    if found.content is None:
        return None, found.version
    try:
        return LeaseRecord.from_json(found.content), found.version
    except (ValueError, KeyError, TypeError) as error:
        path = state_dir.path(LEASE_FILE)
        raise StateError(
            f"{path}: cannot be understood: {type(error).__name__} {error}. If no run of this job is active, delete it "
            "and run the same command again: the ledger does not need it",
            path=path,
        ) from error


def write_lease(state_dir: StateDir, record: LeaseRecord, version: Any = None) -> None:
    """Write the lease in place of one version of its file, None for no file yet.

    On a store without conditional writes the caller holds the lock, and the version does not matter. On one that has them each
    write holds a new nonce, since S3 derives versions from the content.

    Raises:
        ChangedMeanwhile: another process has written the lease since.
        StateError: it cannot be written.
    """
    nonce = secrets.token_hex(8) if state_dir.is_conditional else ""
    state_dir.replace(LEASE_FILE, record.to_json(nonce), version)


def next_try(state_dir: StateDir, tried: int) -> int:
    """Return the number of tries so far of a write that found another version than the one that was read.

    Raises:
        StateError: two writers meet once or twice, and not each time: the store refuses what it should carry out.
    """
    if tried < _MOST_TRIES:
        return tried + 1
    path = state_dir.path(LEASE_FILE)
    raise StateError(
        f"{path}: cannot be written: the store refuses each write as if another had come between. Set `state:` to a disk, or "
        "to a store with conditional writes (If-None-Match, If-Match); data may stay here",
        path=path,
    )


def lost_error(state_dir: StateDir, run: int, found: LeaseRecord | None) -> StateError:
    """Return the error for a run that may not write any more."""
    path = state_dir.path(LEASE_FILE)
    if found is None:
        what = "the file was removed"
    elif found.released:
        what = f"run {found.run} has ended"
    else:
        what = f"it was taken over by {found}"
    return StateError(
        f"{path}: run {run} has lost its lease and stops writing: {what}. What it recorded is kept; the same command "
        "continues from there once no other run holds the lease",
        path=path,
    )
