"""Refuse, before anything is begun, the jobs that cannot be carried out as asked, and give each worker its share of the budgets."""

from __future__ import annotations

from omnia_beam.beam.cluster import check_cluster, check_share, worker_processes
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import is_local
from omnia_beam.core.errors import UsageError
from omnia_beam.io.base import Share
from omnia_beam.pipelines.job import Job


def check_job(job: Job, context: RunContext, *, endless: bool = False) -> None:
    """Check that a job can be run with the options of a command; the rules are the same for every command and every kind.

    Args:
        endless: whether the job has no end and may stream.

    Raises:
        UnsafeRunnerError: the combination is known to lose data.
        UsageError: it cannot work.
    """
    options, budgets = context.options, (*job.source.budgets, *job.sink.budgets)
    if job.config.workers > 1:
        if not is_local(options):
            raise UsageError(
                "workers: are processes on this machine; on a cluster the runner's own options say how many"
            )
        if any(each.credential.is_interactive for each in budgets):
            raise UsageError("workers: each would ask a person to sign in; use another kind of credential, or 1 worker")
    if is_local(options):
        return
    written = {**job.sink.places, "state": job.config.state}
    check_cluster(options, written, budgets, read=job.source.places.values(), endless=endless)
    for each in budgets:
        check_share(each, options)


def cluster_share(context: RunContext) -> Share:
    """Return the share of one worker of the runner; all of it where the pipeline runs in this process."""
    return Share(worker_processes(context.options))


def check_repeats(job: Job, what: str) -> None:
    """Check that the sink replaces a point that is written again, before anything is begun.

    Args:
        what: the command or key that writes points again, as the message names it.

    Raises:
        UsageError: it does not.
    """
    if not job.sink.accepts.upserts:
        raise UsageError(
            f"{what} writes points again that may be stored already, and a sink of kind {job.config.sink.kind} adds points and "
            "replaces none: they would be there twice"
        )
