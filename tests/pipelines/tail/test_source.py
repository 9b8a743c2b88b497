"""The streaming tail's source, driven by hand: what a runner may do to it, and that the copy is exact all the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.runners.sdf_utils import (
    RestrictionTrackerView,
    ThreadsafeRestrictionTracker,
    ThreadsafeWatermarkEstimator,
)

from omnia_beam.beam.execution import run_here
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import StateError
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.emulator.common.memory import add_memory_series
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.base import WHOLE
from omnia_beam.ledger.job import JobView, RunState
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.pipelines.copy import CopyTask, copy_windows
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import held_lease, new_run_id, scope_of
from omnia_beam.pipelines.removal_guard import GuardRules
from omnia_beam.pipelines.tail.cursor import TailCursor, TailTracker
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.handed_out import first_windows, under_way
from omnia_beam.pipelines.tail.report import read_report
from omnia_beam.pipelines.tail.source import (
    PollFn,
    TailPoller,
    TailSpec,
    as_timestamp,
    raise_watermark,
    worker_context,
)
from omnia_beam.pipelines.tail.stream_guard import StreamGuard
from omnia_beam.pipelines.work_plan import WorkPlan
from omnia_beam.plan.plan import Plan, WindowShard, shard_windows
from tests.pipelines.conftest import differences, emulated_points, stored_points

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = parse_time("2024-03-01")
STEADY = np.arange(DAY, DAY + 86_400 * SECOND, 10 * SECOND)


@dataclass(frozen=True)
class Clock:
    """Shows what the stage was set to; pickled, a moment."""

    stage: Stage

    def __call__(self) -> int:
        return self.stage.now_ns

    def __reduce__(self) -> tuple[Any, ...]:
        return (Moment, (self.stage.now_ns,))


@dataclass(frozen=True)
class Moment:
    now_ns: int

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Stage:
    """A tail whose runner is the test."""

    config: JobConfig
    run: RunState
    now_ns: int
    cursor: TailCursor
    lines: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    until_lag_ns: int | None = None
    stored: dict[str, TimeRangeSet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Another worker, which remembers nothing."""
        self.poller = TailPoller(self.spec)

    @property
    def spec(self) -> TailSpec:
        clock = Clock(self)
        run = replace(self.run, clock=clock)
        return TailSpec(self.config, WHOLE, WindowShard, run, TailTimes(clock), self.until_lag_ns)

    def look(self) -> Sequence[Window]:
        """One look, claimed through a tracker; what it gives out."""
        tracker = TailTracker(self.cursor)
        look = self.poller.look(self.cursor)
        assert tracker.try_claim(look.round)
        split = tracker.try_split(0)
        assert tracker.check_done()
        self.cursor = look.round.then if split is None else split[1]
        self.now_ns += int(look.wait_s * SECOND)
        if not self.known:  # a series that comes later has its whole past unread, which no watermark can know
            self.known = set(self.poller.series_ids)
        report = read_report(self.run.state_dir, self.run.run_id)
        if report is not None and (not self.lines or self.lines[-1] != report.line):
            self.lines.append(report.line)
        return look.round.given

    def carry_out(self, windows: Sequence[Window]) -> None:
        """What a runner's workers do with what was given out."""
        shards = list(shard_windows(windows, 4))
        run, job = replace(self.run, clock=Moment(self.now_ns)), Job.of(self.config)
        source = job.open_source(JobView.load(run.state_dir, run.scope), worker_context())
        rules = GuardRules(self.config.vanished == "keep", run.scope.digest, stored=job.sink.stored())
        reading, writing = source.reading(WHOLE, endless=True), job.sink.writing(WHOLE, run)
        task = CopyTask(reading, writing, None, run, StreamGuard(rules, run), follow=True)

        def build(pipeline: Any) -> None:
            created = beam.Create(shards, reshuffle=False).with_output_types(WindowShard)
            copy_windows(pipeline | created, task)

        run_here(build, pipeline_options(None, []), RunBoard())
        ledger = Ledger.load(self.run.state_dir)
        for each in self.known:
            covered = ledger.coverage(self.run.scope.digest, each)
            self.stored[each] = self.stored.get(each, TimeRangeSet()).union(covered)

    def missing(self, until_ns: int) -> list[Any]:
        ids = self.poller.series_ids
        ledger = Ledger.load(self.run.state_dir)
        return ledger.missing(self.run.scope.digest, ids, TimeRange(start_of(self.config), until_ns))


