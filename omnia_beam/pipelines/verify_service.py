"""Reading windows of a service again: as fingerprints by a Beam pipeline, and as points where they differ."""

from __future__ import annotations

import json
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import apache_beam as beam

from omnia_beam.core import errors
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import IncompleteReadError, OmniaBeamError, TransientServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.packing import requests_for
from omnia_beam.io.plan import Plan
from omnia_beam.io.progress import BOARD
from omnia_beam.io.query_reader import QueryReader
from omnia_beam.io.read import ReadFromOmnia, ReadOptions
from omnia_beam.io.record import RecordFailures, read_failures
from omnia_beam.io.state_dir import StateDir
from omnia_beam.io.window_reader import WindowReader
from omnia_beam.net.raw_data import RawQuery, fetch_page
from omnia_beam.net.session import ServiceSession
from omnia_beam.net.settings import ServiceSettings
from omnia_beam.net.shared import shared_session
from omnia_beam.net.stats import StatsSnapshot
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.execution import run_pipeline
from omnia_beam.pipelines.runner import is_local
from omnia_beam.pipelines.verify_fingerprint import Fingerprint
from omnia_beam.transforms.assemble import assemble_chunk
from omnia_beam.transforms.decode import DecodeChunks

_FLUSH: Final = 500
_PATIENCE_S: Final = 86_400.0
_HURRY_S: Final = 20.0
_TEXT_SINK: Final = "verify"


