"""A driver that other drivers take for one of another machine, with a lease that is over within a second.

python -m tests.soak.elsewhere backfill job.yaml --quiet

Where a driver's process can be seen, its lease is safe as long as it lives, suspended or not. Only a driver of another
machine or container can be taken over while it sleeps.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from omnia_beam.cli import main
from omnia_beam.ledger import lease
from omnia_beam.ledger import lease_file as lease_owner

HEARTBEAT_S = 0.1
STALE_AFTER_S = 0.5


def become_another_machine() -> None:
    """From now on, in this process."""
    lease_owner.machine_id = lambda host: f"elsewhere {os.getpid()}"  # type: ignore[assignment]
    short = partial(lease.LeaseTimes, heartbeat_s=HEARTBEAT_S, stale_after_s=STALE_AFTER_S)
    lease.LeaseTimes = short  # type: ignore[assignment, misc]


if __name__ == "__main__":
    become_another_machine()
    sys.exit(main(sys.argv[1:]))
