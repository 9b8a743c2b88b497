"""A whole backfill in milliseconds: planning, ledger, files, receipts and tidying are the product's; only the service
and Beam's runner are stood in for, and the process can "die" before or after any durable step.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.beam import record
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.record import RecordReceipts
from omnia_beam.config import JobConfig
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import NotFoundError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.series import Timeseries
from omnia_beam.core.summary import Summary
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.files import folder as destination
from omnia_beam.io.files.folder import file_prefix
from omnia_beam.io.files.write import WriteToParquet
from omnia_beam.io.omnia import opened as open_service
from omnia_beam.ledger import job as ledger_job
from omnia_beam.ledger.failures import failure_file
from omnia_beam.ledger.lease_file import LeaseOwner, machine_id
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines import carry, job_state, run, work_plan
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.copy import CopyTask
from omnia_beam.pipelines.cut_step import cut_chunk
from omnia_beam.pipelines.guard_step import GuardFn
from omnia_beam.plan import packing
from omnia_beam.plan.packing import PackLimits, pack_windows
from omnia_beam.plan.plan import Plan
from omnia_beam.store import local as local_store

HOUR = 3_600 * 10**9
EPOCH = 1_704_067_200 * 10**9  # 2024-01-01; hours from here cross a month's end at 744
Cell = tuple[str, int]
"""A series and an hour."""
Held = tuple[float, int]
"""A value and a status."""


class Killed(BaseException):
    """The process is gone: nothing of ours may catch this."""


@dataclass
class Mortality:
    """Counts durable steps; at the chosen one, and at every one after it, the process is dead."""

    left: int | None = None
    dead: bool = False
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.left is not None and not self.dead:
            self.left -= 1
            self.dead = self.left < 0
        if self.dead:
            raise Killed


@dataclass
class Ask:
    """What one run is asked for: series, hours, configuration."""

    series: tuple[str, ...]
    start: int
    end: int
    good_only: bool = False
    refresh: int = 0
    chunk: int = 4
    flush: int = 1
    newest_first: bool = False
    broken: frozenset[str] = frozenset()
    stop_after: int | None = None
    vanished: str = "follow"
    max_removed: str = "100%"
    die_at: int | None = None


class _Stats:
    def snapshot(self) -> StatsSnapshot:
        return StatsSnapshot()

    def absorb(self, traffic: StatsSnapshot) -> None:
        """Nothing: no request is made."""


class _Session:
    stats = _Stats()


@dataclass
class HandRun:
    """One job: its source (cells), its folders, and the means to run it."""

    context: RunContext
    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(dir=_fast_disk())))
    source: dict[Cell, Held] = field(default_factory=dict)
    mortality: Mortality = field(default_factory=Mortality)
    read: list[Window] = field(default_factory=list)
    now_ns: int | None = None
    tick_ns: int = 1
    _patches: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch)
    _pids: Iterator[int] = field(default_factory=lambda: itertools.count(1 << 23))  # no kernel gives such a pid

    def __post_init__(self) -> None:
        patch = self._patches.setattr
        patch(open_service, "check_reachable", lambda service: None)
        patch(open_service, "shared_session", lambda service: _Session())
        patch(
            open_service,
            "select_series",
            lambda session, series: tuple(Timeseries(id, "", "") for id in sorted(series.ids)),
        )
        patch(open_service, "plan_windows", self._plan)
        patch(open_service, "named_counts", self._counts)
        patch(open_service, "find_by_id", lambda calls, ids: iter(()))
        patch(carry, "copy_pipeline", lambda elements, task, *, local: task)
        patch(carry, "run_pipeline", self._run)
        patch(job_state.LeaseOwner, "here", self._owner)
        patch(record, "LedgerWriter", self._recorder)
        patch(ledger_job, "LedgerWriter", lambda *args: LedgerWriter(*args, clock=self.wall))
        patch(work_plan, "time_ns", self.wall)
        self._mortal(local_store, "_write_local")
        self._mortal(destination, "_delete")
        for name in ("append", "delete"):
            self._mortal(local_store.LocalStore, name)
        self._mortal(local_store.LocalAppender, "append")
        self._mortal_create()

    def close(self) -> None:
        self._patches.undo()
        shutil.rmtree(self.root, ignore_errors=True)

    def wall(self) -> int:
        """What the clock on the wall shows."""
        if self.now_ns is None:
            return time.time_ns()
        self.now_ns += self.tick_ns
        return self.now_ns

    def clear(self) -> None:
        """As on the first day."""
        self.source.clear()
        for name in ("out", "state"):
            shutil.rmtree(self.root / name, ignore_errors=True)

    def run(self, ask: Ask) -> Summary | None:
        """One run of the product's backfill; None where it was killed."""
        self.read = []
        self._ask = ask
        self.mortality = Mortality(ask.die_at)
        try:
            return run.run_backfill(self._config(ask), self.context)
        except Killed:
            return None

    def stored(self) -> dict[Cell, list[Held]]:
        """Every point of every file that a reader would take in."""
        found: dict[Cell, list[Held]] = {}
        for path in sorted((self.root / "out").rglob("*.parquet")):
            rows = pq.ParquetFile(path).read().to_pydict()
            times = pq.ParquetFile(path).read(["time"])["time"].cast("int64").to_pylist()
            for series, at, value, status in zip(rows["series_id"], times, rows["value"], rows["status"], strict=True):
                found.setdefault((series, (at - EPOCH) // HOUR), []).append((value, status))
        return found

    def temporaries(self) -> list[str]:
        return [path.name for path in (self.root / "out").rglob(f"{local_store.TEMPORARY_PREFIX}*")]

    def _config(self, ask: Ask) -> JobConfig:
        data: dict[str, Any] = {
            "name": "model",
            "source": {
                "kind": "omnia",
                "base_url": "http://127.0.0.1:1/plant/timeseries/v1.7",
                "credential": {"kind": "anonymous"},
                "series": {"ids": list(ask.series)},
                "page_limit": ask.chunk,
                **({"status": [192]} if ask.good_only else {}),
            },
            "window": {"start": "2024-01-01", "end": "2024-01-02"},
            "sink": {"kind": "parquet", "path": str(self.root / "out")},
            "state": str(self.root / "state"),
            "max_chunk_points": ask.chunk,
            "vanished": ask.vanished,
            "max_removed": ask.max_removed,
            "order": "newest_first" if ask.newest_first else "oldest_first",
            **({"refresh": f"{ask.refresh}h"} if ask.refresh else {}),
        }
        path = self.root / "job.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        config = load_config(str(path), now_ns=time.time_ns())
        assert config.window is not None
        window = config.window.model_copy(update={"start": at(ask.start), "end": at(ask.end)})
        return config.model_copy(update={"window": window})

    def _points(self, series_id: str, wanted: TimeRange) -> Points:
        good = self._ask.good_only
        here = sorted(
            (at(hour), *held)
            for (series, hour), held in self.source.items()
            if series == series_id and at(hour) in wanted and (not good or held[1] == 192)
        )
        columns = list(zip(*here, strict=True)) or [(), (), ()]
        return Points(np.array(columns[0], np.int64), np.array(columns[1], np.float64), np.array(columns[2], np.uint32))

    def _counts(self, session: Any, ids: tuple[str, ...], start: int, end: int, *, statuses: Any) -> dict[str, int]:
        return {each: len(self._points(each, TimeRange(start, end)).times) for each in ids}

    def _plan(self, session: Any, wanted: Any, *, statuses: Any, limits: PackLimits) -> Plan:
        packed: list[packing.PackedWindow] = []
        for ids, part in wanted:
            packed += pack_windows([(i, len(self._points(i, part).times)) for i in ids], part, limits)
        return Plan.of(packed)

    def _run(self, build: CopyTask, plan: Plan, *args: Any, **keys: Any) -> Outcome:
        state = build.run
        board = RunBoard()
        guarding = None if build.guard is None else GuardFn(build.guard, board)
        write = WriteToParquet(str(self.root / "out"), prefix=file_prefix("model"), sink=state.sink).do_fn(board)
        recording = RecordReceipts(state.state_dir, state.scope, state.token).do_fn(board)
        recording.setup()
        try:
            for number, window in enumerate(plan):
                if number == self._ask.stop_after:
                    return Outcome(stopped=True)
                self.read.append(window)
                if not self._ask.broken.isdisjoint(window.key.series_ids):
                    failure = WindowFailure.of(window.key, NotFoundError("gone"))
                    state.state_dir.write(f"runs/{failure_file(state.run_id)}", _line(failure))
                    continue
                for read in self._chunks(window):
                    for chunk in [read] if guarding is None else guarding.process(read):
                        for part in [chunk] if build.trailing is None else cut_chunk(chunk, build.trailing):
                            list(recording.process(write.store(part)))
            recording.finish_bundle()
        finally:
            recording.teardown()
        return Outcome()

    def _chunks(self, window: Window) -> Iterator[Chunk]:
        """As the reader does: what turns out too large for a chunk is divided by what the service counts now."""
        ids = window.key.series_ids
        total = sum(len(self._points(each, window.key.range).times) for each in ids)
        for part in window.key.range.split(max(1, -(-total // self._ask.chunk))):
            yield Chunk.from_points(ChunkKey(ids, part), {each: self._points(each, part) for each in ids})

    def _owner(self, run_id: str) -> LeaseOwner:
        return LeaseOwner("here", next(self._pids), machine_id("here"), "1", run_id)

    def _mortal(self, owner: Any, name: str) -> None:
        """Die before the step, or after it."""
        real = getattr(owner, name)

        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.mortality.step()
            response = real(*args, **kwargs)
            self.mortality.step()
            return response

        self._patches.setattr(owner, name, mortal)

    def _recorder(self, *args: Any, flush_behind: bool) -> LedgerWriter:
        """A worker's, without a thread: deaths are planned by counting steps."""
        return LedgerWriter(*args, flush_records=self._ask.flush, clock=self.wall)

    def _mortal_create(self) -> None:
        real = local_store.LocalStore.create

        @contextmanager
        def create(store: Any, path: str, placing: Any = nullcontext) -> Iterator[Any]:
            self.mortality.step()
            with real(store, path, placing) as out:
                yield out
                self.mortality.step()  # the temporary is there, the name is not
            self.mortality.step()

        self._patches.setattr(local_store.LocalStore, "create", create)


def at(hour: int) -> int:
    return EPOCH + hour * HOUR


def _line(failure: WindowFailure) -> bytes:
    return json.dumps(failure.to_json()).encode() + b"\n"


def _fast_disk() -> str | None:
    """Where fsync costs nothing: a run makes dozens."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
