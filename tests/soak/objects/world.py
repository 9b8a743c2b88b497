"""One job on an object store in memory: its source, its commands, and the judgement on what a run says and leaves behind."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from omnia_beam.beam import execution, record
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import Interrupted, OmniaBeamError
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.io.files import observer, write
from omnia_beam.ledger import compaction, lease
from omnia_beam.ledger import table as ledger_table
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.pipelines import job_state
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.replay.replay import run_replay
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.status.command import run_status
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.tail import run_tail
from omnia_beam.pipelines.verify.verify import run_verify
from tests.soak.objects.hand_beam import run_by_hand, take_tuples
from tests.soak.objects.service import Clock, Driver, Held, Killed, Service

T0: Final = parse_time("2024-01-31")
HOUR: Final = 3_600 * 10**9
GOOD, QUESTIONABLE = 192, 64

Point = tuple[str, int, float, int]
"""Series, hour, value, status."""

FOREIGN: Final = (
    "sim/out/_SUCCESS",
    "sim/out/.omnia-beam-0123456789abcdef-other-1a2b3c4d-probe",
    "sim/out/year=2024/month=01/_notes.txt",
    "sim/out/year=2024/month=01/other-1a2b3c4d-20240131T000000Z-20240201T000000Z-0123456789abcdef.parquet",
    "sim/out2/year=2024/month=01/sim-8779724a-20240131T000000Z-20240201T000000Z-0123456789abcdef.parquet",
    "sim/state/other/lease.json",
    "sim/state/sim2/ledger/segment-00000001-0123456789abcdef-0000.jsonl",
)
"""Keys of objects of other jobs and people, beside the job's own."""

_WAITS: Final = 4
"""Cycles after which somebody stops a tail that does not come to its end."""


class Wrong(AssertionError):
    """Something false was said, or harm was done."""


@dataclass(frozen=True)
class End:
    """How a run ended.

    Args:
        says: the status of its summary; empty where there is none.
        error: what ended it; empty for nothing.
        summary: None where an error ended it, or it was killed.
        killed: whether the process died.
    """

    says: str = ""
    error: str = ""
    summary: Summary | None = None
    killed: bool = False


class World:
    """Source, state and sink, all on one object store.

    Args:
        service: the store.
        folder: for the configuration.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.sink = "parquet"
        self.keys: dict[str, Any] = {}
        self.source: dict[str, tuple[Point, ...]] = {}
        self.changes = 0

    def put_source(self, name: str, points: tuple[Point, ...]) -> None:
        """Write a file of the source; of two files that hold a point the later name counts."""
        self.source[name] = points
        rows = [
            f"{series},{format_time(T0 + hour * HOUR)},{value!r},{status}" for series, hour, value, status in points
        ]
        text = "\n".join(["series_id,time,value,status", *rows]) + "\n"
        self.service.objects[f"sim/in/{name}"] = Held(text.encode(), f'"{hash(text)}"', self.service.clock.now_s)

    def begin(self) -> None:
        """Let the source hold its first points, and other things lie beside the job's."""
        for key in FOREIGN:
            self.service.objects[key] = Held(key.encode(), f'"{hash(key)}"', self.service.clock.now_s)
        self.put_source("a.csv", tuple(("a", h, float(h), GOOD) for h in range(0, 48, 2)))
        self.put_source("b.csv", tuple(("b", h, h / 3, QUESTIONABLE if h % 5 == 0 else GOOD) for h in range(1, 48, 3)))

    def change(self) -> None:
        """Let the source change: values are corrected, and points are added."""
        self.changes += 1
        n = self.changes
        self.put_source("b.csv", tuple((*p[:2], p[2] + 100 * n, p[3]) for p in self.source["b.csv"]))
        self.put_source(f"c{n}.csv", tuple(("c", h, h + n / 8, GOOD) for h in range(40, 60, 2)))

    def lose_a_file(self) -> None:
        """Take the first file of the sink away."""
        del self.service.objects[min(self.files())]

    def truth(self, *, good_only: bool = False, until: int | None = None) -> dict[tuple[str, int], tuple[float, int]]:
        """Return what the source holds now before some hour, by series and hour."""
        held = {(s, h): (v, q) for name in sorted(self.source) for s, h, v, q in self.source[name]}
        return {
            cell: point
            for cell, point in held.items()
            if (not good_only or point[1] == GOOD) and (until is None or cell[1] < until)
        }

    def files(self) -> list[str]:
        """Return the keys of the sink's files of points."""
        return [
            key
            for key in self.service.objects
            if key.startswith("sim/out/year=") and "/_" not in key and key not in FOREIGN
        ]

    def stored(self) -> dict[tuple[str, int], tuple[float, int]]:
        """Return what readers of the sink find.

        Raises:
            Wrong: a point is there twice.
        """
        found: dict[tuple[str, int], tuple[float, int]] = {}
        for key in self.files():
            for series, at_ns, value, status in _points(key, self.service.objects[key].data):
                cell = series, (at_ns - T0) // HOUR
                if cell in found:
                    raise Wrong(f"{series} holds a point twice at {format_time(at_ns)}")
                found[cell] = value, status
        return found

    def strays(self) -> list[str]:
        """Return the sink's files that no receipt names."""
        config = self.config()
        view = StateDir.open(config.state, config.name, create=False)
        live = Ledger.load(view).live_files(scope_of(config).sink)
        return [key for key in self.files() if key.removeprefix("sim/out/") not in live]

    def config(self) -> JobConfig:
        """Return the job."""
        sink: dict[str, Any] = {"kind": self.sink, "path": "s3://sim/out"}
        if self.sink == "csv":
            sink["compression"] = "gzip"
        job = {
            "name": "sim",
            "source": {"kind": "csv", "path": "s3://sim/in/*.csv"},
            "sink": sink,
            "state": "s3://sim/state",
            "max_chunk_points": 16,
            **self.keys,
        }
        return _loaded(json.dumps(job), self.folder)

    def run(self, command: str, driver: Driver) -> End:
        """Run a command as one process, to its end or its death.

        Raises:
            Wrong: it ended with an error that is not the product's own, or without a word.
        """
        silent = Console(file=io.StringIO())
        context = RunContext(_options(), silent, silent)
        self.service.driver = driver
        try:
            summary = self._commands()[command](context)
        except Killed:
            return End(killed=True)
        except (OmniaBeamError, Interrupted) as error:
            text = str(error) or type(error).__name__
            if "\n" in text.strip() or not text.strip():
                raise Wrong(f"{command} ends with {type(error).__name__} {text!r}, which is not one line") from error
            return End(error=f"{type(error).__name__}: {text}")
        except Wrong:
            raise
        except Exception as error:
            raise Wrong(f"{command} ends with a traceback: {type(error).__name__}: {error}") from error
        finally:
            self.service.driver = None
        return End(summary.status, summary=summary)

    def _commands(self) -> dict[str, Callable[[RunContext], Summary]]:
        config = self.config()
        return {
            "backfill": partial(run_backfill, config),
            "migrate": partial(run_migrate, config),
            "tail": lambda context: run_tail(config, context, self._tail_times(), until_lag_ns=HOUR),
            "verify": lambda context: run_verify(config, context, source=True, repair=True),
            "replay": partial(run_replay, config),
            "status": lambda context: run_status(config, context).summary,
        }

    def _tail_times(self) -> TailTimes:
        waits = iter(range(_WAITS))

        def wait(seconds: float) -> None:
            if next(waits, None) is None:
                raise Interrupted
            self.service.clock.sleep(seconds)

        return TailTimes(wait=wait)