def start_of(config: JobConfig) -> int:
    assert config.window is not None
    return config.window.start


@contextmanager
def staged(config: JobConfig, now_ns: int) -> Iterator[Stage]:
    run_id = new_run_id()
    with held_lease(config, run_id, worker_context()) as (state_dir, lease):
        run = RunState(state_dir, run_id, scope_of(config), lease.token)
        yield Stage(config, run, now_ns, TailCursor.at(start_of(config)))


def steady(name: str = "steady") -> dict[str, Any]:
    return {name: (STEADY, np.arange(len(STEADY), dtype=np.float64))}


Load = Callable[..., JobConfig]


def tail_config(load: Load, url: str, **keys: Any) -> JobConfig:
    retry = {"retry": {"attempts": 2, "deadline": "1s", "first_wait": "10ms", "max_wait": "20ms"}}
    defaults = {"window": {"start": format_time(DAY)}, "tail": {"poll": "30s", "lag": "1m", "refresh": "10m"}}
    return load(url, source=retry, **(defaults | keys))


def test_cycle_follows_cycle_and_none_begins_while_one_is_under_way(load: Load, tmp_path: Path) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 5 * MINUTE) as stage,
    ):
        first = stage.look()
        assert [each.key.range for each in first] == [TimeRange(DAY, DAY + 4 * MINUTE)]
        assert stage.cursor.complete_to_ns == DAY  # nothing has been read
        for _ in range(20):
            assert not stage.look()
        assert stage.cursor.complete_to_ns == DAY
        assert "1 of 1 window of cycle 1 in flight" in stage.lines[-1]
        stage.carry_out(first)
        second = stage.look()  # the poll was due long ago
        assert second[0].key.range.start_ns == DAY + 4 * MINUTE
        assert stage.cursor.complete_to_ns == DAY + 4 * MINUTE
        assert "1 window, 24 points" in stage.lines[-1]
        stage.carry_out(second)
        stage.look()
        assert stage.cursor.complete_to_ns == second[0].key.range.end_ns
        assert not stage.cursor.in_flight


def test_what_failed_holds_the_watermark_back_and_is_given_out_again(load: Load, tmp_path: Path) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 5 * MINUTE) as stage,
    ):
        first = stage.look()
        emulator.set_faults(["path=/data status=503"])
        stage.carry_out(first)
        emulator.set_faults([])
        assert not stage.look()
        assert "1 FAILED" in stage.lines[-1]
        assert stage.cursor.complete_to_ns == DAY
        again = stage.look()
        assert again[0].key.range.start_ns == DAY
        stage.carry_out(again)
        stage.look()
        assert stage.cursor.complete_to_ns == again[0].key.range.end_ns
        read_to = again[0].key.range.end_ns
        assert not differences(stored_points(tmp_path / "out"), emulated_points(emulator, DAY, read_to))


def test_an_outage_while_it_plans_is_told_and_survived(load: Load) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 5 * MINUTE) as stage,
    ):
        emulator.set_faults(["path=/ status=503"])
        assert not stage.look()
        assert "cycle failed, tried again in the next one" in stage.lines[-1]
        emulator.set_faults([])
        assert stage.look()


