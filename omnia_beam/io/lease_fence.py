"""The fence before everything that a run puts in place: a run that has lost its lease changes nothing any more.

A suspended driver (a laptop's lid, a paused container) wakes up in the middle of a write, when its successor may have come
to its end. So the lease is looked at in the last instant, between a file's fsync and its rename, before each request of a
write and before each deletion. Where the state is on a filesystem with locks, taking the lease over and putting a file in
place exclude each other: no file of a run appears after the lease went to another. Elsewhere a moment is left between the
look and the deed; the next run compares the files with their receipts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from omnia_beam.io.lease_file import LeaseToken
from omnia_beam.io.state_dir import StateDir

LOCK_FILE: Final = ".lease.lock"


@dataclass(frozen=True, slots=True)
class LeaseFence:
    """Lets a run act only while it holds its lease. Plain data: it pickles.

    Args:
        state_dir: the job's.
        token: of the run's lease.
    """

    state_dir: StateDir
    token: LeaseToken

    def check(self) -> None:
        """Raises StateError: the lease has gone to another run, or is gone."""
        self.token.check(self.state_dir)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Hold off who would take the lease over, for a step of microseconds.

        Raises:
            StateError: as `check`; or the lock cannot be had.
        """
        with self.state_dir.lock(LOCK_FILE, shared=True):
            self.check()
            yield
