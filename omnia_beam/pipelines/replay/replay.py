"""Replay: move a job's dead letters, once the cause is gone, and account for each point.

take the lease, load the ledger ─ letters that the sink refused, where it takes single points: send them again
─ all others: read their windows again, as a run of the job does ─ what is left?
"""

from __future__ import annotations

from dataclasses import replace

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import Interrupted, OmniaBeamError, UsageError
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted
from omnia_beam.io.destination import DestinationCheck, RunReach
from omnia_beam.ledger.dead_letters import WRITING, DeadLetterFiles
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.pipelines.guard import check_job, check_repeats
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import opened_state
from omnia_beam.pipelines.letters_check import check_letters
from omnia_beam.pipelines.replay.points import PointReplay
from omnia_beam.pipelines.replay.tally import Tally
from omnia_beam.pipelines.replay.windows import WindowReplay
from omnia_beam.pipelines.work_plan import with_traffic


def run_replay(config: JobConfig, context: RunContext, path: str | None = None) -> Summary:
    """Move dead letters: send them again, or read their windows again.

    Args:
        config: the job.
        context: runner and terminal; single points are sent from this process.
        path: a folder of dead letters, or one file of it, instead of those in the job's state.

    Returns:
        `complete` where no dead letter is left. `points_read` counts the points in the files, `points_written` those
        that are stored now, `dead_letters` those that are left.

    Raises:
        UsageError: the sink cannot replace points, there is nothing under `path`, or a window that has to be read again would
            lose something that the job does not accept.
        CredentialError, ServiceError, DestinationError, StateError: it cannot continue; what is stored has left its file, all
            else is kept.
    """
    began = context.clock()
    job = Job.of(config)
    check_job(job, context)
    check_repeats(job, "replay")
    sessions: list[ServiceSession] = list(job.sink.sessions)
    tally = Tally()
    try:
        with opened_state(config, context) as run:
            fence = run.fence
            files = DeadLetterFiles.of(run.state_dir, fence) if path is None else DeadLetterFiles.at(path, fence)
            names = files.names()
            if path is not None and not names:
                raise UsageError(f"--dead-letters {path}: there are no files of dead letters (*.parquet)")
            resending = job.sink.resending(run)
            heads = {name: files.head(name) for name in names}
            alone = [name for name in names if resending is not None and heads[name][1] == WRITING]
            windows = sorted(heads.keys() - set(alone))
            tally.files, tally.windows = len(names), frozenset(heads[name][0] for name in windows)
            waiting = f"replaying the dead letters of {counted(len(names), 'window')}: {files}"
            context.notify(waiting if names else f"nothing to replay: there are no dead letters in {files}")
            requested = RunReach(run.scope.digest, run.sink)
            lost = DestinationCheck() if path else check_letters(run.ledger, run.state_dir, requested)
            if resending is not None and alone:
                PointReplay(run, files, resending, tally).send(alone)
            if windows:
                run = replace(run, ledger=run.reload())
                WindowReplay(job, run, files, context, tally, sessions).copy(windows)
    except (OmniaBeamError, Interrupted) as error:
        reached = with_traffic(tally.summarised(0, {}), sessions, context.clock() - began)
        error.summary = reached.having(dead_letters=reached.dead_letters + tally.unsettled)
        raise
    summary = with_traffic(tally.summarised(0, tally.details(files)), sessions, context.clock() - began)
    if lost.lost:
        text = f"{'; '.join(lost.texts)}: run migrate, which reads their windows again"
        summary = summary.having(status="incomplete", details={**summary.details, "lost": text})
    return summary.with_warnings(*lost.warnings)
