"""Read windows of an Omnia service again: the source of a backfill, or the target of a migration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import apache_beam as beam

from omnia_beam.beam.cluster import worker_share
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import is_local
from omnia_beam.core.chunk import Points
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.omnia.raw_data import ReadOptions
from omnia_beam.io.omnia.read import ReadFromOmnia
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines.verify.reading import WindowPrints, WindowRun
from omnia_beam.plan.plan import Plan
from omnia_beam.transforms.decode import DecodeChunks

_HURRY_S: Final = 20.0


@dataclass(frozen=True)
class ServiceReader:
    """Windows of one service, in its own ids; see `WindowSource`.

    Args:
        settings, options: which service, and how to read it.
        state_dir, run_id, context: see `WindowRun`.
    """

    settings: ServiceSettings
    options: ReadOptions
    state_dir: StateDir
    run_id: str
    context: RunContext
    _sessions: list[ServiceSession] = field(default_factory=list, repr=False, compare=False)

    @property
    def session(self) -> ServiceSession:
        """This process's session, made at the first use, so that a reader that is not used needs no credential.

        Raises:
            UnreachableError: the service cannot be reached.
        """
        if not self._sessions:
            check_reachable(self.settings)
            self._sessions.append(shared_session(self.settings))
        return self._sessions[0]

    @property
    def traffic(self) -> StatsSnapshot | None:
        return self._sessions[0].stats.snapshot() if self._sessions else None

    def with_short_retries(self) -> ServiceReader:
        """Return a reader with a retry policy of two tries within 20 s."""
        retry = replace(self.settings.retry, attempts=min(2, self.settings.retry.attempts), deadline_s=_HURRY_S)
        return replace(self, settings=replace(self.settings, retry=retry), _sessions=[])

    def check_copyable(self) -> None:
        """Do nothing: a backfill has no mapping that could refuse anything."""

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        return self._run().fingerprints(windows)

    def points(self, key: ChunkKey) -> dict[str, Points]:
        return self._run().points(key)

    def _run(self) -> WindowRun:
        traffic = self.session.stats.snapshot
        return WindowRun(self._read, self.options.pack_limits, self.state_dir, self.run_id, self.context, traffic)

    def _read(self, pipeline: Any, plan: Plan) -> tuple[Any, Any]:
        local = is_local(self.context.options)
        settings = worker_share(self.settings, self.context.options)
        read = ReadFromOmnia(settings, plan, options=self.options, on_error="output", reshuffle=not local)
        raw = pipeline | "Read" >> read
        decoded = raw.raw_chunks | "Decode" >> DecodeChunks(on_error="output")
        return decoded.chunks, (raw.failures, decoded.failures) | "Unread" >> beam.Flatten()
