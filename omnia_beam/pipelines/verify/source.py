"""Read windows of a job's source again, as the destination should hold them: mapped, and cut to what the sink can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import apache_beam as beam

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import OpenSource
from omnia_beam.io.observer import ReadingPlace
from omnia_beam.io.window_reading import WindowPrints, WindowRun
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.record import Scope
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines.guard import cluster_share
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.preparation import Prepared, prepare
from omnia_beam.transforms.map_series import MapSeries
from omnia_beam.transforms.series_rule import SeriesRule


@dataclass(frozen=True)
class _Opened:
    source: OpenSource
    prepared: Prepared
    rules: dict[str, SeriesRule]


@dataclass(frozen=True)
class SourceReader:
    """Windows of a job's source, in the source's ids with the target's values; see `WindowSource`.

    The source is opened, and the mapping resolved, at the first call that needs them.

    Args:
        job: both ends.
        scope: of its ledger.
        place: where workers leave what they found.
        short_retries: whether a source that does not respond is given up soon.
    """

    job: Job
    scope: Scope
    place: ReadingPlace
    short_retries: bool = False
    _open: list[_Opened] = field(default_factory=list, repr=False, compare=False)

    @property
    def sessions(self) -> tuple[ServiceSession, ...]:
        """The sessions that were used so far."""
        return self._open[0].source.sessions if self._open else ()

    @property
    def traffic(self) -> StatsSnapshot | None:
        """Requests so far; None where there were none."""
        found = [each.stats.snapshot() for each in self.sessions]
        return StatsSnapshot.together(found) if found else None

    def with_short_retries(self) -> SourceReader:
        """Return a reader that gives up soon, for questions that may stay open."""
        return self if self.short_retries else replace(self, short_retries=True, _open=[])

    def series_ids(self) -> tuple[str, ...]:
        """Return the series that the mapping leaves to copy, ascending.

        Raises:
            UsageError, CredentialError, ServiceError: the source cannot be opened or the mapping not be resolved.
        """
        return self._opened().prepared.series_ids

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """Return those of recorded series that the source should hold and does not hold any more; raises as `series_ids`."""
        return self._opened().source.lost(recorded)

    def check_copyable(self) -> None:
        """Check that a run of the job would not be refused.

        Raises:
            UsageError: something would be lost or has no target.
        """
        self._opened().prepared.report.check(self.job.config.accept)

    def fingerprints(self, windows: Sequence[tuple[ChunkKey, int]]) -> WindowPrints:
        return self._run(key for key, _ in windows).fingerprints(windows)

    def points(self, key: ChunkKey) -> dict[str, Points]:
        return self._run([key]).points(key)

    def _opened(self) -> _Opened:
        if not self._open:
            view = JobView.load(self.place.state_dir, self.scope)
            source = self.job.open_source(view, self.place.context, short_retries=self.short_retries)
            prepared = prepare(self.job, source, view.state_dir)
            mapped = prepared.resolution.mapped
            # A target that is to be created has no id yet; none is needed, since results are keyed by the source's ids.
            rules = {each.source.id: each.rule() if each.existing else each.rule_of("to be created") for each in mapped}
            self._open.append(_Opened(source, prepared, rules))
        return self._open[0]

    def _run(self, keys: Iterable[ChunkKey]) -> WindowRun:
        opened = self._opened()
        # Recorded windows may name series that the source no longer shows: they yield no points.
        rules = {series_id: SeriesRule(series_id) for key in keys for series_id in key.series_ids} | opened.rules
        source = opened.source
        return WindowRun(
            source.reading(cluster_share(self.place.context)),
            source.shards,
            source.limits,
            self.place,
            lambda: self.traffic or StatsSnapshot(),
            partial(as_copied, rules=rules, as_held=self.job.sink.accepts.as_held),
        )


def as_copied(chunks: Any, rules: Mapping[str, SeriesRule], as_held: Callable[[Chunk], Chunk] | None) -> Any:
    """Put on a pipeline what a copy makes of chunks: the mapping, and what the sink holds of the result."""
    mapped = (chunks | "Map" >> MapSeries(rules)).chunks
    return mapped if as_held is None else mapped | "Hold" >> beam.Map(as_held).with_output_types(Chunk)
