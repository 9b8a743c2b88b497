"""Refuse what would write points a second time, where the sink keeps both."""

from __future__ import annotations

from omnia_beam.core.errors import UsageError
from omnia_beam.pipelines.job import Job


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
