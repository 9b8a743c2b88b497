"""The streaming tail's source: an unbounded splittable DoFn that polls, and gives out what is missing as windows.

It runs in one place, whatever the runner does, and does what the driver loop does there (`tail_cycle.py`), with the ledger as
the truth:

    look ─ are the windows of the last cycle stored, or reported as failed? no: look again soon
         ─ report how far the copy is complete; that is the watermark
         ─ is it time to poll? plan the next cycle, announce what is replaced, give its windows out ─ defer

No cycle is planned while windows of the one before are under way, so that no two of them ever overlap. The cursor's size is
bounded by the windows of one cycle.

Each cycle is a run of its own under the driver's lease: its receipts count after those of every cycle before, and after its
own announcements, whatever the workers' clocks show.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import OmniaBeamError, StateError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.core.window import Window
from omnia_beam.io.base import Share
from omnia_beam.io.destination import DestinationCheck, Removal
from omnia_beam.ledger.failures import forget_failures, read_failures
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.lease import advance_run
from omnia_beam.ledger.lease_file import read_lease
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import points_of_run
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.removal_guard import read_removals
from omnia_beam.pipelines.rounds import Ended
from omnia_beam.pipelines.run import Copying
from omnia_beam.pipelines.tail.cursor import OVER, Round, TailCursor, TailCursorCoder, TailTracker
from omnia_beam.pipelines.tail.cycle import (
    Cycle,
    TailPlanner,
    TailTimes,
    complete_at,
    describe_cycle,
    is_last_cycle,
)
from omnia_beam.pipelines.tail.handed_out import first_windows, under_way
from omnia_beam.pipelines.tail.report import TailReport, write_report
from omnia_beam.pipelines.tail.stream_guard import write_note
from omnia_beam.pipelines.tail.windows import cut_again
from omnia_beam.pipelines.work_plan import announce_again

_log = logging.getLogger(__name__)

_LOOK_S = 5.0
"""Seconds between giving windows out and checking what became of them, which delays the status line as much."""
_REPORT_EVERY_NS = 60 * NS_PER_SECOND
_WINDOWS_PER_SHARD = 4
_PROBLEMS = 20
"""Texts in a report, at most: a tail may run for years."""


@dataclass(frozen=True)
class TailSpec:
    """The parameters of the source; pickled to where it runs.

    Args:
        config: the job, with nothing in its selection that only the driver can read.
        share: the worker's part of the budget.
        shard_type: of what is given out.
        run: the job's state, with the token of the driver's lease.
        times: clocks.
        until_lag_ns: see `is_last_cycle`.
    """

    config: JobConfig
    share: Share
    shard_type: type
    run: RunState
    times: TailTimes = TailTimes()
    until_lag_ns: int | None = None


class TailWindows(beam.PTransform):
    """PBegin to shards of windows, without end; the timestamp is the time up to which nothing is unread.

    Args:
        spec: see TailSpec.
    """

    def __init__(self, spec: TailSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, pipeline: Any) -> Any:
        poll = beam.ParDo(PollFn(self._spec)).with_output_types(self._spec.shard_type)
        return pipeline | beam.Impulse() | "Poll" >> poll


class PollFn(beam.DoFn, beam.transforms.core.RestrictionProvider):
    """The DoFn of `TailWindows`, which is its own restriction provider, as Beam allows: one element, one cursor."""

    def __init__(self, spec: TailSpec) -> None:
        self._spec = spec

    def setup(self) -> None:
        self._poller = TailPoller(self._spec)

    def initial_restriction(self, element: bytes) -> TailCursor:
        window = self._spec.config.window
        return TailCursor.at(0 if window is None else window.start)

    def create_tracker(self, restriction: TailCursor) -> TailTracker:
        return TailTracker(restriction)

    def restriction_coder(self) -> TailCursorCoder:
        return TailCursorCoder()

    def restriction_size(self, element: bytes, restriction: TailCursor) -> int:
        return 1

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: bytes,
        tracker: Any = beam.DoFn.RestrictionParam(),  # noqa: B008 - Beam's form
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider()),  # noqa: B008
    ) -> Iterator[Any]:
        cursor = tracker.current_restriction()
        raise_watermark(watermark, cursor.complete_to_ns)
        # The look precedes the claim, so that a slow service does not delay a runner's checkpoint.
        look = self._poller.look(cursor)
        # A failed claim means that the runner has taken the remainder away; its new holder looks again.
        if tracker.try_claim(look.round):
            at = as_timestamp(cursor.complete_to_ns)
            for shard in self._poller.shards(look.round.given):
                yield TimestampedValue(shard, at)
            if look.round.then.mode != "over":
                raise_watermark(watermark, look.round.then.complete_to_ns)
                tracker.defer_remainder(Duration(look.wait_s / self._spec.times.rate))


@dataclass(frozen=True)
class Poll:
    """The result of a look: what to claim, and after how many seconds of the tail's clock to look again."""

    round: Round
    wait_s: float


class TailPoller:
    """Looks at ledger and service again and again; what it remembers between looks only saves work.

    Args:
        spec: see TailSpec.
    """

    def __init__(self, spec: TailSpec) -> None:
        self._config, self._run, self._times = spec.config, spec.run, spec.times
        self._planner = TailPlanner(Job.of(spec.config), worker_context(), spec.share)
        self._until_lag_ns = spec.until_lag_ns
        self._poll_ns = spec.config.tail.poll
        self._due_ns = 0
        self._waits_since_ns: int | None = None
        self._reported_ns = 0
        self._is_cut = False
        self._report = TailReport()

    @property
    def series_ids(self) -> Sequence[str]:
        """The series of the newest cycle; none before the first."""
        return self._planner.series_ids

    def shards(self, windows: Iterable[Window]) -> Iterator[Any]:
        """Yield windows in the form in which the source reads them."""
        source = self._planner.source
        if source is None:  # a new instance gives out again what another one has planned
            view = JobView.load(self._run.state_dir, self._run.scope)
            source = self._planner.job.open_source(view, self._planner.context, share=self._planner.share)
        return source.shards(windows, _WINDOWS_PER_SHARD)

    def look(self, cursor: TailCursor) -> Poll:
        """Look once. A failure is reported and tried again, unless the lease is lost: then the tail is over.

        It may announce windows that are then not given out; the next look plans them again.
        """
        if cursor.mode == "give":
            return Poll(Round(cursor.in_flight, OVER), 0)
        try:
            found = read_lease(self._run.state_dir)
            if found is None or found.nonce != self._run.token.nonce or found.released:
                _log.error("the tail has lost its lease and ends here; the run that holds the lease continues")
                return Poll(Round((), OVER), 0)
            return self._poll(cursor, found.run)
        except (OmniaBeamError, TimeoutError, OSError) as error:
            now_ns = self._times.now()
            self._due_ns = now_ns + self._poll_ns
            self._publish(f"{format_time(now_ns, 0)} cycle failed, tried again in the next one: {error}")
            return Poll(Round((), cursor), self._poll_ns / NS_PER_SECOND)

    def _poll(self, cursor: TailCursor, run: int) -> Poll:
        now_ns = self._times.now()
        if cursor.in_flight:
            self._commit(run)
            ledger = Ledger.load(self._run.state_dir)
            failures = read_failures(self._run.state_dir, self._run.run_id)
            # A later run means that the runner went back to an older cursor, whose cycle ended before that run began.
            left = under_way(ledger, self._run.scope.digest, cursor.in_flight, failures) if run == cursor.run else 0
            if left:
                return self._waiting(cursor, left, now_ns)
            cursor, is_over = self._completed(cursor, ledger, failures, now_ns)
            if is_over:
                return Poll(Round((), OVER), 0)
        if now_ns < self._due_ns:
            return Poll(Round((), cursor), (self._due_ns - now_ns) / NS_PER_SECOND)
        return self._next(cursor, now_ns)

    def _commit(self, run: int) -> None:
        """Commit what workers have staged, where there may be one committer: this source is the one that all runners run alone."""
        sink = self._planner.job.sink
        if sink.commits_every_s is not None:
            state = replace(self._run, token=replace(self._run.token, run=run))
            sink.commit(JobRun.of(state, Ledger.load(state.state_dir)))

    def _waiting(self, cursor: TailCursor, left: int, now_ns: int) -> Poll:
        if self._waits_since_ns is None:
            self._waits_since_ns = self._reported_ns = now_ns
        # Measured by the clock, not by the number of looks: Beam's local runner ignores how long it is asked to wait.
        if now_ns - self._reported_ns >= _REPORT_EVERY_NS:
            self._reported_ns = now_ns
            waited_s = (now_ns - self._waits_since_ns) // NS_PER_SECOND
            of = f"{left:,} of {counted(len(cursor.in_flight), 'window')} of cycle {cursor.cycle}"
            self._publish(
                f"{format_time(now_ns, 0)} {of} in flight for {waited_s:,} s: if that does not end, the runner "
                "hands on nothing before a source has ended, and cannot run a tail"
            )
        return Poll(Round((), cursor), self._poll_s)

    def _completed(
        self, cursor: TailCursor, ledger: Ledger, failures: Sequence[Mapping[str, Any]], now_ns: int
    ) -> tuple[TailCursor, bool]:
        """Report a cycle of which all windows are stored or failed, and return the cursor and whether the tail is over."""
        reach = TimeRange(
            min(each.key.range.start_ns for each in cursor.in_flight),
            max(each.key.range.end_ns for each in cursor.in_flight),
        )
        points = points_of_run(ledger, cursor.run, reach)
        if not self._planner.leftovers_cleared:
            state = JobRun.of(replace(self._run, token=replace(self._run.token, run=cursor.run)), ledger)
            self._planner.clear_leftovers(state, self._wanted(cursor))
        forget_failures(self._run.state_dir, self._run.run_id)
        return self._ended(cursor, ledger, now_ns, points=points, failures=failures)

    def _ended(
        self,
        cursor: TailCursor,
        ledger: Ledger,
        now_ns: int,
        *,
        points: int = 0,
        failures: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[TailCursor, bool]:
        series_ids = self._planner.series_ids
        wanted = self._wanted(cursor)
        complete_ns = cursor.complete_to_ns
        if series_ids:  # empty at the first look of a new instance: the next cycle selects them
            complete_ns = complete_at(ledger, self._run.scope.digest, series_ids, wanted)
        cycle = Cycle(
            series=len(series_ids),
            read_to_ns=cursor.read_to_ns,
            complete_to_ns=complete_ns,
            windows=len(cursor.in_flight),
            points_read=points,
            points_written=points,
            failures=len(failures),
            first_failure=str(failures[0]["message"]) if failures else "",
        )
        is_over = not self._is_cut and is_last_cycle(cycle, now_ns, self._config, self._until_lag_ns)
        self._waits_since_ns = None
        self._publish(describe_cycle(cycle, now_ns, self._config), cycle, is_over)
        return replace(cursor, complete_to_ns=max(complete_ns, cursor.complete_to_ns), in_flight=()), is_over

    def _next(self, cursor: TailCursor, now_ns: int) -> Poll:
        state_dir = self._run.state_dir
        token = advance_run(state_dir, self._run.token)
        planned = self._planner.next_cycle(self._run, token, now_ns)
        self._due_ns = now_ns + self._poll_ns
        poll_s = self._poll_ns / NS_PER_SECOND
        if planned.copying is None or planned.work is None:
            return Poll(Round((), cursor), poll_s)
        copying = planned.copying
        work, is_all = first_windows(cut_again(planned.work, copying.carrier.trailing))
        complete_ns = complete_at(copying.run.ledger, self._run.scope.digest, self._planner.series_ids, planned.wanted)
        allowed = self._decide(copying)
        read_to_ns = max(cursor.read_to_ns, planned.wanted.end_ns)
        self._is_cut = not is_all
        if is_all:
            self._planner.carried_out(planned)
        else:
            self._due_ns = 0
        if not len(work.plan):
            cursor, is_over = self._ended(replace(cursor, read_to_ns=read_to_ns), copying.run.ledger, now_ns)
            return Poll(Round((), OVER if is_over else cursor), poll_s)
        self._planner.leftovers_cleared = not work.again
        announce_again(copying.run, work)
        windows = tuple(work.plan)
        number = advance_run(state_dir, token).run
        again = [each.key for each in planned.work.again]  # uncut: a part is compared with the window that it is of
        write_note(copying.run, number, again, copying.source.vanished, allowed)
        reached_ns = max(cursor.complete_to_ns, complete_ns)
        then = TailCursor("poll", cursor.cycle + 1, number, read_to_ns, reached_ns, windows)
        return Poll(Round(windows, then), self._poll_s)

    def _decide(self, copying: Copying) -> list[Removal]:
        """Return the windows that were withheld so far and may lose points now; what else the guards found is reported."""
        removals = read_removals(copying.run.state_dir, self._run.run_id, forget=True)
        if not removals:
            return []
        allowed, problems = copying.rounds(looks=False).decided(removals)
        ended = Ended(copying.run, Outcome(), copying.run.ledger, DestinationCheck(), tuple(removals), tuple(problems))
        found = dict.fromkeys((*self._report.problems, *ended.problems_now()))
        removed = self._report.removed + ended.removed
        self._report = replace(self._report, removed=removed, problems=tuple(found)[:_PROBLEMS])
        return allowed

    def _wanted(self, cursor: TailCursor) -> TimeRange:
        window = self._config.window
        start = min(0, cursor.read_to_ns) if window is None else window.start
        return TimeRange(start, cursor.read_to_ns)

    @property
    def _poll_s(self) -> float:
        return min(_LOOK_S * self._times.rate, self._poll_ns / NS_PER_SECOND)

    def _publish(self, line: str, cycle: Cycle | None = None, is_over: bool = False) -> None:
        self._report = self._report.having(line, cycle, is_over)
        try:
            write_report(self._run.state_dir, self._run.run_id, self._report)
        except StateError as error:  # the report is only for display; the ledger is complete
            _log.warning("%s: %s", line, error)


def worker_context() -> RunContext:
    """Return the context of a source in a worker, which has no terminal: its messages go to the log."""
    silent = Console(file=StringIO())
    return RunContext(None, silent, silent, quiet=True)


def raise_watermark(estimator: Any, instant_ns: int) -> None:
    """Raise a manual watermark to an instant; one that is higher stays, as Beam requires."""
    wanted, now = as_timestamp(instant_ns), estimator.current_watermark()
    if now is None or wanted > now:
        estimator.set_watermark(wanted)


def as_timestamp(instant_ns: int) -> Timestamp:
    """Return Beam's microseconds, rounded towards the past: never ahead of the instant."""
    return Timestamp(micros=instant_ns // 1_000)