@dataclass(frozen=True)
class WindowPrints:
    """What was read again.

    Args:
        prints: by window, by id; every id of the window's key, also those without points.
        failures: windows that could not be read, with the reason.
    """

    prints: Mapping[ChunkKey, dict[str, Fingerprint]]
    failures: Mapping[ChunkKey, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceReader:
    """Windows of one service.

    Args:
        settings, options: which, and how to ask.
        state_dir: where the workers leave the fingerprints for the driver: `runs/<run id>-prints-*`, deleted when read.
        run_id: names this run.
        context: runner and terminal.
    """

    settings: ServiceSettings
    options: ReadOptions
    state_dir: StateDir
    run_id: str
    context: RunContext
    _sessions: list[ServiceSession] = field(default_factory=list, repr=False, compare=False)

    @property
    def session(self) -> ServiceSession:
        """This process's; made when first asked for, so that who never reads needs no credential."""
        if not self._sessions:
            self._sessions.append(shared_session(self.settings))
        return self._sessions[0]

    @property
    def traffic(self) -> StatsSnapshot | None:
        """The session's requests so far; None where there is none."""
        return self._sessions[0].stats.snapshot() if self._sessions else None

    def hurried(self) -> ServiceReader:
        """The same, that gives a service up soon: for questions that can stay open."""
        retry = replace(self.settings.retry, attempts=min(2, self.settings.retry.attempts), deadline_s=_HURRY_S)
        return replace(self, settings=replace(self.settings, retry=retry), _sessions=[])

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        """Read windows as one Beam pipeline, of which only fingerprints come back.

        Args:
            windows: keys and the points that are expected; each key once. What comes back takes about 1 KB for each
                series of each window: give them in portions.

        Raises:
            CredentialError, ServiceError: the service cannot be read at all.
            StateError: the fingerprints cannot be left in the state directory.
        """
        run_id = f"{self.run_id}-{uuid.uuid4().hex[:6]}"
        limits = self.options.pack_limits
        plan = Plan.of_windows([Window(key, points, requests_for(points, limits)) for key, points in windows])
        local = is_local(self.context.options)

        def build(pipeline: Any) -> None:
            read = ReadFromOmnia(self.settings, plan, options=self.options, on_error="output", reshuffle=not local)
            raw = pipeline | "Read" >> read
            decoded = raw.raw_chunks | "Decode" >> DecodeChunks(on_error="output")
            _ = decoded.chunks | "Fingerprint" >> beam.ParDo(_Prints(self.state_dir, run_id))
            _ = (raw.failures, decoded.failures) | beam.Flatten() | RecordFailures(self.state_dir, run_id)

        try:
            run_pipeline(build, plan, self.context, self.session.stats.snapshot)
            return self._collected(run_id, [key for key, _ in windows])
        finally:
            self._tidy(run_id)

    def points(self, key: ChunkKey) -> dict[str, Points]:
        """All points of one window, in this process.

        Raises:
            IncompleteReadError: this window cannot be read.
            TransientServiceError: the service does not answer; the next window would fare no better.
            CredentialError, UnauthorizedError: nothing can be read.
        """
        with ThreadPoolExecutor(self.settings.max_in_flight, thread_name_prefix="omnia-verify") as pool:
            reader = WindowReader(
                QueryReader(
                    self._fetch,
                    format=self.options.format,
                    page_limit=self.options.page_limit,
                    max_points=self.options.max_chunk_points,
                ),
                pool,
                ahead=2 * self.settings.max_in_flight,
                max_chunk_points=self.options.max_chunk_points,
                format=self.options.format,
                patience_s=_PATIENCE_S,
            )
            parts: dict[str, list[Points]] = {series_id: [] for series_id in key.series_ids}
            for raw in reader.read([(0, Window(key))], lambda index: True):
                if isinstance(raw, WindowFailure):
                    raise _error_of(raw)
                for series_id, _, points in assemble_chunk(raw).by_series():
                    parts[series_id].append(points)
        return {series_id: Points.concat(each) for series_id, each in parts.items()}

    def _fetch(self, series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        asked = RawQuery(
            series_ids=series_ids,
            start_ns=query.start_ns,
            end_ns=query.end_ns,
            limit=self.options.page_limit,
            statuses=self.options.statuses,
            federation_source=self.settings.federation_source,
            format=self.options.format,
        )
        return fetch_page(self.session, asked, token)

    def _collected(self, run_id: str, keys: Sequence[ChunkKey]) -> WindowPrints:
        """Add up the parts of windows that were too large for one chunk; a window without all its time has failed."""
        failures = {}
        for each in read_failures(self.state_dir, run_id):
            failed = ChunkKey(tuple(each["series"]), TimeRange(each["start_ns"], each["end_ns"]))
            failures[failed] = f"{each['error']}: {each['message']}"
        parts: dict[tuple[str, ...], dict[TimeRange, Receipt]] = {}
        for receipt in self._left_by_workers(run_id):
            # By range: a runner that repeats a bundle leaves the same part twice.
            parts.setdefault(receipt.key.series_ids, {})[receipt.key.range] = receipt
        ranges = {ids: sorted(found) for ids, found in parts.items()}
        prints: dict[ChunkKey, dict[str, Fingerprint]] = {}
        for key in keys:
            inside = _inside(ranges.get(key.series_ids, []), key.range)
            if sum(each.duration_ns for each in inside) != key.range.duration_ns:
                failures.setdefault(key, "the service was not read to the window's end")
                continue
            total = {series_id: Fingerprint() for series_id in key.series_ids}
            for part in inside:
                for series in parts[key.series_ids][part].series:
                    total[series.series_id] = total[series.series_id].plus(Fingerprint.of_receipt(series))
            prints[key] = total
        return WindowPrints(prints, failures)

    def _left_by_workers(self, run_id: str) -> Iterator[Receipt]:
        for name in self._left(run_id, "prints"):
            for line in (self.state_dir.read(f"runs/{name}") or b"").splitlines():
                yield Receipt.from_json(json.loads(line))

    def _left(self, run_id: str, what: str) -> list[str]:
        names = [each.name for each in self.state_dir.list("runs")]
        return [name for name in names if name.startswith(f"{run_id}-{what}-")]

    def _tidy(self, run_id: str) -> None:
        for name in (*self._left(run_id, "prints"), *self._left(run_id, "failure")):
            self.state_dir.delete(f"runs/{name}")


def _error_of(failure: WindowFailure) -> OmniaBeamError:
    """A failure keeps of its error only the class's name."""
    kind = getattr(errors, failure.error, OmniaBeamError)
    if issubclass(kind, TransientServiceError):
        return TransientServiceError(failure.message)
    return IncompleteReadError(f"{failure.key}: {failure.error}: {failure.message}")


def _inside(ranges: Sequence[TimeRange], outer: TimeRange) -> Sequence[TimeRange]:
    """Those of ascending, disjoint ranges that lie in another."""
    first = bisect_left(ranges, outer.start_ns, key=lambda each: each.start_ns)
    last = bisect_right(ranges, outer.end_ns, key=lambda each: each.end_ns)
    return ranges[first:last]


class _Prints(beam.DoFn):
    """Chunks to lines of fingerprints, in files of the run: nothing as large as a point goes to the driver."""

    def __init__(self, state_dir: StateDir, run_id: str) -> None:
        self._state_dir = state_dir
        self._run_id = run_id

    def setup(self) -> None:
        self._lines: list[str] = []

    def start_bundle(self) -> None:
        self._lines.clear()

    def process(self, chunk: Chunk) -> None:
        receipt = Receipt.of(chunk, _TEXT_SINK)
        BOARD.add(points_written=receipt.count)  # what the progress bar counts
        self._lines.append(json.dumps(receipt.to_json()))
        if len(self._lines) >= _FLUSH:
            self._flush()

    def finish_bundle(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._lines:
            name = f"runs/{self._run_id}-prints-{uuid.uuid4().hex}.jsonl"
            with BOARD.noting_fatal():
                self._state_dir.write(name, ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()
