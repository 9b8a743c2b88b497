"""Read windows again by a Beam pipeline, which returns fingerprints to the driver or, of single windows, points.

Workers leave both in files under `runs/` of the state directory, since a driver has no other way to get the results of
a cluster's workers; they are deleted as soon as they are read.
"""

from __future__ import annotations

import json
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

import apache_beam as beam

from omnia_beam.beam.coders import ChunkCoder
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome, run_pipeline
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.beam.record import RecordFailures
from omnia_beam.beam.runner import is_local
from omnia_beam.core import errors
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import IncompleteReadError, NotFoundError, OmniaBeamError, TransientServiceError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import load_json
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.base import Reading
from omnia_beam.io.observer import ReadingPlace
from omnia_beam.io.shards import CLUSTER_SHARD, LOCAL_SHARD, put_shards
from omnia_beam.ledger.failures import read_failures
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.plan.packing import PackLimits, requests_for
from omnia_beam.plan.plan import Plan

_FLUSH: Final = 500
_SINK: Final = "verify"


@dataclass(frozen=True)
class WindowPrints:
    """The fingerprints of windows that were read again.

    Args:
        prints: by window, by id of its key; every id, also those without points.
        failures: windows that could not be read, with the reason.
        series_failures: for windows that could be read except for some series, those series, with the reason.
    """

    prints: Mapping[ChunkKey, dict[str, Fingerprint]]
    failures: Mapping[ChunkKey, str] = field(default_factory=dict)
    series_failures: Mapping[ChunkKey, Mapping[str, str]] = field(default_factory=dict)


class WindowSource(Protocol):
    """A source whose windows can be read again."""

    @property
    def traffic(self) -> StatsSnapshot | None:
        """Requests so far; None where there were none."""

    def with_short_retries(self) -> WindowSource:
        """Return a reader of the same source that gives up on a service soon, for questions that may stay open."""

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        """Return the fingerprints of windows, which are given with the points expected in each.

        1 KB comes back for each series of each window.
        """

    def points(self, key: ChunkKey) -> dict[str, Points]:
        """Return all points of one window, by id of its key.

        Raises:
            OmniaBeamError: it cannot be read.
        """


@dataclass(frozen=True)
class WindowRun:
    """Reads windows by a pipeline.

    Args:
        reading: puts the reading on a pipeline; see `OpenSource.reading`.
        shards: makes the elements for it; see `OpenSource.shards`.
        limits: into how many requests a window is cut.
        place: where workers leave what they found.
        traffic: returns the requests so far, for the progress.
        as_copied: what a copy would make of a chunk, for the comparison; None for all of it.
    """

    reading: Reading
    shards: Callable[[Iterable[Window], int], Iterator[Any]]
    limits: PackLimits
    place: ReadingPlace
    traffic: Callable[[], StatsSnapshot]
    as_copied: Callable[[Any], Any] | None = None

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        """Read windows, each key once, and return their fingerprints; parts of one that was too large for a chunk are added up.

        Raises:
            CredentialError, ServiceError: nothing can be read at all.
            StateError: the state directory cannot be written.
        """
        run_id = f"{self.place.run_id}-{uuid.uuid4().hex[:6]}"
        try:
            take = partial(_Prints, self.place.state_dir, run_id)
            outcome = self._run(windows, run_id, take, self.place.context)
            return self._collected(run_id, [key for key, _ in windows], outcome.given_up)
        finally:
            self._clear_leftovers(run_id)

    def points(self, key: ChunkKey) -> dict[str, Points]:
        """Read one window whole, and return its points by series.

        Raises:
            IncompleteReadError: this window cannot be read.
            TransientServiceError: the service does not respond.
            CredentialError, ServiceError, StateError: as `fingerprints`.
        """
        run_id = f"{self.place.run_id}-{uuid.uuid4().hex[:6]}"
        try:
            # No display for one window: the caller may show progress of its own.
            unwatched = replace(self.place.context, progress="none")
            outcome = self._run([(key, 0)], run_id, partial(_Chunks, self.place.state_dir, run_id), unwatched)
            if outcome.given_up is not None:
                raise TransientServiceError(f"the runner gave up reading {key}: {outcome.given_up}")
            for failure in read_failures(self.place.state_dir, run_id):
                raise failure_error(failure["error"], failure["message"])
            chunks = [ChunkCoder().decode(self._read(name)) for name in self._left(run_id, "chunk")]
            parts: dict[str, list[Points]] = {series_id: [] for series_id in key.series_ids}
            for chunk in {chunk.key: chunk for chunk in sorted(chunks, key=lambda each: each.key.range)}.values():
                for series_id, _, points in chunk.by_series():
                    parts[series_id].append(points)
            return {series_id: Points.concat(each) for series_id, each in parts.items()}
        finally:
            self._clear_leftovers(run_id)

    def _run(
        self, windows: Sequence[tuple[ChunkKey, int]], run_id: str, take: Callable[[RunBoard], Any], context: RunContext
    ) -> Outcome:
        plan = Plan.of_windows([Window(key, points, requests_for(points, self.limits)) for key, points in windows])

        local = is_local(context.options)
        elements = list(self.shards(plan, LOCAL_SHARD if local else CLUSTER_SHARD))

        def build(pipeline: Any) -> None:
            chunks, failures = self.reading(put_shards(pipeline, elements, local=local))
            chunks = chunks if self.as_copied is None else self.as_copied(chunks)
            _ = chunks | "Take" >> beam.ParDo(take(board_of(chunks)))
            _ = failures | RecordFailures(self.place.state_dir, run_id)

        return run_pipeline(build, plan, context, self.traffic)

    def _collected(self, run_id: str, keys: Sequence[ChunkKey], given_up: str | None) -> WindowPrints:
        """Return the fingerprints that workers left; a window that was not read over all its time has failed."""
        failures = {}
        for each in read_failures(self.place.state_dir, run_id):
            failed = ChunkKey(tuple(each["series"]), TimeRange(each["start_ns"], each["end_ns"]))
            failures[failed] = f"{each['error']}: {each['message']}"
        parts: dict[tuple[str, ...], dict[TimeRange, Receipt]] = {}
        for receipt in self._receipts(run_id):
            # Keyed by range, since a runner that repeats a bundle leaves the same part twice.
            parts.setdefault(receipt.key.series_ids, {})[receipt.key.range] = receipt
        ranges = {ids: sorted(found) for ids, found in parts.items()}
        prints: dict[ChunkKey, dict[str, Fingerprint]] = {}
        for key in keys:
            inside = _inside(ranges.get(key.series_ids, []), key.range)
            if sum(each.duration_ns for each in inside) != key.range.duration_ns:
                why = "" if given_up is None else f": the runner gave the job up: {given_up}"
                failures.setdefault(key, f"it was not read to its end{why}")
                continue
            total = {series_id: Fingerprint() for series_id in key.series_ids}
            for part in inside:
                for series in parts[key.series_ids][part].series:
                    total[series.series_id] = total[series.series_id].plus(series.fingerprint)
            prints[key] = total
        return WindowPrints(prints, failures)

    def _receipts(self, run_id: str) -> Iterator[Receipt]:
        for name in self._left(run_id, "prints"):
            for line in self._read(name).splitlines():
                yield Receipt.from_json(load_json(line))

    def _read(self, name: str) -> bytes:
        return self.place.state_dir.read(f"runs/{name}") or b""

    def _left(self, run_id: str, what: str) -> list[str]:
        names = [each.name for each in self.place.state_dir.list("runs")]
        return [name for name in names if name.startswith(f"{run_id}-{what}-")]

    def _clear_leftovers(self, run_id: str) -> None:
        for what in ("prints", "chunk", "failure"):
            for name in self._left(run_id, what):
                self.place.state_dir.delete(f"runs/{name}")


def fingerprints_apart(
    read: Callable[[Sequence[tuple[ChunkKey, int]]], WindowPrints], windows: Sequence[tuple[ChunkKey, int]]
) -> WindowPrints:
    """Read as `read` does, and read each series of a window that fails alone, so that one bad series hides no other.

    One window is tried first: where not a single series of it can be read, the others stay failed.
    """
    found = read(windows)
    failed = [key for key, _ in windows if key in found.failures and len(key.series_ids) > 1]
    if not failed:
        return found
    alone = _series_alone(read, failed[:1])
    if any(isinstance(each, Fingerprint) or is_not_found(each) for each in alone[failed[0]].values()):
        alone |= _series_alone(read, failed[1:]) if failed[1:] else {}
    prints, failures = dict(found.prints), dict(found.failures)
    series_failures: dict[ChunkKey, dict[str, str]] = {}
    for key, series in alone.items():
        prints[key] = {each: print_ for each, print_ in series.items() if isinstance(print_, Fingerprint)}
        series_failures[key] = {each: why for each, why in series.items() if isinstance(why, str)}
        if not prints[key] and not any(is_not_found(why) for why in series_failures[key].values()):
            del prints[key], series_failures[key]
        else:
            del failures[key]
    return WindowPrints(prints, failures, series_failures)


def is_not_found(failure: str) -> bool:
    """Return whether a failure says that the service does not know the series."""
    return failure.startswith(f"{NotFoundError.__name__}:")


def _series_alone(
    read: Callable[[Sequence[tuple[ChunkKey, int]]], WindowPrints], keys: Sequence[ChunkKey]
) -> dict[ChunkKey, dict[str, Fingerprint | str]]:
    """Return by window and series what was read, or why it was not."""
    single = {(key, each): ChunkKey((each,), key.range) for key in keys for each in key.series_ids}
    found = read([(part, 0) for part in dict.fromkeys(single.values())])
    compared: dict[ChunkKey, dict[str, Fingerprint | str]] = {key: {} for key in keys}
    for (key, series_id), part in single.items():
        compared[key][series_id] = found.prints[part][series_id] if part in found.prints else found.failures[part]
    return compared


def failure_error(kind: str, message: str) -> OmniaBeamError:
    """Return the error of a failure, which keeps only the class's name: that says whether another window could succeed."""
    known = getattr(errors, kind, OmniaBeamError)
    if issubclass(known, TransientServiceError):
        return TransientServiceError(message)
    return IncompleteReadError(failure_text(f"{kind}: {message}"))


def failure_text(failure: str) -> str:
    """Return a failure for people: without the name of the error's class, unless it is one that nobody has foreseen."""
    kind, _, message = failure.partition(": ")
    return message if hasattr(errors, kind) else failure


def _inside(ranges: Sequence[TimeRange], outer: TimeRange) -> Sequence[TimeRange]:
    """Return those of ascending, disjoint ranges that lie in another."""
    first = bisect_left(ranges, outer.start_ns, key=lambda each: each.start_ns)
    last = bisect_right(ranges, outer.end_ns, key=lambda each: each.end_ns)
    return ranges[first:last]


class _Prints(beam.DoFn):
    """Writes fingerprints of chunks as lines into files of the run."""

    def __init__(self, state_dir: StateDir, run_id: str, board: RunBoard) -> None:
        self._state_dir = state_dir
        self._run_id = run_id
        self._board = board

    def setup(self) -> None:
        self._lines: list[str] = []

    def start_bundle(self) -> None:
        self._lines.clear()

    def process(self, chunk: Chunk) -> None:
        receipt = Receipt.of(chunk, _SINK)
        self._board.add(points_written=receipt.count)  # what the progress bar counts
        self._lines.append(json.dumps(receipt.to_json()))
        if len(self._lines) >= _FLUSH:
            self._flush()

    def finish_bundle(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._lines:
            name = f"runs/{self._run_id}-prints-{uuid.uuid4().hex}.jsonl"
            with self._board.noting_fatal():
                self._state_dir.write(name, ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()


class _Chunks(beam.DoFn):
    """Writes chunks unchanged, a file each."""

    def __init__(self, state_dir: StateDir, run_id: str, board: RunBoard) -> None:
        self._state_dir = state_dir
        self._run_id = run_id
        self._board = board

    def process(self, chunk: Chunk) -> None:
        with self._board.noting_fatal():
            self._state_dir.write(f"runs/{self._run_id}-chunk-{uuid.uuid4().hex}.bin", ChunkCoder().encode(chunk))
