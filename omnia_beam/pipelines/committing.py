"""Commit what workers have staged, where the driver is the one committer: before a run, at intervals, and at its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.errors import Interrupted, OmniaBeamError
from omnia_beam.core.text import counted
from omnia_beam.io.base import Sink
from omnia_beam.ledger.job import JobRun


def commit_leftovers(sink: Sink, run: JobRun, context: RunContext) -> JobRun:
    """Commit what dead runs have staged, and return the run with the ledger as it is then. It is the first step of a run.

    Raises:
        StateError: what was noted cannot be read, or the ledger not be written.
        OmniaBeamError: the sink cannot commit.
    """
    if sink.commits_every_s is None:
        return run
    receipts = sink.commit(run, leftovers=True)
    if not receipts:
        return run
    context.notify(f"committed {counted(len(receipts), 'window')} that an earlier run had staged")
    return replace(run, ledger=run.reload())


@dataclass
class Commits:
    """The commits of one pipeline. `points` is None where workers commit themselves."""

    points: int | None = None
    errors: list[OmniaBeamError] = field(default_factory=list)

    def counted(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the points that were committed, in place of those that were staged."""
        if self.points is None:
            return outcome
        return replace(outcome, counters={**outcome.counters, "points_written": self.points})


@contextmanager
def committing(sink: Sink, run: JobRun, board: RunBoard) -> Iterator[Commits]:
    """Commit at intervals while the block runs, and once more when it ends without an error.

    A commit that fails stops the run; what is noted is committed by the next one.

    Raises:
        OmniaBeamError: a commit failed.
    """
    if sink.commits_every_s is None:
        yield Commits()
        return
    commits, ended = Commits(0), threading.Event()
    thread = threading.Thread(target=_loop, args=(sink, run, commits, ended, board), name="omnia-commit", daemon=True)
    thread.start()
    try:
        yield commits
    except (OmniaBeamError, Interrupted) as error:
        if error.progress is not None:  # it counts what was staged
            error.progress = replace(error.progress, points=commits.points or 0)
        raise
    finally:
        ended.set()
        thread.join()
    if commits.errors:
        raise commits.errors[0]
    _commit(sink, run, commits)


def _loop(sink: Sink, run: JobRun, commits: Commits, ended: threading.Event, board: RunBoard) -> None:
    while not ended.wait(sink.commits_every_s):
        try:
            _commit(sink, run, commits)
        except OmniaBeamError as error:
            commits.errors.append(error)
            board.stop.set()
            return


def _commit(sink: Sink, run: JobRun, commits: Commits) -> None:
    commits.points = (commits.points or 0) + sum(each.count for each in sink.commit(run))
