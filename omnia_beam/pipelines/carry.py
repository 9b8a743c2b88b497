"""Carry out a plan: in this process, in several processes of this machine, or on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome, run_pipeline
from omnia_beam.beam.progress import Limit
from omnia_beam.beam.runner import is_local
from omnia_beam.beam.worker_message import WorkerTask
from omnia_beam.beam.worker_pool import run_workers
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.base import OpenSource, Share
from omnia_beam.io.letters import MAPPING
from omnia_beam.io.shards import CLUSTER_SHARD, LOCAL_SHARD
from omnia_beam.ledger.dead_letters import DeadLetterFiles, is_of_origin
from omnia_beam.ledger.job import JobRun
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines.committing import committing
from omnia_beam.pipelines.copy import CopyTask, copy_pipeline
from omnia_beam.pipelines.guard import cluster_share
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.removal_guard import RemovalGuard
from omnia_beam.pipelines.work_plan import for_other_clocks
from omnia_beam.plan.plan import Plan
from omnia_beam.transforms.series_rule import SeriesRule


@dataclass(frozen=True)
class Carrier:
    """Carries out plans of one job.

    Args:
        job: both ends.
        source: the source, opened.
        rules: of the mapping, by source id; None where every series is kept as it is.
        context: runner and terminal.
        limits: of what may be found in points before the run stops.
        passing: whether the progress display disappears at the end.
        least_windows: windows of a worker, at least: below it starting a process costs more than it saves.
        trailing: see `CopyTask`.
    """

    job: Job
    source: OpenSource
    rules: Mapping[str, SeriesRule] | None
    context: RunContext
    limits: tuple[Limit, ...] = ()
    passing: bool = False
    least_windows: int = 1
    trailing: TimeRange | None = None

    @property
    def sessions(self) -> tuple[ServiceSession, ...]:
        """The sessions of both ends, each once."""
        return tuple(dict.fromkeys((*self.source.sessions, *self.job.sink.sessions)))

    def traffic(self) -> StatsSnapshot:
        """Return the requests of this process so far, of both ends together."""
        return StatsSnapshot.together([each.stats.snapshot() for each in self.sessions])

    def carry_out(self, run: JobRun, plan: Plan, guard: RemovalGuard | None) -> Outcome:
        """Copy the windows of a plan.

        Args:
            run: holds the lease.
            plan: at least one window.
            guard: keeps stored points that a window would remove; None where no window is read again.

        Raises:
            Interrupted: a signal came; what was under way is recorded or abandoned.
            OmniaBeamError: what ended the run; what is recorded stays recorded.
        """
        deadline = self.job.config.deadline
        deadline_s = None if deadline is None else deadline / NS_PER_SECOND
        tasks = self.worker_tasks(run, plan, guard)
        if len(tasks) > 1:
            with committing(self.job.sink, run, self.context.board) as commits:
                sessions = [shared_session(each) for each in self._budgets]
                outcome = run_workers(tasks, plan, self.context, sessions, deadline_s, limits=self.limits)
            return commits.counted(outcome)
        local = is_local(self.context.options)
        if not local:
            run = for_other_clocks(run)
        elements = list(self.source.shards(plan, LOCAL_SHARD if local else CLUSTER_SHARD))
        with committing(self.job.sink, run, self.context.board) as commits:
            outcome = run_pipeline(
                copy_pipeline(elements, self._task(run, cluster_share(self.context), guard), local=local),
                plan,
                self.context,
                self.traffic,
                deadline_s,
                passing=self.passing,
                limits=self.limits,
            )
            for session in self.sessions[:1]:  # the runner reports the sum of all services
                session.stats.absorb(outcome.traffic)
        return commits.counted(outcome)

    def worker_tasks(self, run: JobRun, plan: Plan, guard: RemovalGuard | None = None) -> list[WorkerTask]:
        """Return a task for each worker, with its share of the plan and of every budget; none for a job of one process.

        There are fewer tasks than configured workers where there is not enough to share.
        """
        requested = self.job.config.workers
        if requested == 1:
            return []
        budgets = self._budgets
        most = [requested, max(1, len(plan) // self.least_windows), *(each.max_in_flight for each in budgets)]
        plans = plan.divided(min(most))
        level = logging.getLogger("omnia_beam").level
        tasks = []
        for index, share_of_plan in enumerate(plans):
            share = Share(len(plans), index)
            part = None if guard is None else guard.of(window.key for window in share_of_plan)
            elements = list(self.source.shards(share_of_plan, LOCAL_SHARD))
            recipe = partial(copy_pipeline, elements, self._task(run, share, part), local=True)
            tasks.append(WorkerTask(recipe, tuple(share.part(each) for each in budgets), self.context.options, level))
        return tasks

    @property
    def _budgets(self) -> tuple[ServiceSettings, ...]:
        """The services of both ends, each once: a worker reports the traffic of each, in this order."""
        return tuple(dict.fromkeys((*self.job.source.budgets, *self.job.sink.budgets)))

    def _task(self, run: JobRun, share: Share, guard: RemovalGuard | None) -> CopyTask:
        state = run.for_workers()
        rules = self.rules
        files = DeadLetterFiles.of(run.state_dir)
        if rules is None and any(is_of_origin(name, MAPPING) for name in files.names()):
            # An earlier mapping rejected points: the step that maps them removes its letters.
            rules = {each.id: SeriesRule(each.id) for each in self.source.series}
        if rules is not None and guard is not None:
            # Recorded windows may hold series that the source no longer shows: they keep their targets.
            rules = {source_id: SeriesRule(target) for source_id, target in guard.targets.items()} | dict(rules)
        again = () if guard is None else guard.prior.keys()
        if guard is not None:
            guard = guard.reading(self.job.sink.stored(share))
        reading, writing = self.source.reading(share), self.job.sink.writing(share, state, again)
        return CopyTask(reading, writing, rules, state, guard, trailing=self.trailing)
