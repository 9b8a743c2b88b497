"""Hold a job's lease: it lets one run of a job work at a time, and gives the number that orders runs.

`lease.json` names the run that is active. Its owner increases a heartbeat counter in it. A start that finds the lease of
another process decides in this order:

1. The lease is released: it is free.
2. The owner's process was on this machine (same boot, same process-id space). If it is alive, the start is refused; if it
   is gone, the lease is free; both at once. A reused pid is recognised by the time at which its process started.
3. In any other case this process watches the lease by its own monotonic clock. If the heartbeat's counter changes, the
   owner is alive and the start is refused. If it stands still for three intervals *and* is older than `stale_after_s` by
   the wall clock, or stands still for `stale_after_s` whatever wall clocks say, the lease is taken over. So a clock that
   jumps, here or there, makes a start wait longer and never makes two runs.

A run whose lease was taken over, because it was suspended or cut off, notices at its next heartbeat. Its writers notice
before and after each flush, and before anything else that they put in place (`lease_fence.py`); from then on the run
writes nothing.

On a local disk, reading and writing the lease happen under a lock (flock), so two starts cannot both win. On an object store
each write names the version of the file that it replaces, and the store refuses it where the file has changed since; so two
starts cannot both win there either. Where there is neither (a disk without locks), two starts within less than a write's
delay of each other could both win for up to one heartbeat interval, until the first notices. Receipts are in order even
then, and the work done twice is the same work.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.fence import LOCK_FILE
from omnia_beam.ledger.lease_file import (
    LEASE_FILE,
    LeaseOwner,
    LeaseRecord,
    LeaseToken,
    fate_of,
    lost_error,
    next_try,
    read_lease,
    read_version,
    write_lease,
)
from omnia_beam.ledger.record import run_of
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import ChangedMeanwhile

_log = logging.getLogger(__name__)
_NS: Final = 1_000_000_000
_CONFIRM_INTERVALS: Final = 3
_LOOKS_PER_INTERVAL: Final = 5
_MAX_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The lease's times, in seconds, and its clocks.

    Args:
        heartbeat_s: seconds between heartbeats.
        stale_after_s: seconds without a heartbeat until others may take over; several heartbeats long.
        settle_s: seconds between writing the lease and checking it, on a store without locks.
        clock: wall clock, ns since the Unix epoch.
        monotonic: clock in seconds that never decreases.
        sleep: waits for the given number of seconds.

    Raises:
        ValueError: others may take over after less than three heartbeats, so that a late one would lose the lease.
    """

    heartbeat_s: float = 10.0
    stale_after_s: float = 60.0
    settle_s: float = 2.0
    clock: Callable[[], int] = time.time_ns
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if self.stale_after_s < _CONFIRM_INTERVALS * self.heartbeat_s:
            raise ValueError(
                f"a lease of {self.stale_after_s} s is too short for heartbeats every {self.heartbeat_s} s"
            )


