"""Read and write `lease.json`, which names the active or the last run, and check whether a worker's run may still write."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.core.errors import StateError
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.lease_owner import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir

LEASE_FILE: Final = "lease.json"
FORMAT: Final = 1
_TAG: Final = "omnia_beam_lease"


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
            StateError: the lease has gone to another run, or does not exist; nothing may be written any more.
        """
        self.record(state_dir)

    def record(self, state_dir: StateDir) -> LeaseRecord:
        """Return the current content of the lease, which is still this one.

        Raises:
            StateError: as `check`.
        """
        found = read_lease(state_dir)
        if found is None or found.nonce != self.nonce or found.released:
            raise lost_error(state_dir, self.run, found)
        return found

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
        beat: number of heartbeats; a change shows that the owner is alive, whatever any clock says.
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

    def to_json(self) -> bytes:
        data = {_TAG: FORMAT, **dataclasses.asdict(self)}
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
    text = state_dir.read(LEASE_FILE)
    if text is None:
        return None
    try:
        return LeaseRecord.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        path = state_dir.path(LEASE_FILE)
        raise StateError(
            f"{path}: cannot be understood: {type(error).__name__} {error}. If no run of this job is going on, delete it "
            "and run the same command again: the ledger does not need it",
            path=path,
        ) from error


def write_lease(state_dir: StateDir, record: LeaseRecord) -> None:
    """Write the lease.

    Raises:
        StateError: it cannot be written.
    """
    state_dir.write(LEASE_FILE, record.to_json())


def lost_error(state_dir: StateDir, run: int, found: LeaseRecord | None) -> StateError:
    """Return the error for a run that may not write any more."""
    path = state_dir.path(LEASE_FILE)
    if found is None:
        what = "the file is gone"
    elif found.released:
        what = f"run {found.run} has ended"
    else:
        what = f"it went to {found}"
    return StateError(
        f"{path}: run {run} has lost its lease and stops writing: {what}. What it recorded is kept; the same command "
        "goes on from there once no other run holds the lease",
        path=path,
    )
