"""Read the source of a migration again as the target should hold it: mapped, and without what the target cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import is_local
from omnia_beam.config import CsvSink, JobConfig, OmniaSink
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.csv.readback import as_csv_holds
from omnia_beam.io.files.csv.write import CsvOptions
from omnia_beam.io.omnia.policy import WriteOptions, apply_policy
from omnia_beam.io.omnia.settings import write_options
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines.migration import MigrationJob, Prepared, prepare
from omnia_beam.pipelines.migration_source import MigrationSource, open_source
from omnia_beam.pipelines.verify.reading import WindowPrints, WindowRun
from omnia_beam.plan.plan import Plan
from omnia_beam.transforms.map_series import MapSeries
from omnia_beam.transforms.series_rule import SeriesRule


@dataclass(frozen=True)
class _Opened:
    source: MigrationSource
    prepared: Prepared
    rules: dict[str, SeriesRule]


@dataclass(frozen=True)
class MigrationReader:
    """Windows of a migration's source, service or files, in the source's ids with the target's values; see `WindowSource`.

    The source is opened, and the mapping resolved, at the first call that needs them.

    Args:
        config: the job.
        scope: of its ledger.
        state_dir, run_id, context: see `WindowRun`.
    """

    config: JobConfig
    scope: Scope
    state_dir: StateDir
    run_id: str
    context: RunContext
    _open: list[_Opened] = field(default_factory=list, repr=False, compare=False)

    @property
    def traffic(self) -> StatsSnapshot | None:
        sessions = self._open[0].source.sessions if self._open else ()
        return sessions[0].stats.snapshot() if sessions else None

    def with_short_retries(self) -> MigrationReader:
        """Return this reader unchanged: opening the source checks that it can be reached before anything is read."""
        return self

    def series_ids(self) -> tuple[str, ...]:
        """Return the series that the mapping leaves to copy, ascending.

        Raises:
            UsageError, CredentialError, ServiceError: the source cannot be opened or the mapping not be resolved.
        """
        return self._opened().prepared.series_ids

    def check_copyable(self) -> None:
        """Check that a run of the job would not be refused.

        Raises:
            UsageError: something would be lost or has no target.
        """
        self._opened().prepared.report.check(self.config.accept)

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        self._know(key for key, _ in windows)
        return self._run().fingerprints(windows)

    def points(self, key: ChunkKey) -> dict[str, Points]:
        self._know([key])
        return self._run().points(key)

    def _know(self, keys: Iterable[ChunkKey]) -> None:
        """Add a rule for series that the source no longer holds: recorded windows name them."""
        rules = self._opened().rules
        for key in keys:
            for series_id in key.series_ids:
                rules.setdefault(series_id, SeriesRule(series_id))

    def _opened(self) -> _Opened:
        if not self._open:
            ledger = Ledger.load(self.state_dir)
            state = JobView(self.state_dir, self.scope, ledger)
            source = open_source(self.config, state, self.context)
            prepared = prepare(MigrationJob.of(self.config), source, state.state_dir)
            mapped = prepared.resolution.mapped
            # A target that is to be created has no id yet; none is needed, since results are keyed by the source's ids.
            rules = {each.source.id: each.rule() if each.existing else each.rule_of("to be created") for each in mapped}
            self._open.append(_Opened(source, prepared, rules))
        return self._open[0]

    def _run(self) -> WindowRun:
        limits = self._opened().source.limits
        return WindowRun(self._read, limits, self.state_dir, self.run_id, self.context, self._stats)

    def _stats(self) -> StatsSnapshot:
        return self.traffic or StatsSnapshot()

    def _read(self, pipeline: Any, plan: Plan) -> tuple[Any, Any]:
        opened = self._opened()
        chunks, failures = opened.source.read(pipeline, plan, local=is_local(self.context.options))
        # Recorded windows may name series that the source no longer shows: they yield no points.
        rules = {series_id: SeriesRule(series_id) for group in plan.groups for series_id in group} | dict(opened.rules)
        mapped = (chunks | "Map" >> MapSeries(rules)).chunks
        if isinstance(self.config.sink, OmniaSink):
            options = write_options(self.config.sink)
            mapped = mapped | "Judge" >> beam.Map(storable, options).with_output_types(Chunk)
        elif isinstance(self.config.sink, CsvSink):
            form = CsvOptions(self.config.sink.layout)
            mapped = mapped | "Hold" >> beam.Map(as_csv_holds, form).with_output_types(Chunk)
        return mapped, failures


def storable(chunk: Chunk, options: WriteOptions) -> Chunk:
    """Return what the Omnia sink would send of a chunk, with its policies applied to points that it cannot hold."""
    points = {
        source_id: apply_policy(found, chunk.key.range, options).good for source_id, _, found in chunk.by_series()
    }
    return Chunk.from_points(chunk.key, points, chunk.series_ids)