@contextmanager
def simulated(tags: Any) -> Iterator[Service]:
    """Let this process's stores be a simulated one; leases live by its clock, pipelines run by hand."""
    clock = Clock()
    service = Service(tags, clock)
    service.watch.foreign = frozenset(FOREIGN)
    patches = pytest.MonkeyPatch()
    try:
        service.install(patches)
        take_tuples(patches)
        patches.setattr(execution, "run_to_end", run_by_hand)
        for module in (write, observer):
            patches.setattr(module, "ThreadPoolExecutor", _AtOnce)
        patches.setattr(
            record, "LedgerWriter", lambda *args, **keys: LedgerWriter(*args, flush_records=2, flush_age_s=float("inf"))
        )
        patches.setattr(compaction, "MANY_SEGMENTS", 6)
        patches.setattr(ledger_table, "parsed", lru_cache(2_000)(ledger_table.parsed))
        times = partial(lease.LeaseTimes, clock=clock.wall, monotonic=clock.steady, sleep=clock.sleep)
        patches.setattr(lease, "LeaseTimes", times)
        patches.setattr(lease.Lease, "_start_heartbeat", lambda held: _follow(service, held))
        patches.setattr(job_state.LeaseOwner, "here", partial(_owner, service))
        yield service
    finally:
        patches.undo()


class _AtOnce:
    """Does in this thread what an executor's threads would do: so a schedule is the same each time."""

    def __init__(self, *args: Any, **keys: Any) -> None: ...

    def __enter__(self) -> _AtOnce:
        return self

    def __exit__(self, *args: object) -> None: ...

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def map(self, work: Callable[..., Any], *values: Any) -> Iterator[Any]:
        return map(work, *values)

    def shutdown(self, **keys: Any) -> None: ...


def _follow(service: Service, held: lease.Lease) -> None:
    assert service.driver is not None
    service.driver.lease = held
    service.driver.beaten_s = service.clock.now_s


def _owner(service: Service, run_id: str) -> LeaseOwner:
    assert service.driver is not None
    return LeaseOwner(service.driver.name, 1 << 23, f"machine of {service.driver.name}", "1", run_id)


def _points(key: str, data: bytes) -> Iterator[tuple[str, int, float, int]]:
    if key.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(data))
        columns = (table["series_id"].to_pylist(), table["time"].cast("int64").to_pylist())
        yield from zip(*columns, table["value"].to_pylist(), table["status"].to_pylist(), strict=True)
        return
    for row in csv.DictReader(io.StringIO(gzip.decompress(data).decode())):
        yield row["series_id"], parse_time(row["time"]), float(row["value"]), int(row["status"])


@lru_cache(64)
def _loaded(job: str, folder: Path) -> JobConfig:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folder) as file:
        file.write(job)  # JSON is YAML
        file.flush()
        return load_config(file.name, now_ns=time.time_ns())


@lru_cache(1)
def _options() -> Any:
    return pipeline_options(None, [])
