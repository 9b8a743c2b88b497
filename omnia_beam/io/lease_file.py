"""`lease.json`: who runs a job, or who ran it last; and the check by which a worker sees whether its run still may write."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.core.errors import StateError
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.lease_owner import LeaseOwner
from omnia_beam.io.state_dir import StateDir

LEASE_FILE: Final = "lease.json"
FORMAT: Final = 1
_TAG: Final = "omnia_beam_lease"


@dataclass(frozen=True, slots=True)
class LeaseToken:
    """What a worker carries of its run's lease: plain data, to pickle.

    Args:
        run: number, greater than that of every run before: it orders receipts.
        nonce: of this lease alone.
    """

    run: int
    nonce: str

    def check(self, state_dir: StateDir) -> None:
        """One small read.

        Raises:
            StateError: the lease has gone to another run, or is gone: nothing may be written any more.
        """
        self.record(state_dir)

    def record(self, state_dir: StateDir) -> LeaseRecord:
        """The lease as it is now, which is still this one. Raises StateError as `check` does."""
        found = read_lease(state_dir)
        if found is None or found.nonce != self.nonce or found.released:
            raise lost_error(state_dir, self.run, found)
        return found

    def current(self, state_dir: StateDir) -> LeaseToken:
        """The token of the run that goes on under this lease now. Raises StateError as `check` does."""
        return LeaseToken(self.record(state_dir).run, self.nonce)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The content of `lease.json`.

    Args:
        run: number.
        nonce: of this lease alone.
        owner: its process.
        acquired_ns: ns since the Unix epoch, by the owner's clock.
        beat: counts heartbeats: that it changes shows life, whatever any clock says.
        beat_ns: when the last was, by the owner's clock; never falls.
        interval_s: seconds between heartbeats.
        stale_after_s: seconds without a heartbeat after which others may take over.
        released: the run has ended; the file stays for its number.
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
        """Raises ValueError, KeyError or TypeError where it is none."""
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
    """The lease, None where the job has never run.

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
    """Raises StateError."""
    state_dir.write(LEASE_FILE, record.to_json())


def lost_error(state_dir: StateDir, run: int, found: LeaseRecord | None) -> StateError:
    """What a run gets to hear that may not write any more."""
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
