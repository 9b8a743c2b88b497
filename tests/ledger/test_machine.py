"""Any sequence of runs, appends, crashes, torn tails, refreshes, scope changes and compactions, against a model.

The model is a list of what was written, and coverage by painting it instant by instant. The ledger may know more than
what was flushed (a record whose write was cut short may be whole), and the model knows exactly which, since the test
cuts the write itself. So in every state: nothing acknowledged is lost, nothing never written appears.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.ledger.compaction import compact_ledger, delete_spent
from omnia_beam.ledger.lease import Lease, LeaseTimes
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope, SegmentHeader
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import DyingStore, FakeClock, Killed, free_pid, key, receipt
from tests.store.memory_objects import MemoryObjects

SERIES = "abc"
END = 10
SINKS = ("parquet:out/", "omnia:there")
SCOPES = [
    Scope.of({"source": source, "sink": sink})
    for source, sink in [("x", 0), ("y", 0), ("x", 1)]
    for sink in [SINKS[sink]]
]


@dataclass(frozen=True)
class Written:
    """A record, as the model knows it."""

    order: tuple[int, int, str]
    is_intent: bool
    scope: Scope
    series: frozenset[str]
    start: int
    end: int
    files: frozenset[str] = frozenset()

    def cells(self) -> set[tuple[str, str, int]]:
        return {(self.scope.sink, s, t) for s in self.series for t in range(self.start, self.end)}


@dataclass
class OpenWriter:
    """A writer, and what it holds back."""

    writer: LedgerWriter
    writer_id: str
    scope: Scope
    run: int
    last_ns: int = 0
    part: int = 0
    waiting: list[Written] = field(default_factory=list)


class LedgerMachine(RuleBasedStateMachine):
    """One job's state directory through its life; subclasses say on what store."""

    def setup_store(self) -> StateDir:
        # Not abstract: the metaclass of hypothesis' state machines is not that of abstract classes.
        raise NotImplementedError("each subclass has a store of its own")

    def write_raw(self, name: str, data: bytes) -> None:
        # As above.
        raise NotImplementedError("each store has a way of its own past the ledger")

    @initialize()
    def begin(self) -> None:
        self.state = self.setup_store()
        self.clock = FakeClock()
        self.times = LeaseTimes(
            clock=self.clock.wall,
            monotonic=self.clock.steady,
            sleep=self.clock.sleep,
            heartbeat_s=1.0,
            stale_after_s=5.0,
        )
        self.dead = dataclasses.replace(LeaseOwner.here("x"), pid=free_pid(), started="1")
        self.written: list[Written] = []
        self.forgotten: set[tuple[str, str]] = set()
        self.writers: list[OpenWriter] = []
        self.lease: Lease | None = None
        self.number = 0

    # -- runs ------------------------------------------------------------------------------------------------------

    def running(self) -> Lease:
        if self.lease is None:
            self.lease = Lease.acquire(self.state, self.dead, times=self.times, heartbeat=False)
        return self.lease

    def writer(self, which: int, scope: Scope) -> OpenWriter:
        """One of a run's three writers; a new one has the scope, and may sort before or after the others by its name."""
        token = self.running().token
        while len(self.writers) <= which:
            self.number += 1
            writer_id = f"{'mza'[self.number % 3]}{self.number}"
            writer = LedgerWriter(
                self.state,
                scope,
                token,
                flush_records=10**6,
                flush_age_s=1e9,
                clock=self.clock.wall,
                monotonic=self.clock.steady,
                writer_id=writer_id,
            )
            self.writers.append(OpenWriter(writer, writer_id, scope, token.run))
        return self.writers[which]

    @rule()
    def end_run(self) -> None:
        for each in self.writers:
            each.writer.close()
            self.written += each.waiting
        self.writers.clear()
        self.running().release()
        self.lease = None

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """Nothing is flushed or released any more; each writer may have been in the middle of a flush."""
        for each in self.writers:
            if each.waiting and data.draw(st.booleans()):
                self.tear(each, data)
            each.writer._give_part_up()  # the kernel closes a dead process's files
        self.writers.clear()
        self.lease = None

    def tear(self, each: OpenWriter, data: st.DataObject) -> None:
        lines = list(each.writer._waiting)
        header = SegmentHeader("job", each.run, each.writer_id, each.part, each.scope, "")
        fresh = not self.state.can_append or (each.part == 0 and each.writer._file is None)
        text = (header.to_line() if fresh else b"") + b"".join(lines)
        ends = list(itertools.accumulate(map(len, lines), initial=len(text) - sum(map(len, lines))))
        # Anywhere, and often where it matters: at the end of a record, and before its newline.
        cut = data.draw(
            st.integers(0, len(text)) | st.sampled_from(ends) | st.sampled_from(ends).map(lambda at: at - 1)
        )
        self.write_raw(f"ledger/{header.file_name}", text[:cut])
        at = len(text) - sum(map(len, lines))
        for line, record in zip(lines, each.waiting, strict=True):
            at += len(line)
            if at - 1 <= cut:  # whole, with or without its newline
                self.written.append(record)

    # -- records ---------------------------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 2),
        scope=st.sampled_from(SCOPES),
        series=st.sets(st.sampled_from(SERIES), min_size=1),
        start=st.integers(0, END - 1),
        length=st.integers(1, END),
        name=st.none() | st.sampled_from(["f", "g"]),
        flush=st.booleans(),
    )
    def append(
        self, which: int, scope: Scope, series: set[str], start: int, length: int, name: str | None, flush: bool
    ) -> None:
        each = self.writer(which, scope)
        files = (f"{start}-{length}" if name is None else name,)
        order = self.next_order(each)
        each.writer.append(receipt(sorted(series), start, start + length, files, each.scope.sink))
        each.waiting.append(
            Written(order, False, each.scope, frozenset(series), start, start + length, frozenset(files))
        )
        if flush:
            each.writer.flush()
        if not each.writer.waiting:  # the first of a writer is flushed at once
            self.flushed(each)

    @rule(
        which=st.integers(0, 2),
        scope=st.sampled_from(SCOPES),
        series=st.sets(st.sampled_from(SERIES), min_size=1),
        start=st.integers(0, END - 1),
    )
    def intend(self, which: int, scope: Scope, series: set[str], start: int) -> None:
        each = self.writer(which, scope)
        order = self.next_order(each)
        each.writer.intend(key(sorted(series), start, start + 4))
        each.waiting.append(Written(order, True, each.scope, frozenset(series), start, start + 4))
        self.flushed(each)

    def flushed(self, each: OpenWriter) -> None:
        if each.waiting and not self.state.can_append:
            each.part += 1
        self.written += each.waiting
        each.waiting = []

    def next_order(self, each: OpenWriter) -> tuple[int, int, str]:
        each.last_ns = max(self.clock.wall(), each.last_ns + 1)
        return each.run, each.last_ns, each.writer_id

    @rule(seconds=st.sampled_from([-1e6, -1.0, 1e-9, 1.0, 1e6]))
    def jump_the_clock(self, seconds: float) -> None:
        self.clock.wall_s += seconds

    # -- compaction ------------------------------------------------------------------------------------------------

    @rule(forget=st.booleans())
    def compact(self, forget: bool) -> None:
        self.end_run()
        ledger = Ledger.load(self.state)
        gone = {sink: ledger.superseded_files(sink) for sink in SINKS} if forget else {}
        compact_ledger(ledger, self.running().token, forget=gone)
        self.forgotten |= {(sink, name) for sink, names in gone.items() for name in names}

    @rule(step=st.integers(0, 8), after=st.booleans(), halves=st.booleans())
    def die_compacting(self, step: int, after: bool, halves: bool) -> None:
        self.end_run()
        token = self.running().token
        dying = dataclasses.replace(self.state, store=DyingStore(self.state.store, step, after, halves))
        try:
            delete_spent(Ledger.load(dying), token)
            compact_ledger(Ledger.load(dying), token)
        except Killed:
            self.lease = None

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def says_what_the_model_says(self) -> None:
        if not hasattr(self, "written"):
            return
        ledger = Ledger.load(self.state)
        records = sorted(self.written, key=lambda each: each.order)
        shown = _painted(records)
        standing = _painted([each for each in records if not each.is_intent])
        for scope in SCOPES:
            expected = {s: _covered(shown, scope, s) for s in SERIES}
            assert {s: ledger.coverage(scope.digest, s) for s in SERIES} == expected
            self.check_missing(ledger, scope, expected)
        for sink in SINKS:
            self.check_files(ledger, sink, records, shown, standing)

    def check_missing(self, ledger: Ledger, scope: Scope, expected: dict[str, TimeRangeSet]) -> None:
        wanted = TimeRange(2, END + 3)
        found = {s: holes for members, holes in ledger.missing(scope.digest, [*SERIES, "?"], wanted) for s in members}
        whole = TimeRangeSet([wanted])
        assert found == {s: h for s in [*SERIES, "?"] if (h := whole.subtract(expected.get(s, TimeRangeSet())))}

    def check_files(self, ledger: Ledger, sink: str, records: list[Written], shown: Any, standing: Any) -> None:
        receipts = [each for each in records if not each.is_intent and each.scope.sink == sink]
        live = {each for each in receipts if any(shown.get(cell) is each for cell in each.cells())}
        stands = {each for each in receipts if any(standing.get(cell) is each for cell in each.cells())}
        names = {name for each in live for name in each.files}
        assert ledger.live_files(sink) == names
        assert ledger.doubtful_files(sink) == {name for each in stands - live for name in each.files} - names
        gone = {name for each in receipts for name in each.files} - {name for each in stands for name in each.files}
        found = ledger.superseded_files(sink)
        assert found <= gone
        assert gone - found <= {name for place, name in self.forgotten if place == sink}
        part = {each for each in live if any(shown.get(cell) is not each for cell in each.cells())}
        overlaps = list(ledger.overlaps(sink))
        assert sorted((one.run, one.at_ns) for one in overlaps) == sorted(each.order[:2] for each in part)
        whole = [one for scope in SCOPES if scope.sink == sink for one in ledger.receipts(scope.digest) if one.is_whole]
        assert sorted((one.run, one.at_ns) for one in whole) == sorted(each.order[:2] for each in live - part)


