"""Staging and committing apart: receipts describe what is stored, whenever a run dies and whatever it had staged."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import StateError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.commit import Batch, StageAndCommit, Staged, commit_noted, note_staged, noted, parted
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobRun, RunState
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from tests.io.contract.dying import Killed, dying

SCOPE = Scope.of({"source": "s", "sink": "sqlite", "writing": "w"})
WINDOWS = [ChunkKey((series_id,), TimeRange(at, at + 100)) for at in (0, 100) for series_id in ("a", "b")]
STEPS = [
    "omnia_beam_sqlite.table:Table.stage",
    "omnia_beam.io.commit.committed",
    "omnia_beam_sqlite.table:Table.commit",
    "omnia_beam.ledger.dead_letters:DeadLetterFiles.put",
    "omnia_beam.ledger.writer:LedgerWriter.append",
    "omnia_beam.ledger.writer:LedgerWriter.flush",
    "omnia_beam.ledger.state_dir:StateDir.delete",
]


def chunk_of(key: ChunkKey, version: int) -> Chunk:
    """Three points, one of them NaN; another version has other values and one point less."""
    times = np.arange(key.range.start_ns, key.range.end_ns, 40)[version % 2 :]
    values = np.full(len(times), float(version))
    values[-1] = np.nan
    points = Points(times, values, np.full(len(times), 192, np.uint32))
    return Chunk.from_points(key, {key.series_ids[0]: points})


class World:
    """A state and a table, and runs over them, of which each may die."""

    def __init__(self, folder: Path) -> None:
        from omnia_beam_sqlite.table import Table

        self.state_dir = StateDir.open(str(folder / "state"), "job")
        self.table: Any = Table(str(folder / "points.db"), "points")
        self.version = 0

    @contextmanager
    def run(self) -> Iterator[tuple[JobRun, StageAndCommit]]:
        with Lease.acquire(self.state_dir, LeaseOwner.here("run")) as lease:
            state = RunState(self.state_dir, "run", SCOPE, lease.token)
            writing = StageAndCommit(self.table, state, points=4, one_committer=True)
            yield JobRun.of(state, Ledger.load(self.state_dir)), writing

    def copy(self) -> None:
        """One run: commit what was left, stage what is missing, commit it."""
        self.version += 1
        with self.run() as (run, writing):
            commit_noted(writing, run, leftovers=True)
            for key in self.missing():
                note_staged(writing.run, self.table.stage(chunk_of(key, self.version), SCOPE.sink))
            commit_noted(writing, run)

    def missing(self) -> list[ChunkKey]:
        ledger = Ledger.load(self.state_dir)
        return [key for key in WINDOWS if not ledger.coverage(SCOPE.digest, key.series_ids[0]).covers(key.range)]

    def check(self) -> None:
        """What is recorded is what is stored, its dead letters too."""
        files = DeadLetterFiles.of(self.state_dir)
        letters = {each.key: each for each in map(files.read, files.names())}
        for each in Ledger.load(self.state_dir).receipts(SCOPE.digest):
            (series,) = each.receipt.series
            found = self.table.read([series.target_id], each.receipt.key.range)
            assert Fingerprint.of(found[series.target_id]) == series.fingerprint
            assert letters[each.receipt.key].count == each.receipt.dead_letters == 1


def test_a_run_may_die_at_each_step(tmp_path: Path) -> None:
    world = World(tmp_path)
    for at, step in enumerate(STEPS):
        with dying(step, after=at % 2 == 0), suppress(Killed):
            world.copy()
        world.check()
    world.copy()
    assert world.missing() == []
    world.check()


@pytest.mark.long
@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.booleans(), st.integers(1, 4)), max_size=4))
def test_receipts_describe_what_is_stored_wherever_runs_die(deaths: list[tuple[str, bool, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        world = World(folder)
        for step, after, call in deaths:
            with dying(step, after=after, call=call), suppress(Killed):  # a run may end before it comes to that call
                world.copy()
            world.check()
        world.copy()
        world.check()
        assert world.missing() == []
        with world.run() as (run, _):
            assert noted(run) == []
    finally:
        shutil.rmtree(folder)


def test_what_is_noted_is_not_read_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.run() as (_, writing):
        for key in WINDOWS:
            note_staged(writing.run, world.table.stage(chunk_of(key, 1), SCOPE.sink))
    with world.run() as (run, writing):
        assert len(commit_noted(writing, run, leftovers=True)) == len(WINDOWS)
    assert world.missing() == []
    world.check()


def test_notes_of_an_earlier_lease_are_committed_first_or_never(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.run() as (_, writing):
        note_staged(writing.run, world.table.stage(chunk_of(WINDOWS[0], 1), SCOPE.sink))
    with world.run() as (run, writing):
        assert commit_noted(writing, run) == []
        assert noted(run) == []
    assert world.table.read(["a"], WINDOWS[0].range) == {}


def test_notes_of_another_scope_are_dropped(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.run() as (_, writing):
        note_staged(writing.run, world.table.stage(chunk_of(WINDOWS[0], 1), SCOPE.sink))
    other = Scope.of({"source": "other", "sink": "sqlite", "writing": "w"})
    with world.run() as (run, writing):
        changed = JobRun(run.state_dir, other, run.ledger, run.run_id, run.token)
        assert commit_noted(writing, changed, leftovers=True) == []
        assert noted(run) == []


def test_a_run_that_lost_its_lease_stages_and_commits_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.run() as (run, writing):
        note_staged(writing.run, world.table.stage(chunk_of(WINDOWS[0], 1), SCOPE.sink))
    staged = world.table.stage(chunk_of(WINDOWS[1], 1), SCOPE.sink)
    with pytest.raises(StateError):
        note_staged(writing.run, staged)
    with pytest.raises(StateError):
        commit_noted(writing, run)
    assert world.table.read(["a", "b"], TimeRange(0, 200)) == {}
    assert len(noted(run)) == 1


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.run() as (run, writing):
        note_staged(writing.run, world.table.stage(chunk_of(WINDOWS[0], 1), SCOPE.sink))
        (name,) = noted(run)
        path = Path(run.state_dir.path(name))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StateError, match=r"staged-.*cannot be understood.*delete the file"):
            commit_noted(writing, run)


def test_one_commit_holds_no_more_than_its_limits(tmp_path: Path) -> None:
    world, sizes = World(tmp_path), list[int]()
    commit = type(world.table).commit

    def counting(self: Any, staged: Any, placing: Any) -> Any:
        sizes.append(sum(each.receipt.count + each.receipt.dead_letters for each in staged))
        return commit(self, staged, placing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world.table), "commit", counting)
        world.copy()
    assert sum(sizes) == sum(chunk_of(key, 1).num_points for key in WINDOWS)
    assert len(sizes) > 1
    assert all(size <= 4 for size in sizes)


def test_a_batch_is_due_by_points_by_bytes_and_by_age() -> None:
    each = Staged.of(chunk_of(WINDOWS[0], 0), "sink", b"12345678")
    now = [0.0]
    for limits, due in (((3, 100), True), ((4, 100), False), ((100, 8), True), ((100, 9), False)):
        batch = Batch(*limits, monotonic=lambda: now[0])
        assert not batch.is_due()
        batch.add(each)
        assert batch.is_due() == due
    now[0] += 30
    assert batch.is_due()
    assert batch.taken() == [each]
    assert not batch.is_due()


@given(st.lists(st.sampled_from([1.0, np.nan, -0.0, np.inf]), max_size=8))
def test_parted_keeps_every_point_once(values: list[float]) -> None:
    key = ChunkKey(("a",), TimeRange(0, 100))
    points = Points(np.arange(len(values)), np.array(values, np.float64), np.full(len(values), 192, np.uint32))
    good, letters = parted(Chunk.from_points(key, {"a": points}), lambda each: np.isnan(each.values), "NaN")
    ((_, _, held),) = good.by_series()
    lost = [time for each in letters for time in each.points.times.tolist()]
    assert sorted([*held.times.tolist(), *lost]) == points.times.tolist()
    assert [values[at] for at in held.times] == [value for value in values if not np.isnan(value)]
