"""Who holds a job's lease, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from omnia_beam.core.timestamps import format_time
from omnia_beam.ledger.lease_file import LeaseOwner, fate_of, read_lease
from omnia_beam.ledger.state_dir import StateDir


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """The holder of the job's lease.

    Args:
        state: `running`; `perhaps_running` for a holder on another machine; `died` for one that did not release the lease;
            `free`.
        text: for people.
    """

    state: Literal["running", "perhaps_running", "died", "free"]
    text: str


def lease_facts(state_dir: StateDir) -> LeaseFacts:
    """Read the lease without changing it.

    Raises:
        StateError: it cannot be read.
    """
    found = read_lease(state_dir)
    if found is None:
        return LeaseFacts("free", "no run yet")
    if found.released:
        return LeaseFacts("free", f"no run; the last was run {found.run}, ended after {format_time(found.beat_ns, 0)}")
    who = f"{found}, last heartbeat {format_time(found.beat_ns, 0)}"
    fate = fate_of(found.owner, LeaseOwner.here("status"))
    if fate == "alive":
        return LeaseFacts("running", f"running: {who}")
    if fate == "dead":
        return LeaseFacts("died", f"died without releasing its lease: {who}; the next run takes over")
    return LeaseFacts("perhaps_running", f"running, or died without releasing its lease: {who}")