def _painted(records: list[Written]) -> dict[tuple[str, str, int], Written]:
    return {cell: each for each in records for cell in each.cells()}


def _covered(shown: dict[tuple[str, str, int], Written], scope: Scope, series: str) -> TimeRangeSet:
    return TimeRangeSet(
        TimeRange(at, at + 1)
        for (sink, s, at), each in shown.items()
        if s == series and sink == scope.sink and not each.is_intent and each.scope == scope
    )


class LocalMachine(LedgerMachine):
    """Appends to files. In memory where the machine has such a place, since thousands of fsyncs prove nothing more."""

    def setup_store(self) -> StateDir:
        memory = Path("/dev/shm")
        self.place = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
        return StateDir.open(self.place, "job")

    def write_raw(self, name: str, data: bytes) -> None:
        with Path(self.state.path(name)).open("ab") as file:
            file.write(data)

    def teardown(self) -> None:
        for each in getattr(self, "writers", ()):
            each.writer._give_part_up()
        if hasattr(self, "place"):
            shutil.rmtree(self.place)


class ObjectMachine(LedgerMachine):
    """One object a flush; a put that is cut short may leave a part of the object."""

    def setup_store(self) -> StateDir:
        self.memory = MemoryObjects()
        self.memory.install()
        return StateDir.open("s3://bucket/state", "job")

    def write_raw(self, name: str, data: bytes) -> None:
        self.memory.objects[self.state.path(name)] = data

    def teardown(self) -> None:
        self.memory.uninstall()


# Shrinking a failure takes minutes, and is worth them. The profile `explore` makes the search forty times longer.
pytestmark = pytest.mark.timeout(3600)
LIMITS = settings(max_examples=15 if settings.default.max_examples <= 100 else 1_000, stateful_step_count=25)
TestLocal = LocalMachine.TestCase
TestLocal.settings = LIMITS
TestObjects = ObjectMachine.TestCase
TestObjects.settings = LIMITS
