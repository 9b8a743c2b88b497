"""What the tests of the ledger share: receipts, a clock, stores that die at a chosen step, and what a lease looks like."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.lease_file import LeaseOwner, LeaseRecord, LeaseToken, read_version, write_lease
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.store import TEMPORARY_PREFIX, Placing, Store, StoredFile, VersionedFile

SINK = "parquet:out/"
SCOPE = Scope.of({"source": "https://one.invalid", "status": "192", "sink": SINK})
OTHER_SCOPE = Scope.of({"source": "https://one.invalid", "status": "any", "sink": SINK})
ELSEWHERE = LeaseOwner("far-host", 4711, "another-boot/pid:[1]", "123", "elsewhere")


def key(series_ids: Sequence[str], start: int, end: int) -> ChunkKey:
    return ChunkKey(tuple(sorted(series_ids)), TimeRange(start, end))


def receipt(
    series_ids: Sequence[str], start: int, end: int, files: Sequence[str] = (), sink: str = SINK, count: int = 3
) -> Receipt:
    """Of the ids (a string is one id a character), with something in every field."""
    ids = sorted(series_ids)
    stored = tuple(
        SeriesReceipt(
            each, f"target-{each}", count, start, end - 1, ((0, 1), (192, count - 1)), f"{start:016x}{end:016x}"
        )
        for each in ids
    )
    return Receipt(key(ids, start, end), sink, stored, tuple(files), dead_letters=1)


def ranges(*pairs: tuple[int, int]) -> list[TimeRange]:
    return [TimeRange(a, b) for a, b in pairs]


class FakeClock:
    """Wall and monotonic time that move when told to; sleeping moves both."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.wall_s = now_s
        self.steady_s = 50.0

    def wall(self) -> int:
        return round(self.wall_s * 1e9)

    def steady(self) -> float:
        return self.steady_s

    def sleep(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds


def lease_for(state_dir: StateDir, run: int, nonce: str = "") -> LeaseToken:
    """Write a held lease as a run would have it, without the run."""
    token = LeaseToken(run, nonce or f"nonce{run}")
    write_lease(state_dir, LeaseRecord(run, token.nonce, ELSEWHERE, 0, 0, 0, 10.0, 60.0), read_version(state_dir)[1])
    return token


def recorded(state_dir: StateDir, run: int, *receipts: Receipt, scope: Scope = SCOPE, writer_id: str = "w") -> None:
    """Append and flush, as a run of that number."""
    with LedgerWriter(state_dir, scope, lease_for(state_dir, run), writer_id=writer_id) as writer:
        for each in receipts:
            writer.append(each)


def segment_paths(state_dir: StateDir) -> list[Path]:
    return sorted(Path(state_dir.root, "ledger").glob("segment-*.jsonl"))


def answers(ledger: Ledger, series_ids: Sequence[str] = "abcd") -> dict[str, Any]:
    """Everything that a ledger says, in a form that compares."""
    scopes = sorted(ledger.known_scopes)
    sinks = sorted({scope.sink for scope in ledger.known_scopes.values()})
    return {
        "coverage": {(s, i): ledger.coverage(s, i) for s in scopes for i in series_ids},
        "receipts": {s: sorted(repr(r) for r in ledger.receipts(s)) for s in scopes},
        "live": {s: ledger.live_files(s) for s in sinks},
        "superseded": {s: ledger.superseded_files(s) for s in sinks},
        "doubtful": {s: ledger.doubtful_files(s) for s in sinks},
        "scopes": ledger.scopes(),
    }


class Killed(BaseException):
    """What stands for kill -9 inside a process: nothing catches it, nothing of the product cleans up after it."""


@dataclass
class DyingStore:
    """A store that does as its inner one, and dies at the step with number `dies_at`, before or after doing it.

    A step is anything that changes what is stored. Dying inside `create` leaves what a real death leaves: half of the
    content in a temporary file on a local disk, nothing or half an object elsewhere.
    """

    inner: Store
    dies_at: int
    after: bool
    half_objects: bool = False
    steps: int = field(default=0)

    @property
    def can_append(self) -> bool:
        return self.inner.can_append

    @property
    def is_conditional(self) -> bool:
        return self.inner.is_conditional

    def make_folder(self, path: str) -> None:
        self.inner.make_folder(path)

    def list(self, folder: str) -> list[StoredFile]:
        return self.inner.list(folder)

    def open(self, path: str) -> Any:
        return self.inner.open(path)

    def read(self, path: str) -> VersionedFile:
        return self.inner.read(path)

    def replace(self, path: str, data: bytes, version: Any) -> Any:
        if not self.is_conditional:
            with self.create(path) as out:
                out.write(data)
            return None
        found: list[Any] = []
        self._step(lambda: found.append(self.inner.replace(path, data, version)))
        return found[0]

    def append(self, path: str) -> Any:
        return self.inner.append(path)

    @contextmanager
    def create(self, path: str, placing: Placing = nullcontext) -> Iterator[Any]:
        dies = self._dies()
        if dies and not self.after:
            self._leave_half(path)
            raise Killed
        with self.inner.create(path, placing) as out:
            yield out
        if dies:
            raise Killed

    def delete(self, path: str) -> None:
        self._step(lambda: self.inner.delete(path))

    def delete_temporaries(self, folder: str) -> None:
        self._step(lambda: self.inner.delete_temporaries(folder))

    def lock(self, path: str, *, shared: bool = False) -> Any:
        return self.inner.lock(path, shared=shared)

    def _step(self, action: Any) -> None:
        dies = self._dies()
        if dies and not self.after:
            raise Killed
        action()
        if dies:
            raise Killed

    def _dies(self) -> bool:
        self.steps += 1
        return self.steps - 1 == self.dies_at

    def _leave_half(self, path: str) -> None:
        if self.inner.can_append:
            folder, _, name = path.rpartition("/")
            Path(folder, f"{TEMPORARY_PREFIX}half-of-{name}").write_bytes(b'{"omnia_beam_snapshot":1,"jo')
        elif self.half_objects:
            with self.inner.create(path) as out:
                out.write(b'{"omnia_beam_snapshot":1,"jo')


@cache
def free_pid() -> int:
    """The id of a process that is gone. Another may get it: so may that of a run that died."""
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid
