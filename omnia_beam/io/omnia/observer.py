"""An Omnia destination, read back through its API: the target series of the receipts, in the receipts' ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from omnia_beam.beam.cluster import worker_processes
from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import NotFoundError, OmniaBeamError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import Share
from omnia_beam.io.observer import Observation, ReadingPlace, Surplus
from omnia_beam.io.omnia.options import OmniaSink
from omnia_beam.io.omnia.read import ReadShards
from omnia_beam.io.omnia.read_options import ReadOptions
from omnia_beam.io.window_reading import WindowPrints, WindowRun, fingerprints_apart, is_not_found
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.plan.plan import shard_windows


@dataclass(frozen=True)
class OmniaDestination:
    """The target series of one service."""

    reader: _TargetReader
    files: None = field(default=None, init=False)
    _gone: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_quiet(self) -> bool:
        return False  # pipelines show their own

    @property
    def holds_statuses(self) -> bool:
        return True

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        """Yield for each receipt, in order, what the service holds.

        A series that was deleted, or that fails, does not prevent the others of its windows from being read.

        Raises:
            CredentialError, ServiceError: the service cannot be read.
        """
        keys = [target_key(receipt) for receipt in receipts]
        windows = [(key, each.count) for key, each in zip(keys, receipts, strict=True)]
        read = fingerprints_apart(self.reader.fingerprints, windows)
        for key in keys:
            yield self._observation(key, read)

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        """Return the stored points of some series in the window of a receipt.

        Raises:
            IncompleteReadError, ServiceError: the window cannot be read.
        """
        return self.reader.points(ChunkKey(tuple(sorted(stored_ids)), receipt.key.range))

    def surplus(self, live: Collection[str]) -> Surplus:
        """Return nothing: a service has no files, and its other series do not belong to this job."""
        return Surplus()

    def _observation(self, key: ChunkKey, read: WindowPrints) -> Observation:
        failure = read.failures.get(key, "")
        failing = dict.fromkeys(key.series_ids, failure) if failure else dict(read.series_failures.get(key, {}))
        gone = frozenset(each for each, why in failing.items() if is_not_found(why) and self._is_gone(each))
        if failure and len(gone) < len(key.series_ids):
            return Observation(failure=failure)
        prints: dict[str, Fingerprint] = read.prints.get(key, {})
        left = {each: why for each, why in failing.items() if each not in gone}
        return Observation(prints, series_failures=left, gone=gone)

    def _is_gone(self, series_id: str) -> bool:
        """Return whether the service responds and does not know the series: a wrong address returns 404 to everything."""
        if series_id not in self._gone:
            calls = MetadataCalls(self.reader.session)
            try:
                calls.get_timeseries_by_id(series_id)
                self._gone[series_id] = False
            except NotFoundError:
                self._gone[series_id] = self._answers()
            except OmniaBeamError:
                self._gone[series_id] = False
        return self._gone[series_id]

    def _answers(self) -> bool:
        try:
            self.reader.session.send("GET", "", params=[("limit", "1")], idempotent=True)
        except OmniaBeamError:
            return False
        return True


def target_key(receipt: Receipt) -> ChunkKey:
    """Return the receipt's window in the ids of the target."""
    return ChunkKey(tuple(sorted({each.target_id for each in receipt.series})), receipt.key.range)


@dataclass(frozen=True)
class _TargetReader:
    """Windows of one service, in its own ids.

    Args:
        settings, options: which service, and how to read it.
        place: see `ReadingPlace`.
    """

    settings: ServiceSettings
    options: ReadOptions
    place: ReadingPlace

    @property
    def session(self) -> ServiceSession:
        """This process's session."""
        return shared_session(self.settings)

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        check_reachable(self.settings)
        return self._run().fingerprints(windows)

    def points(self, key: ChunkKey) -> dict[str, Points]:
        return self._run().points(key)

    def _run(self) -> WindowRun:
        read = ReadShards(Share(worker_processes(self.place.context.options)).part(self.settings), self.options)
        traffic = self.session.stats.snapshot
        return WindowRun(read, shard_windows, self.options.pack_limits, self.place, traffic)


def observed_service(
    settings: ServiceSettings, sink: OmniaSink, max_chunk_points: int, place: ReadingPlace
) -> OmniaDestination:
    """Return what reads the target series of a sink back."""
    options = ReadOptions(format=sink.format, page_limit=sink.page_limit, max_chunk_points=max_chunk_points)
    return OmniaDestination(_TargetReader(settings, options, replace(place, run_id=f"{place.run_id}-sink")))
