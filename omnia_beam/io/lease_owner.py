"""Describe the holder of a lease, so that the same machine can later decide whether its process is certainly gone."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
            the system does not say (no /proc).
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
        return cls(host, pid, _machine(host), _process_state(pid)[1], run_id)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LeaseOwner:
        """Parse the owner in a lease.

        Raises:
            KeyError, TypeError, ValueError: it is no owner.
        """
        return cls(str(data["host"]), int(data["pid"]), str(data["machine"]), str(data["started"]), str(data["run_id"]))

    @property
    def boot(self) -> str:
        """Id of the kernel's boot, shared by a machine and its containers; empty where the system does not say."""
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


def _machine(host: str) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{host}/{uuid.getnode():012x}"