def test_a_lost_lease_ends_it_and_nothing_is_given_out(load: Load) -> None:
    with EmulatorThread(series=steady()) as emulator:
        config = tail_config(load, emulator.url)
        with staged(config, DAY + 5 * MINUTE) as stage:
            stage.carry_out(stage.look())
            kept = stage.cursor
        stage.now_ns += 10 * MINUTE
        assert not stage.look()
        assert stage.cursor.mode == "over"
        stage.cursor = kept
        with pytest.raises(StateError, match="has lost its lease"):
            stage.carry_out(kept.in_flight)


def test_the_end_is_reached_once_all_is_there(load: Load, tmp_path: Path) -> None:
    window = {"start": format_time(DAY), "end": format_time(DAY + 5 * MINUTE)}
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url, window=window), DAY + 4 * MINUTE) as stage,
    ):
        while stage.cursor.mode != "over":
            stage.carry_out(stage.look())
        report = read_report(stage.run.state_dir, stage.run.run_id)
        assert report is not None
        assert report.over
        assert report.summary().having(status="complete").exit_code == 0
        assert report.complete_to_ns == DAY + 5 * MINUTE
        assert not differences(stored_points(tmp_path / "out"), emulated_points(emulator, DAY, DAY + 5 * MINUTE))


def test_a_backlog_is_given_out_in_bounded_cycles(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnia_beam.pipelines.tail.handed_out.MOST_WINDOWS", 2)
    with EmulatorThread(series=steady()) as emulator:
        config = tail_config(load, emulator.url, max_chunk_points=1_000)
        with staged(config, DAY + 48 * 60 * MINUTE) as stage:
            sizes: list[int] = []
            while not sizes or stage.missing(DAY + 24 * 60 * MINUTE):
                given = stage.look()
                sizes.append(len(given))
                if given:
                    stage.carry_out(given)
            assert max(sizes) == 2
            assert sum(sizes) > 4
            assert stage.now_ns < DAY + 48 * 60 * MINUTE + 10 * SECOND * len(sizes)  # it did not wait for the next poll


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_runner_does_the_copy_is_exact(load: Load, tmp_path: Path, seed: int) -> None:
    """Points that come five minutes late, a new series, outages, workers that die, a runner that goes back to a checkpoint."""
    draw = random.Random(seed)
    is_late = np.arange(len(STEADY)) % 7 == 0
    values = np.arange(len(STEADY), dtype=np.float64)
    with (
        EmulatorThread(series={"a": (STEADY[~is_late], values[~is_late])}) as emulator,
        staged(tail_config(load, emulator.url), DAY + 58 * MINUTE) as stage,
    ):
        (series,) = emulator.store.listed()
        arrived = 0

        def arrive(until_ns: int) -> None:
            nonlocal arrived
            until = int(np.searchsorted(STEADY, until_ns))
            new = np.flatnonzero(is_late[arrived:until]) + arrived
            series.write(Points(STEADY[new], values[new], np.full(len(new), 192, np.uint32)))
            arrived = until

        checkpoint = stage.cursor
        for step in range(36):
            arrive(stage.now_ns - 5 * MINUTE)
            if step == 15:
                add_memory_series(emulator.store, steady("another"), facility="EMU")
            given = stage.look()
            assert stage.cursor.complete_to_ns <= first_unread(stage)
            fate = draw.random()
            if given and fate < 0.15:  # the workers die before they begin, or in the middle of it
                stage.carry_out(given[: draw.randint(0, len(given) - 1)])
                stage.cursor = checkpoint
                stage.begin_anew()
                continue
            if fate < 0.25:
                emulator.set_faults(["path=/data status=503 rate=0.7"])
            stage.carry_out(given)
            emulator.set_faults([])
            if fate < 0.5:
                checkpoint = stage.cursor
            elif fate < 0.6:  # the runner goes back; what was given out since has been done
                stage.cursor = checkpoint
                stage.begin_anew()
        arrive(stage.now_ns)
        settled = stage.cursor.read_to_ns
        stage.now_ns += 11 * MINUTE
        while stage.cursor.complete_to_ns < settled + 11 * MINUTE:
            stage.carry_out(stage.look())
        found = {each: points[points["time"] < settled] for each, points in stored_points(tmp_path / "out").items()}
        assert len(found) == 2
        assert not differences(found, emulated_points(emulator, DAY, settled)), stage.lines[-20:]


def first_unread(stage: Stage) -> int:
    """Where the first thing begins that was never stored, of any series that the tail knew from the beginning.

    Whatever is being read again was stored once; and the past of a series that comes later no watermark can know.
    """
    wanted = TimeRangeSet([TimeRange(start_of(stage.config), stage.now_ns)])
    return min(next(iter(wanted.subtract(stage.stored.get(each, ())))).start_ns for each in stage.known)


# The parts.


def test_a_window_is_under_way_until_all_of_it_is_recorded_or_has_failed(load: Load) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 5 * MINUTE) as stage,
    ):
        (window,) = stage.look()
        (series_id,) = window.key.series_ids
        part = ChunkKey(window.key.series_ids, TimeRange(DAY, DAY + MINUTE))
        stage.carry_out([Window(part, 1)])
        ledger, scope = Ledger.load(stage.run.state_dir), stage.run.scope.digest
        assert under_way(ledger, scope, [window], []) == 1
        rest = {"series": [series_id], "start_ns": DAY + MINUTE, "end_ns": DAY + 4 * MINUTE}
        assert under_way(ledger, scope, [window], [rest]) == 0
        assert under_way(ledger, scope, [window], [rest | {"end_ns": DAY + 3 * MINUTE}]) == 1
        assert under_way(ledger, scope, [window], [rest | {"series": ["other"]}]) == 1


