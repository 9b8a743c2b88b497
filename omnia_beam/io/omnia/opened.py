"""An Omnia Timeseries service whose series are asked for: all that sends a request, apart from `source`, which plans none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omnia_beam.config.job import JobConfig, wanted_range
from omnia_beam.core.errors import OmniaBeamError, ServiceError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.series_id import canonical_id
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.base import Described, Reading, Share
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.io.omnia.id_spelling import as_recorded, named_in_two_spellings
from omnia_beam.io.omnia.lookup import find_by_id
from omnia_beam.io.omnia.options import OmniaSource
from omnia_beam.io.omnia.planner import plan_windows
from omnia_beam.io.omnia.selection import describe_series, select_series
from omnia_beam.io.omnia.settings import read_options
from omnia_beam.ledger.facts import windows_of_gone_series
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.ledger.queries import companions
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.api.raw_data import RawQuery, fetch_page, named_counts
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import Plan, Wanted, WindowShard, shard_windows
from omnia_beam.wire import decode_body

_log = logging.getLogger(__name__)


class OpenService:
    """A service whose selection is resolved; its ids are spelled as the ledger records them.

    Raises (when it is made):
        UsageError: no window, or a selection of nothing.
        CredentialError, ServiceError: it cannot be asked.
    """

    facts: Mapping[str, SeriesFacts]
    vanished: Mapping[str, tuple[TimeRange, ...]]
    sessions: tuple[ServiceSession, ...]
    page_points: int | None
    plan_lasts = True
    shard_type = WindowShard

    def __init__(
        self, options: OmniaSource, job: JobConfig, service: ServiceSettings, view: JobView, *, metadata: bool
    ) -> None:
        self.wanted = wanted_range(job)
        self._service = service
        self._options = read_options(options, job.max_chunk_points)
        self.limits: PackLimits = self._options.pack_limits
        self.page_points = self._options.page_limit
        check_reachable(service)
        self._session = shared_session(service)
        self._short = shared_session(service.with_short_retries())
        self.sessions = tuple({id(each): each for each in (self._session, self._short)}.values())
        if metadata:
            found = list(describe_series(self._session, options.series))
        else:
            # What a search does not tell of them is not used, and reading it would take further requests.
            found = list(select_series(self._session, options.series))
        spelled = {canonical_id(id): id for id in as_recorded(view.ledger, [each.id for each in found])}
        self.series = tuple(
            sorted((each.under(spelled[canonical_id(each.id)]) for each in found), key=lambda each: each.id)
        )
        others = self._not_selected(options, view)
        self._absent = others - {each for each, _ in self._known(others)}
        self._options = replace(self._options, absent=self._absent)
        self.warnings = tuple(named_in_two_spellings(options.series))
        self.facts, self.vanished = {}, {}

    def _not_selected(self, options: OmniaSource, view: JobView) -> frozenset[str]:
        """Return recorded series that are not selected now, and that this run may have to do with.

        These are the others of recorded windows, which are read again as a whole, and those that a search found once.
        """
        selected = {each.id for each in self.series}
        others = companions(view.ledger, view.scope.digest, selected)
        if options.series.search:
            others = others.union(view.ledger.series_ids(view.scope.digest))
        return others - selected

    def _known(self, series_ids: frozenset[str]) -> Iterator[tuple[str, Timeseries]]:
        """Yield those of some series that the service has; all of them where it does not say."""
        try:
            yield from find_by_id(MetadataCalls(self._session), series_ids)
        except ServiceError as error:
            _log.warning("whether the service has series that are not selected any more is not known: %s", error)
            yield from ((each, Timeseries(each, each, "")) for each in series_ids)

    def spell(self, series_id: str) -> str:
        return canonical_id(series_id)

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        return plan_windows(self._session, wanted, statuses=self._options.statuses, limits=self.limits)

    def counts(self, series_ids: tuple[str, ...], requested: TimeRange) -> Mapping[str, int]:
        return named_counts(
            self._session, series_ids, requested.start_ns, requested.end_ns, statuses=self._options.statuses
        )

    def stale(self, view: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        """Return the recorded windows of series that the service no longer has, once: their stored points are kept or removed."""
        return windows_of_gone_series(view.ledger, view.scope.digest, view.sink, self.wanted, self._absent)

    def shards(self, windows: Iterable[Window], size: int) -> Iterator[Any]:
        return shard_windows(windows, size)

    def reading(self, share: Share, *, endless: bool = False) -> Reading:
        from omnia_beam.io.omnia.read import ReadShards

        return ReadShards(share.part(self._service), self._options, keep_trying=endless)

    def findings(self, now_ns: int) -> Iterator[Finding]:
        return iter(())

    def metadata(self, series_ids: Sequence[str]) -> Iterator[Timeseries]:
        spelled = {canonical_id(each): each for each in series_ids}
        try:
            for series_id, found in find_by_id(MetadataCalls(self._short), spelled):
                yield found.under(spelled[series_id])
        except OmniaBeamError as error:
            _log.warning("names and units of series are not known, as the service does not give them: %s", error)

    def settled(self, run: JobRun) -> None:
        return None

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        return ()  # a search that no longer finds a series says nothing about the series

    def left_out(self, recorded: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def described(self) -> Described:
        return Described()


def selected_ids(service: ServiceSettings, options: OmniaSource) -> tuple[str, ...]:
    """Return the ids of the selected series, ascending.

    Raises:
        SelectionError: there are none.
        CredentialError, ServiceError: the service cannot be asked.
    """
    return tuple(each.id for each in select_series(shared_session(service), options.series))


def read_one(service: ServiceSettings, options: OmniaSource, job: JobConfig) -> str:
    """Read the first point of the first selected series, and return what was found, for people.

    Raises:
        CredentialError, ServiceError: the service cannot be asked.
    """
    session = shared_session(service)
    how = read_options(options, job.max_chunk_points)
    first = min(select_series(session, options.series), key=lambda each: each.id)
    wanted = wanted_range(job)
    query = RawQuery(
        (first.id,),
        wanted.start_ns,
        wanted.end_ns,
        limit=1,
        statuses=how.statuses,
        federation_source=options.federation_source,
        format=how.format,
    )
    page = decode_body(fetch_page(session, query), how.format)
    times = [int(item.times[0]) for item in page.items if item.times is not None and len(item.times)]
    if not times:
        return f"{first.title} can be read and has no points in the window"
    return f"{first.title} can be read; its first point in the window is at {format_time(times[0])}"