class Lease:
    """A held lease; `with Lease.acquire(...) as lease:` releases it at the end.

    Attributes:
        notice: text for the user where the lease was taken over from a run that died; otherwise None.
    """

    def __init__(
        self,
        state_dir: StateDir,
        record: LeaseRecord,
        times: LeaseTimes,
        notice: str | None = None,
        on_lost: Callable[[StateError], None] | None = None,
    ) -> None:
        self.notice = notice
        self._state_dir = state_dir
        self._record = record
        self._times = times
        self._on_lost = on_lost
        self._lost: StateError | None = None
        self._renewed_s = times.monotonic()
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def released(self) -> bool:
        """Whether the lease has been given back."""
        return self._record.released

    @classmethod
    def acquire(
        cls,
        state_dir: StateDir,
        owner: LeaseOwner,
        *,
        times: LeaseTimes | None = None,
        on_lost: Callable[[StateError], None] | None = None,
        heartbeat: bool = True,
    ) -> Lease:
        """Become the job's only run. This may wait up to the holder's `stale_after_s` to see whether a holder is alive.

        Args:
            state_dir: the job's state directory.
            owner: this process: `LeaseOwner.here(run_id)`.
            times: intervals and clocks; None for the defaults.
            on_lost: called once, from the heartbeat's thread, when another run has taken over.
            heartbeat: whether to start the thread; with False the caller has to call `beat`.

        Raises:
            StateError: another run is active (the message has its host, pid, start and what to do), or the lease
                cannot be read or written.
        """
        times = times or LeaseTimes()
        lease = _Acquisition(state_dir, owner, times, on_lost).run()
        if lease.notice:
            _log.warning("%s", lease.notice)
        if heartbeat:
            lease._start_heartbeat()
        return lease

    @property
    def token(self) -> LeaseToken:
        """Token for the workers of this run."""
        return LeaseToken(self._record.run, self._record.nonce)

    @property
    def lost(self) -> bool:
        """Whether another run has taken over."""
        return self._lost is not None

    def check(self) -> None:
        """Return only if the run may go on. This is cheap: it reads nothing unless heartbeats have failed for long.

        Raises:
            StateError: the lease is lost, or could not be renewed for so long that others may take it.
        """
        if self._lost is None and self._times.monotonic() - self._renewed_s > self._times.stale_after_s:
            self.beat()
        if self._lost is not None:
            raise self._lost

    def beat(self) -> None:
        """Renew the lease, or notice that it is lost.

        Raises:
            StateError: it cannot be read or written. That it is lost is raised by `check`, not here.
        """
        self._change(lambda record: dataclasses.replace(record, beat=record.beat + 1))

    def next_run(self) -> LeaseToken:
        """Continue as the next run under the same lease, whose receipts supersede all those before, and return its token.

        It is for drivers that repeat themselves in one process. The writers of the run before must be closed.

        Raises:
            StateError: the lease is lost or cannot be written.
        """
        self._change(lambda record: dataclasses.replace(record, run=_next_run(self._state_dir, record)))
        self.check()
        return self.token

    def release(self) -> None:
        """Stop the heartbeat and let the next run start at once.

        This never raises, since a lease that is left behind only makes the next start slower.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        try:
            self._change(lambda record: dataclasses.replace(record, released=True))
        except StateError as error:
            _log.warning("the lease was not released; the next run will find that this process has ended: %s", error)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _change(self, change: Callable[[LeaseRecord], LeaseRecord]) -> None:
        tried = 0
        with self._guard, self._state_dir.lock(LOCK_FILE):
            while True:
                if self._lost is not None or self._record.released:
                    return
                found, version = read_version(self._state_dir)
                if found is None or found.nonce != self._record.nonce:
                    self._lost = lost_error(self._state_dir, self._record.run, found)
                    break
                beat_ns = max(self._times.clock(), found.beat_ns)
                record = dataclasses.replace(change(found), beat_ns=beat_ns)
                try:
                    write_lease(self._state_dir, record, version)
                except ChangedMeanwhile:
                    tried = next_try(self._state_dir, tried)
                    continue  # by a worker that has begun the next run, or by another run: look again
                self._record = record
                self._renewed_s = self._times.monotonic()
                return
        _log.error("%s", self._lost)
        if self._on_lost is not None:
            self._on_lost(self._lost)

    def _start_heartbeat(self) -> None:
        self._thread = threading.Thread(target=self._beat_on, name="omnia-beam-lease", daemon=True)
        self._thread.start()

    def _beat_on(self) -> None:
        failing = False
        while not self._stop.wait(self._times.heartbeat_s) and not self.lost:
            try:
                self.beat()
                failing = False
            except StateError as error:
                if not failing:  # one warning for each outage is enough
                    _log.warning("the lease could not be renewed, still trying: %s", error)
                failing = True


def advance_run(state_dir: StateDir, token: LeaseToken) -> LeaseToken:
    """Continue as the next run, as `Lease.next_run` does, in a worker that has the token while another process holds the lease.

    Raises:
        StateError: the lease is lost, or cannot be read or written.
    """
    tried = 0
    while True:
        with state_dir.lock(LOCK_FILE):
            found, version = token.record_and_version(state_dir)
            record = dataclasses.replace(found, run=_next_run(state_dir, found))
            try:
                write_lease(state_dir, record, version)
            except ChangedMeanwhile:
                tried = next_try(state_dir, tried)
                continue  # a heartbeat came between, or the lease is lost: look again
        return LeaseToken(record.run, record.nonce)


class _Acquisition:
    """One attempt to become the holder: read the lease, judge it, and read it again."""

    def __init__(
        self,
        state_dir: StateDir,
        owner: LeaseOwner,
        times: LeaseTimes,
        on_lost: Callable[[StateError], None] | None,
    ) -> None:
        self._state_dir = state_dir
        self._owner = owner
        self._times = times
        self._on_lost = on_lost
        self._nonce = secrets.token_hex(8)
        self._watched: LeaseRecord | None = None
        self._since_s = 0.0

    def run(self) -> Lease:
        tried = 0
        while True:
            with self._state_dir.lock(LOCK_FILE) as exclusive:
                if exclusive:
                    self._state_dir.delete_temporaries("")
                found, version = read_version(self._state_dir)
                why = self._why_free(found)
                if why is not None:
                    try:
                        record = self._take(found, version)
                    except ChangedMeanwhile:
                        tried = next_try(self._state_dir, tried)
                        continue  # another start was faster: judge what it wrote
                    break
            if found is not None:
                self._wait(found)
        if not (exclusive or self._state_dir.is_conditional):
            self._settle(record)
        notice = None if found is None or found.released else self._notice(found, why)
        return Lease(self._state_dir, record, self._times, notice, self._on_lost)

    def _why_free(self, found: LeaseRecord | None) -> str | None:
        """Return why the lease may be taken, None where that is not yet known, or raise StateError where it may not."""
        if found is None or found.released:
            return "no run holds it"
        fate = fate_of(found.owner, self._owner)
        if fate == "alive":
            raise self._refused(found, "its process is alive")
        if fate == "dead":
            return "its process has ended"
        now_s = self._times.monotonic()
        if self._watched is None:
            self._watched, self._since_s = found, now_s
        if (found.nonce, found.beat) != (self._watched.nonce, self._watched.beat):
            raise self._refused(found, "its heartbeat continues")
        still_s = now_s - self._since_s
        old_s = (self._times.clock() - found.beat_ns) / _NS
        old = old_s >= found.stale_after_s and still_s >= _CONFIRM_INTERVALS * found.interval_s
        if old or still_s >= found.stale_after_s:
            return f"its last heartbeat is {max(old_s, still_s):.0f} s old"
        return None

    def _wait(self, found: LeaseRecord) -> None:
        if self._watched is found:  # log this once
            _log.warning(
                "%s: %s did not report its end: watching its heartbeat for up to %.0f s",
                self._state_dir.path(LEASE_FILE),
                found,
                found.stale_after_s,
            )
        self._times.sleep(min(found.interval_s / _LOOKS_PER_INTERVAL, _MAX_LOOK_S))

    def _take(self, found: LeaseRecord | None, version: Any) -> LeaseRecord:
        now_ns = self._times.clock()
        record = LeaseRecord(
            _next_run(self._state_dir, found),
            self._nonce,
            self._owner,
            acquired_ns=now_ns,
            beat=0,
            beat_ns=now_ns,
            interval_s=self._times.heartbeat_s,
            stale_after_s=self._times.stale_after_s,
        )
        write_lease(self._state_dir, record, version)
        return record

    def _settle(self, record: LeaseRecord) -> None:
        self._times.sleep(self._times.settle_s)
        found = read_lease(self._state_dir)
        if found is None or found.nonce != record.nonce:
            raise lost_error(self._state_dir, record.run, found)

    def _notice(self, found: LeaseRecord, why: str) -> str:
        return (
            f"{self._state_dir.path(LEASE_FILE)}: taken over from {found}: {why}. What that run recorded is kept; what "
            "it had not recorded is read again"
        )

    def _refused(self, found: LeaseRecord, why: str) -> StateError:
        path = self._state_dir.path(LEASE_FILE)
        return StateError(
            f"{path}: another run of job {self._state_dir.job_name!r} is running: {found} ({why}). Wait for its end, or "
            f"stop it {self._where(found.owner)} and run the same command again. Only if it has certainly ended, delete {path}",
            path=path,
            host=found.owner.host,
            pid=found.owner.pid,
            run=found.run,
        )

    def _where(self, owner: LeaseOwner) -> str:
        """Return where to stop the owner.

        A process id means a process only in its own space of process ids: pid 1 of a container is this host's init.
        """
        if owner.machine == self._owner.machine:
            return f"(kill {owner.pid} on {owner.host})"
        if owner.boot and owner.boot == self._owner.boot:
            return f"where it runs (in another container of this machine, host name {owner.host})"
        return f"where it runs (on host {owner.host}, or in the container or pod of that name)"


def _next_run(state_dir: StateDir, found: LeaseRecord | None) -> int:
    """Return a number greater than any before, also by the ledger's file names in case the lease was deleted."""
    recorded = max((run_of(each.name) for each in state_dir.list("ledger")), default=0)
    return 1 + max(recorded, 0 if found is None else found.run)