def test_a_cycle_that_is_cut_announces_only_what_it_gives_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnia_beam.pipelines.tail.handed_out.MOST_WINDOWS", 2)
    windows = [Window(ChunkKey(("a",), TimeRange(n, n + 1)), 1) for n in range(4)]
    work, is_all = first_windows(WorkPlan(Plan.of_windows(windows), (windows[1], windows[3]), 0))
    assert (list(work.plan), work.again, is_all) == (windows[:2], (windows[1],), False)
    assert first_windows(WorkPlan(Plan.of_windows(windows[:2]), (), 0))[1]


def test_a_watermark_only_rises_and_is_rounded_towards_the_past() -> None:
    estimator = ThreadsafeWatermarkEstimator(ManualWatermarkEstimator(None))
    raise_watermark(estimator, 1_999)
    assert estimator.current_watermark().micros == 1
    raise_watermark(estimator, 500)
    assert estimator.current_watermark().micros == 1
    assert as_timestamp(-1).micros == -1


def test_process_gives_out_shards_at_the_time_of_the_first_hole_and_defers(load: Load) -> None:
    with (
        EmulatorThread(series=steady()) as emulator,
        staged(tail_config(load, emulator.url), DAY + 5 * MINUTE) as stage,
    ):
        source = PollFn(stage.spec)
        source.setup()
        cursor = source.initial_restriction(b"")
        assert source.restriction_coder().decode(source.restriction_coder().encode(cursor)) == cursor
        tracker = ThreadsafeRestrictionTracker(source.create_tracker(cursor))
        watermark = ThreadsafeWatermarkEstimator(ManualWatermarkEstimator(None))
        out = list(source.process(b"", RestrictionTrackerView(tracker), watermark))
        assert tracker.check_done()
        assert [each.timestamp for each in out] == [as_timestamp(DAY)]
        assert watermark.current_watermark() == as_timestamp(DAY)
        residual, wait = tracker.deferred_status()
        assert tuple(out[0].value.windows) == residual.in_flight
        assert 0 < float(wait) <= 5
        taken = ThreadsafeRestrictionTracker(source.create_tracker(cursor))
        taken.try_split(0)
        assert not list(source.process(b"", RestrictionTrackerView(taken), watermark))
