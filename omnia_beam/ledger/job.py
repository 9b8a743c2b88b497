"""What a job has recorded, for every reader, and the run that holds its lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter


@dataclass(frozen=True)
class RunState:
    """What every worker of a run must know: small, and fit to be pickled.

    Args:
        state_dir: the job's state directory.
        run_id: names this run in reports.
        scope: the scope under which its receipts count.
        token: of the lease, for the workers.
        clock: returns the time by which receipts are dated, ns since the Unix epoch; None for the machine's.
    """

    state_dir: StateDir
    run_id: str
    scope: Scope
    token: LeaseToken
    clock: Callable[[], int] | None = field(default=None, kw_only=True)

    @property
    def sink(self) -> str:
        return self.scope.sink

    @property
    def fence(self) -> LeaseFence:
        """The check that the lease is still held, made before the run puts anything in place."""
        return LeaseFence(self.state_dir, self.token)


@dataclass(frozen=True)
class JobView:
    """What a job has recorded, for commands that only read it.

    Args:
        state_dir: the job's state directory.
        scope: the scope under which its receipts count.
        ledger: as it was when it was loaded.
    """

    state_dir: StateDir
    scope: Scope
    ledger: Ledger

    @classmethod
    def load(cls, state_dir: StateDir, scope: Scope) -> JobView:
        """Load the ledger, and return the view.

        Raises:
            StateError: the ledger is damaged or cannot be read.
        """
        return cls(state_dir, scope, Ledger.load(state_dir))

    @property
    def sink(self) -> str:
        return self.scope.sink

    def reload(self) -> Ledger:
        """Load the ledger as it is now.

        Raises:
            StateError: the ledger is damaged or cannot be read.
        """
        return Ledger.load(self.state_dir, self.ledger)


@dataclass(frozen=True)
class JobRun(JobView):
    """A run in its driver, which holds the job's lease.

    Args:
        run_id, token, clock: as in `RunState`.
    """

    run_id: str
    token: LeaseToken
    clock: Callable[[], int] | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, run: RunState, ledger: Ledger) -> JobRun:
        """Return the run with its ledger."""
        return cls(run.state_dir, run.scope, ledger, run.run_id, run.token, clock=run.clock)

    @property
    def fence(self) -> LeaseFence:
        """The check that the lease is still held, made before the run puts anything in place."""
        return LeaseFence(self.state_dir, self.token)

    def for_workers(self) -> RunState:
        """Return the state without the ledger, which can be large and is used by the driver alone."""
        return RunState(self.state_dir, self.run_id, self.scope, self.token, clock=self.clock)

    def writer(self) -> LedgerWriter:
        """Return a ledger writer for the driver's own records."""
        if self.clock is None:
            return LedgerWriter(self.state_dir, self.scope, self.token)
        return LedgerWriter(self.state_dir, self.scope, self.token, clock=self.clock)
