"""Points of a PI data server as the source of a job; a series is known by the name that its point had when it was first read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from omnia_beam.config.job import JobConfig, wanted_range
from omnia_beam.core.errors import IncompleteReadError, TerminalServiceError, UnauthorizedError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.base import WHOLE, Attempt, Described, Notify, Reading, Selection, Share
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.io.letters import READING, MappingLetters
from omnia_beam.io.pi.calls import DataServer, PiCalls, Span
from omnia_beam.io.pi.decode import decode_recorded
from omnia_beam.io.pi.memory import known_points, remember_points
from omnia_beam.io.pi.options import PiSource
from omnia_beam.io.pi.planner import MAX_SERIES, Counts, find_page_limit, plan_points
from omnia_beam.io.pi.selection import FoundPoint, Selected, is_searched, named_points, other_points, select_points
from omnia_beam.io.pi.values import ValueRules
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.facts import series_with_points, windows_of_gone_series
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.ledger.queries import companions
from omnia_beam.net.http.reachability import attempts_to_reach, check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import Plan, Wanted, WindowShard, shard_windows

_log = logging.getLogger(__name__)

_VALUES_UNDER_WAY: Final = 400_000
"""Values of the responses that are under way together, at most: their bodies are about 60 MB. [ours]"""

_LEAST_QUERY: Final = 10_000
"""Values below which no query is made smaller, however many are under way: a request costs the server more than they do. [ours]"""


class PiServer:
    """The points of one data server.

    Args:
        options: of the source.
        job: whose window and chunks it reads.
    """

    places: Mapping[str, str]

    def __init__(self, options: PiSource, job: JobConfig) -> None:
        self._options = options
        self._job = job
        self._service = options.service()
        self.budgets = (self._service,)
        self.places = {}

    def check(self) -> Iterator[Attempt]:
        calls, options, found = PiCalls, self._options, list[Selected]()

        def selection() -> str:
            found.append(self._selected(calls(shared_session(self._service))))
            return f"{len(found[0].points):,} points"

        yield from attempts_to_reach("source", self._service)
        yield "source service", lambda: calls(shared_session(self._service)).version()
        yield "data server", lambda: calls(shared_session(self._service)).data_server(options.data_server).name
        yield "selection", selection
        yield "one read", lambda: self._one_read(calls(shared_session(self._service)), found[0].points[0])

    def remembered(self, view: JobView, last: Sequence[str] | None) -> Selection:
        recorded = view.ledger.series_ids(view.scope.digest)
        known = known_points(view.state_dir)
        spelled = {each.casefold(): each for each in (*known, *recorded)}
        former = {each.name.casefold(): series_id for series_id, each in known.items()}
        names = [each.casefold() for each in named_points(self._options.series)]
        ids = {spelled.get(name) or former.get(name) or name for name in names}
        if not self._options.series.search:
            return Selection(tuple(sorted(ids)))
        whose = "the ledger" if last is None else "the last run"
        note = (
            f"The series of source.series.search are those of {whose}: a search is resolved by the data server, which was not "
            "asked."
        )
        return Selection(tuple(sorted({*ids, *recorded, *(last or ())})), note)

    def describe(self) -> Iterable[Timeseries]:
        check_reachable(self._service)
        calls = PiCalls(shared_session(self._service))
        server = calls.data_server(self._options.data_server)
        points = select_points(calls, server, self._options.series, {}, ()).points
        states, warnings = _states(calls, server, points)
        for text in warnings:
            _log.warning(text)
        return [each.series(states.get(each.state_set.casefold())) for each in points]

    def open(
        self, view: JobView, notify: Notify, *, metadata: bool, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenPi:
        service = share.part(self._service)
        if short_retries:
            service = service.with_short_retries()
        return OpenPi(self._options, self._job, service, view)  # the points come with their metadata

    def _selected(self, calls: PiCalls) -> Selected:
        server = calls.data_server(self._options.data_server)
        return select_points(calls, server, self._options.series, {}, ())

    def _one_read(self, calls: PiCalls, found: FoundPoint) -> str:
        span = Span.of(wanted_range(self._job))
        if span is None:
            return f"{found.name} was not read: the window holds no time of the service"
        limit = find_page_limit(calls, found.point, span, self._options.page_limit)
        values = decode_recorded(calls.recorded([found.web_id], span, 1), [found.web_id])[found.web_id]
        allowed = f"; the server returns up to {limit:,} values at once"
        if not len(values):
            return f"{found.name} can be read and has no values in the window{allowed}"
        return f"{found.name} can be read; its first value in the window is at {format_time(int(values.times[0]))}{allowed}"


class OpenPi:
    """A data server whose selection is resolved.

    Raises (when it is made):
        UsageError: no window, or a selection of nothing or of names that do not exist.
        CredentialError, ServiceError: it cannot be asked.
    """

    facts: Mapping[str, SeriesFacts]
    vanished: Mapping[str, tuple[TimeRange, ...]]
    sessions: tuple[ServiceSession, ...]
    page_points: int | None
    plan_lasts = True
    shard_type = WindowShard

    def __init__(self, options: PiSource, job: JobConfig, service: ServiceSettings, view: JobView) -> None:
        self.wanted = wanted_range(job)
        self._options = options
        self._service = service
        self._max_points = job.max_chunk_points
        self._texts = bool(getattr(job.sink, "text", False))  # a sink of any kind says so by this key
        check_reachable(service)
        session = shared_session(service)
        self.sessions = (session,)
        self._calls = PiCalls(session)
        server = self._server = self._calls.data_server(options.data_server)
        recorded = view.ledger.series_ids(view.scope.digest)
        known = known_points(view.state_dir, server.id)
        found = select_points(self._calls, server, options.series, known, recorded)
        self._found = found.points
        self.points = {each.series_id: each.point for each in found.points}
        # Recorded windows are read again as a whole, with series that are not selected any more.
        others = companions(view.ledger, view.scope.digest, [*self.points, *found.gone]) - self.points.keys()
        searched = {
            each for each in recorded if is_searched(options.series, known[each].name if each in known else each)
        }
        others |= searched - self.points.keys() - set(found.gone)
        there, absent = other_points(self._calls, server, known, others - set(found.gone))
        self.points |= {each.series_id: each.point for each in there}
        held = series_with_points(view.ledger, view.scope.digest, view.sink, absent & searched)
        self._gone = held.union(found.gone)
        self._absent = absent | self._gone
        states, without = _states(self._calls, server, found.points)
        self.warnings = (*found.warnings, *without)
        self.series = tuple(
            sorted(
                (
                    *(each.series(states.get(each.state_set.casefold())) for each in found.points),
                    *(_lost_series(each) for each in self._gone),
                ),
                key=lambda each: each.id,
            )
        )
        if isinstance(view, JobRun):
            remember_points(view.state_dir, server.id, {each.series_id: each.known for each in found.points})
        self._page = self._page_limit()
        # Several responses are under way at a time, which hides how long each takes: they need not be as large as they may be.
        self.page_points = min(self._page, max(_LEAST_QUERY, _VALUES_UNDER_WAY // options.rate.max_in_flight))
        self.limits = PackLimits(MAX_SERIES, self.page_points, max(job.max_chunk_points, 1))
        self._planned: Counts = {}
        self._uncounted: set[str] = set()
        self._letters = None
        if options.same_time == "dead_letter":
            fence = view.fence if isinstance(view, JobRun) else None
            self._letters = MappingLetters(DeadLetterFiles.of(view.state_dir, fence), origin=READING)
        self.facts, self.vanished = {}, {}
        self._names = {each.series_id.casefold(): each.series_id for each in found.points}
        self._names |= {each.name.casefold(): each.series_id for each in found.points}

    def spell(self, series_id: str) -> str:
        return self._names.get(series_id.casefold(), series_id)

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        plan, self._planned = plan_points(
            self._calls,
            wanted,
            self.points,
            self.limits,
            counts=self._options.counts,
            threads=self._service.max_in_flight,
        )
        self._tell_uncounted()
        return plan

    def _tell_uncounted(self) -> None:
        found = {
            series_id
            for numbers in self._planned.values()
            for series_id, number in numbers.items()
            if number.good is None
        }
        if self._options.counts and (new := sorted(found - self._uncounted)):
            self._uncounted |= found
            _log.warning(
                "the data server does not count the values of %s (%s%s): that nothing of them was left out is not compared with "
                "its count",
                counted(len(new), "point"),
                one_line(new[0]),
                ", …" if len(new) > 1 else "",
            )

    def counts(self, series_ids: tuple[str, ...], requested: TimeRange) -> Mapping[str, int]:
        return {}  # what is read is compared with the server's count before it is written, several values at one time included

    def stale(self, view: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        """Return the recorded windows of points that are gone, once: they are read again, and their stored points kept."""
        return windows_of_gone_series(view.ledger, view.scope.digest, view.sink, self.wanted, self._gone)

    def shards(self, windows: Iterable[Window], size: int) -> Iterator[Any]:
        return shard_windows(windows, size)

    def reading(self, share: Share, *, endless: bool = False) -> Reading:
        from omnia_beam.io.pi.read import PiReading

        return PiReading(
            share.part(self._service),
            self.points,
            self._absent,
            ValueRules(self._options.state_statuses(), self._options.same_time, self._texts),
            self._page,
            self._max_points,
            self._planned,
            self._options.counts,
            self._letters,
            keep_trying=endless,
        )

    def findings(self, now_ns: int) -> Iterator[Finding]:
        for each in self._found:
            yield from each.findings()

    def metadata(self, series_ids: Sequence[str]) -> Iterator[Timeseries]:
        requested = frozenset(series_ids)
        points = [each for each in self._found if each.series_id in requested]
        states, warnings = _states(self._calls, self._server, points)
        for text in warnings:
            _log.warning(text)
        yield from (each.series(states.get(each.state_set.casefold())) for each in points)

    def settled(self, run: JobRun) -> None:
        return None

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(self._gone.intersection(recorded)))

    def left_out(self, recorded: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def described(self) -> Described:
        types: dict[str, int] = {}
        for each in self._found:
            types[each.point_type or "?"] = types.get(each.point_type or "?", 0) + 1
        shown = ", ".join(f"{number:,} {kind}" for kind, number in sorted(types.items()))
        lines = (f"points: {shown}", f"values in one response: {self._page:,}")
        return Described(lines, {"point_types": types, "page_limit": self._page})

    def _page_limit(self) -> int:
        span = Span.of(self.wanted)
        if span is None or not self._found:
            return self._options.page_limit
        return find_page_limit(self._calls, self._found[0].point, span, self._options.page_limit)


def _states(
    calls: PiCalls, server: DataServer, points: Sequence[FoundPoint]
) -> tuple[Mapping[str, Mapping[int, str]], tuple[str, ...]]:
    """Return the states of digital points by case-folded name of their set, and a warning where they cannot be read."""
    try:
        return calls.state_sets(server, {each.state_set for each in points}), ()
    except UnauthorizedError:
        raise
    except (TerminalServiceError, IncompleteReadError) as error:
        text = (
            f"the names of the states of digital points are not known, as the data server does not give them: {error}"
        )
        return {}, (text,)


def _lost_series(series_id: str) -> Timeseries:
    return Timeseries(series_id, series_id, "")
