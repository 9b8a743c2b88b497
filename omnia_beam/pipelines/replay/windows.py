"""Read the windows of dead letters again, and copy them as a run of the job does, so that a repaired mapping or file counts.

    which windows do the letters belong to, and what was overtaken since? ─ open the source, resolve the mapping ─ announce the
    windows, read, map, guard, write, record ─ count the letters that they have now

Points that the mapping or the reading rejected can be moved in no other way, nor can any of a sink that only takes whole
windows. A run that dies on the way leaves its windows announced: the next run of the job, or the next replay, goes on with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.metrics import RunMetrics
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import OpenSource
from omnia_beam.io.letters import clear_leftover_letters
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.failures import read_failures
from omnia_beam.ledger.index import DOUBTFUL, code_of
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import recorded_points
from omnia_beam.ledger.table import RECEIPT
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.preparation import notify_findings, prepare
from omnia_beam.pipelines.replay.letters import letter_records, sort_letters
from omnia_beam.pipelines.replay.points import BLOCK_FILES
from omnia_beam.pipelines.replay.tally import ReasonsOfSeries, Tally
from omnia_beam.pipelines.run import Copying
from omnia_beam.pipelines.work_plan import WorkPlan, minus, windows_again
from omnia_beam.plan.plan import Plan


@dataclass
class WindowReplay:
    """One run over files of dead letters whose windows are read again.

    Args:
        job: both ends.
        run: holds the lease; its ledger is the present one.
        files: the dead letters.
        context: runner and terminal.
        tally: what becomes of them.
        sessions: the source's are added as soon as it is open.
    """

    job: Job
    run: JobRun
    files: DeadLetterFiles
    context: RunContext
    tally: Tally
    sessions: list[ServiceSession]
    _held: dict[str, tuple[ChunkKey, ReasonsOfSeries]] = field(default_factory=dict)
    _dropped: list[str] = field(default_factory=list)

    def copy(self, names: Sequence[str]) -> None:
        """Copy the windows of files again, and count the letters that are left of them.

        Raises:
            UsageError: the mapping or the selection has mistakes, or something would be lost that the job does not accept.
            CredentialError, ServiceError, DestinationError, StateError: it cannot continue; letters of windows that were not
                replaced stay.
        """
        for at in range(0, len(names), BLOCK_FILES):
            self._look_up(names[at : at + BLOCK_FILES])
        for name in self._dropped:
            self.files.remove(name)
        if not self._held:
            return
        self.job.sink.reach()
        source = self.job.open_source(self.run, self.context)
        self.sessions += source.sessions
        prepared = prepare(self.job, source, self.run.state_dir)
        notify_findings(prepared, self.job, self.context)
        prepared.report.check(self.job.config.accept)
        # What the pipelines count is counted by the replay as a whole already.
        context = replace(self.context, metrics=RunMetrics())
        copying = Copying.of(self.job, source, prepared, self.run, context)
        self._run(copying, self._work(source, frozenset(prepared.series_ids)))

    def _look_up(self, names: Sequence[str]) -> None:
        """Read files, and decide for each whether its window is read again."""
        records = letter_records(self.run.ledger, self.run.sink, [self.files.key(name) for name in names])
        for name in names:
            stored = self.files.read(name)
            self.tally.read += stored.count
            self.tally.targets.update(letter.target_id for letter in stored.letters)
            letters = sort_letters(stored, records)
            self.tally.overtaken += letters.overtaken
            if not letters.send:
                self._dropped.append(name)
                self.tally.leave(stored.key, ())
                continue
            held: ReasonsOfSeries = Counter()
            for letter in letters.send:
                held[letter.source_id, letter.reason] += letter.count
            self._held[name] = stored.key, held

    def _work(self, source: OpenSource, series_ids: frozenset[str]) -> WorkPlan:
        """Return the plan: recorded windows as they were recorded, and of others what is not copied yet.

        Letters of series that the job does not select any more stay as they are.
        """
        ledger, scope, sink = self.run.ledger, self.run.scope.digest, self.run.sink
        for name, (key, reasons) in list(self._held.items()):
            if series_ids.isdisjoint(key.series_ids):
                del self._held[name]
                self.tally.leave_counted(reasons)
        keys = {key for key, _ in self._held.values()}
        index = ledger.index
        stands = (index.kind == RECEIPT) & (index.sink == code_of(index.sinks, sink)) & (index.state >= DOUBTFUL)
        known = {each.receipt.key: each.receipt.count for each in ledger.recorded(stands) if each.receipt.key in keys}
        again = windows_again(known, ledger, scope, sink, source.limits)
        holes = [
            hole
            for key in keys - known.keys()
            for hole in ledger.missing(scope, series_ids.intersection(key.series_ids), key.range)
        ]
        fresh = source.plan(minus(holes, again)) if holes else Plan.of_windows(())
        plan = fresh.merged(again).ordered(newest_first=self.job.config.order == "newest_first")
        self.tally.windows_again = len(plan)
        return WorkPlan(plan, again, 0)

    def _run(self, copying: Copying, work: WorkPlan) -> None:
        if len(work.plan):
            self.context.notify(f"reading {counted(len(work.plan), 'window')} of dead letters again")
        before = self._stored(self.run.ledger)
        ended = copying.rounds(looks=False).run(work)
        clear_leftover_letters(self.run)
        self.tally.failures += [str(each["message"]) for each in read_failures(self.run.state_dir, self.run.run_id)]
        self.tally.problems += ended.problems_now()
        if ended.outcome.exceeded is not None:
            self.tally.problems.append(f"{ended.outcome.exceeded}: raise accept's at_most, or check the source")
        if ended.outcome.stopped:
            self.tally.problems.append("the deadline came before the end; run replay again to go on")
        self.tally.warnings += ended.warnings(self.run.sink)
        self.tally.removed, self.tally.kept = ended.removed, ended.kept(self.run.sink)
        self._count(before, ended.ledger)

    def _stored(self, ledger: Ledger) -> Counter[str]:
        """Return the points that are recorded of the windows, by series."""
        found: Counter[str] = Counter()
        keys = list(dict.fromkeys(key for key, _ in self._held.values()))
        for key, points in recorded_points(ledger, self.run.scope.digest, self.run.sink, keys).items():
            found.update(dict(zip(key.series_ids, points, strict=True)))
        return found

    def _count(self, before: Counter[str], ledger: Ledger) -> None:
        """Compare the letters of the windows with those that they have now, and the points that are recorded of them."""
        scope = self.run.scope.digest
        undone = {name for name, (key, _) in self._held.items() if ledger.missing(scope, key.series_ids, key.range)}
        had: Counter[str] = Counter()
        keys = {key for key, _ in self._held.values()}
        for held in (*(held for _, held in self._held.values()), *self.tally.taken_left_of(keys)):
            had.update(_by_series(held))
        now = self._letters_now()
        own = {key for key, _ in now}
        if self.files.folder != DeadLetterFiles.of(self.run.state_dir).folder:
            # The job's own files have been counted; a file of a window that was not replaced stays.
            now += [self._held[name] for name in undone if self._held[name][0] not in own]
            for name in self._held.keys() - undone:
                self.files.remove(name)
        left: Counter[str] = Counter()
        for _, held in now:
            left.update(_by_series(held))
            for (_, reason), points in held.items():
                self.tally.left[reason] += points
        gained = self._stored(ledger)
        for source_id, points in had.items():
            settled = max(0, points - left[source_id])
            stored = min(settled, max(0, gained[source_id] - before[source_id]))
            self.tally.stored += stored
            self.tally.gone += settled - stored
        open_keys = {key for key, _ in now}
        self.tally.files_settled += len(self._held)
        self.tally.files_left += sum(
            name in undone or any(_lies_in(each, key) for each in open_keys) for name, (key, _) in self._held.items()
        )

    def _letters_now(self) -> list[tuple[ChunkKey, ReasonsOfSeries]]:
        """Return the job's own letters of the windows, by file."""
        own = DeadLetterFiles.of(self.run.state_dir)
        ranges: dict[str, list[TimeRange]] = {}
        for key, _ in self._held.values():
            for source_id in key.series_ids:
                ranges.setdefault(source_id, []).append(key.range)
        found = []
        for name in own.names():
            key = own.key(name)
            if not any(key.range.overlaps(part) for each in key.series_ids for part in ranges.get(each, ())):
                continue
            held: ReasonsOfSeries = Counter()
            for letter in own.read(name).letters:
                held[letter.source_id, letter.reason] += letter.count
            found.append((key, held))
        return found


def _by_series(held: ReasonsOfSeries) -> Counter[str]:
    found: Counter[str] = Counter()
    for (source_id, _), points in held.items():
        found[source_id] += points
    return found


def _lies_in(part: ChunkKey, key: ChunkKey) -> bool:
    return key.range.overlaps(part.range) and not set(key.series_ids).isdisjoint(part.series_ids)
