"""Copy windows: the one place that wires read | map | guard | write | record, for every command and every runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnia_beam.beam.progress import board_of
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.base import Reading, Writing
from omnia_beam.io.letters import MappingLetters
from omnia_beam.io.shards import put_shards
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import RunState
from omnia_beam.pipelines.removal_guard import ChunkGuard
from omnia_beam.transforms.series_rule import SeriesRule


@dataclass(frozen=True)
class CopyTask:
    """All that a worker needs to copy some windows. It is pickled to the workers and holds no secret.

    Args:
        reading, writing: of the two ends, with the worker's share of their budgets.
        rules: by source id; None where every series keeps its id, its values and its statuses.
        run: what receipts and failures are recorded under.
        guard: keeps stored points that a window would remove; None where no window is read again.
        follow: whether receipts come without end, so that they are recorded under the run that the lease has reached.
        trailing: the interval that every run reads again: windows that reach far before it are stored as two; None for no such
            interval.
    """

    reading: Reading
    writing: Writing
    rules: Mapping[str, SeriesRule] | None
    run: RunState
    guard: ChunkGuard | None = None
    follow: bool = False
    trailing: TimeRange | None = None


def copy_windows(shards: Any, task: CopyTask, *, timed: bool = False) -> None:
    """Put the copying on a pipeline.

    Args:
        shards: the collection of elements that `task.reading` takes.
        task: see `CopyTask`.
        timed: whether the time of either side is measured, for the progress of a run in this process.
    """
    import apache_beam as beam  # here and below, so that a run with nothing to do need not import it

    from omnia_beam.beam.record import RecordFailures, RecordReceipts
    from omnia_beam.beam.time_step import MeasureTime
    from omnia_beam.pipelines.cut_step import CutChunks
    from omnia_beam.pipelines.guard_step import GuardChunks
    from omnia_beam.transforms.map_series import MapSeries

    run = task.run
    chunks, unread = task.reading(shards)
    if timed:
        chunks = chunks | "Time" >> MeasureTime()
    if task.rules is not None:
        letters = MappingLetters(DeadLetterFiles.of(run.state_dir, run.fence), board_of(chunks))
        chunks = (chunks | "Map" >> MapSeries(task.rules, letters)).chunks
    withheld = None
    if task.guard is not None:  # where the driver does not follow, it reads the guard's reports and decides at once
        chunks, withheld = chunks | "Guard" >> GuardChunks(task.guard, failures=task.follow)
    if task.trailing is not None:  # after the guard, which compares windows as they are recorded
        chunks = chunks | "Cut" >> CutChunks(task.trailing)
    receipts, unwritten = task.writing(chunks)
    _ = receipts | "Record" >> RecordReceipts(run.state_dir, run.scope, run.token, run.clock, follow=task.follow)
    failures = tuple(each for each in (unread, withheld, unwritten) if each is not None)
    _ = failures | "Failures" >> beam.Flatten() | "Report" >> RecordFailures(run.state_dir, run.run_id)


def copy_pipeline(elements: Sequence[Any], task: CopyTask, *, local: bool) -> Callable[[Any], None]:
    """Return a function that puts the copying of planned windows on a pipeline.

    Args:
        elements: made by `OpenSource.shards`.
        task: see `CopyTask`.
        local: whether the pipeline runs in this process.
    """

    def build(pipeline: Any) -> None:
        copy_windows(put_shards(pipeline, elements, local=local), task, timed=local)

    return build
