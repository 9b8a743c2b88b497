"""Check the lease before everything that a run puts in place, so that a run that has lost it changes nothing any more.

A suspended driver (a laptop's lid, a paused container) may wake up in the middle of a write when its successor has already
finished. So the lease is checked at the last instant: between a file's fsync and its rename, before each request of a
write and before each deletion. Where the state is on a filesystem with locks, taking the lease over and putting a file in
place exclude each other: no file of a run appears after the lease went to another. On an object store a file is put in place
of the version alone that was there before the check, so that what a successor has written is never replaced; a name that no
successor has written may still appear, and the next run removes it, since no receipt names it. A deletion cannot be made
conditional: the moment between check and request remains, and the successor's look at its destination finds what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.state_dir import StateDir

LOCK_FILE: Final = ".lease.lock"


@dataclass(frozen=True, slots=True)
class LeaseFence:
    """Lets a run act only while it holds its lease. This is plain data, which can be pickled.

    Args:
        state_dir: the job's state directory.
        token: of the run's lease.
    """

    state_dir: StateDir
    token: LeaseToken

    def check(self) -> None:
        """Check that the run still holds its lease.

        Raises:
            StateError: the lease was taken over by another run, or does not exist.
        """
        self.token.check(self.state_dir)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Keep other runs from taking the lease over during a step of microseconds.

        Raises:
            StateError: as `check`, or the lock cannot be obtained.
        """
        with self.state_dir.lock(LOCK_FILE, shared=True):
            self.check()
            yield
