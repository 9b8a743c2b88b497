"""Run a plan in rounds: carry it out, check the destination, and carry out again what is lost or was withheld.

    carry out ─ what would the destination lose? ─ what is lost there? ─ carry out again ─ check again

The second round reads only the windows that need it. What is still wrong after it makes the run incomplete and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.config import JobConfig
from omnia_beam.config.fields import removable_points
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import DestinationCheck, Removal
from omnia_beam.ledger.facts import prior_records, receipts_with_kept_points, standing_points
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.mapping.series_memory import titles
from omnia_beam.pipelines.removal_guard import GuardRules, RemovalGuard, read_removals
from omnia_beam.pipelines.work_plan import WorkPlan, windows_again
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import Plan

_NAMED: Final = 3

Carry = Callable[[WorkPlan, RemovalGuard | None], Outcome]
"""A function that carries out a plan, with a guard between reading and writing where windows are read again."""
Erase = Callable[[Iterable[Removal]], list[str]]
"""A function that removes the stored points of windows that are about to be written again; it returns why it could not, a text
each."""


@dataclass(frozen=True)
class Rounds:
    """The parts of a run in rounds.

    Args:
        config: of the job.
        state: its ledger as it was when the run was planned.
        limits: how windows are packed.
        rules: of the guard, with nothing allowed yet.
        carry: see `Carry`.
        destination_check: compares the destination with the ledger as it is then.
        context: the terminal.
        erase: see `Erase`; None where writing a window again replaces all that was stored of it.
    """

    config: JobConfig
    state: JobRun
    limits: PackLimits
    rules: GuardRules
    carry: Carry
    destination_check: Callable[[Ledger], DestinationCheck]
    context: RunContext
    erase: Erase | None = None

    def run(self, work: WorkPlan) -> Ended:
        """Carry out a plan, and the second round that follows from it. Raises what `carry` and `destination_check` raise."""
        guard = self._guard(work, self.rules, self.state.ledger)
        outcome = self.carry(work, guard)
        removals = self._taken_reports()
        allowed, problems = self.decided(removals)
        ledger = self.state.reload()
        destination_check = self.destination_check(ledger)
        redone = 0
        again = {each.key: sum(each.removed.values()) for each in allowed} | destination_check.lost
        if again and not outcome.stopped and outcome.given_up is None:
            for text in destination_check.texts:
                self.context.notify(f"{text}: written again")
            more = self._work_again(again, ledger)
            rules = replace(self.rules, allowed={each.key: each.removed for each in allowed})
            outcome = _plus(outcome, self.carry(more, self._guard(more, rules, ledger, guard)))
            # For a window the second round's report replaces the first one's; lost windows may be withheld only now.
            later = self._taken_reports()
            problems += [_unread_text(each) if each.unread else _refused_text(each) for each in later if each.withheld]
            repeated = {each.key for each in later}
            removals = [*(each for each in removals if each.key not in repeated), *later]
            ledger = self.state.reload()
            destination_check = self.destination_check(ledger)
            planned = {window.key for window in work.plan}
            redone = sum(
                1 for window in more.plan if window.key not in planned and window.key not in destination_check.lost
            )
        return Ended(self.state, outcome, ledger, destination_check, tuple(removals), tuple(problems), redone)

    def decided(self, removals: Iterable[Removal]) -> tuple[list[Removal], list[str]]:
        """Return the withheld windows that may lose points, and why others may not; at a service the points are erased first."""
        removals = list(removals)
        allowed, problems = self._decided([each for each in removals if each.withheld and not each.unread])
        return allowed, problems + [_unread_text(each) for each in removals if each.unread]

    def _decided(self, withheld: list[Removal]) -> tuple[list[Removal], list[str]]:
        total = sum(sum(each.removed.values()) for each in withheld)
        if not total:
            return [], []
        allowed = removable_points(self.config.max_removed, lambda: standing_points(self.state.ledger, self.state.sink))
        if total > allowed:
            first = _first(withheld, self.state)
            return [], [
                f"{counted(total, 'point')} of {counted(len(withheld), 'window')} would be removed from the destination "
                f"without being replaced, and max_removed: {self.config.max_removed} allows {allowed:,} ({first}): "
                f"nothing was removed. To remove them, run once more with --set max_removed={total}"
            ]
        problems = self.erase(withheld) if self.erase is not None else []
        return (withheld, []) if not problems else ([], problems)

    def _work_again(self, keys: Mapping[ChunkKey, int], ledger: Ledger) -> WorkPlan:
        again = windows_again(keys, ledger, self.state.scope.digest, self.state.sink, self.limits)
        return WorkPlan(Plan.of_windows(again), again, 0)

    def _guard(
        self, work: WorkPlan, rules: GuardRules, ledger: Ledger, first: RemovalGuard | None = None
    ) -> RemovalGuard | None:
        """Return the guard of a plan; None where nothing is recorded that it could remove.

        Args:
            first: the guard of the first round, which knows what was recorded of windows that had to be cut into parts.
        """
        if not work.again:
            return None
        prior = prior_records(ledger, self.state.sink, [window.key for window in work.again])
        if first is not None:
            parts = {window.key: first.prior_of(window.key) for window in work.again if window.key not in prior}
            prior |= {key: records for key, records in parts.items() if records}
        return RemovalGuard(rules, prior, self.state.state_dir, self.state.run_id) if prior else None

    def _taken_reports(self) -> list[Removal]:
        return read_removals(self.state.state_dir, self.state.run_id, forget=True)


@dataclass(frozen=True)
class Ended:
    """The result of a run in rounds.

    Args:
        state: of the job when the run was planned.
        outcome: of the pipelines.
        ledger: as it is now.
        destination_check: the last one.
        removals: what was kept, removed or withheld.
        problems: why windows that would lose points were not written.
        redone: the number of windows that were recorded before and had to be written again, since they were lost.
    """

    state: JobRun
    outcome: Outcome
    ledger: Ledger
    destination_check: DestinationCheck
    removals: tuple[Removal, ...] = ()
    problems: tuple[str, ...] = ()
    redone: int = 0

    def summarised(self, summary: Summary, sink: str, context: RunContext) -> Summary:
        """Return the summary with what the rounds found, and print it for people too."""
        problems, warnings = self.problems_now(), self.warnings(sink)
        for text in (*problems, *warnings):
            context.notify(text)
        if problems:
            summary = summary.having(status="incomplete", details={**summary.details, "incomplete": problems})
        summary = summary.having(
            windows_done=summary.windows_done + self.redone,
            windows_skipped=max(0, summary.windows_skipped - self.redone),
            points_removed=self.removed,
            points_kept=self.kept(sink),
        )
        return summary.with_warnings(*warnings)

    @property
    def removed(self) -> int:
        """Number of points that were removed without being replaced."""
        return sum(sum(each.removed.values()) for each in self.removals if not each.withheld)

    def kept(self, sink: str) -> int:
        """Return the number of points at a sink that are recorded as kept."""
        return self._kept(sink)[0]

    def problems_now(self) -> list[str]:
        """Return why the run is incomplete, a text each."""
        return [*self.problems, *self.destination_check.texts, *self._news()]

    def warnings(self, sink: str) -> list[str]:
        """Return what the person who runs the job has to know besides, a text each."""
        texts = list(self.destination_check.warnings)
        if self.removed:
            texts.append(
                f"removed from the destination: {counted(self.removed, 'point')} that the source no longer has"
            )
        kept, windows = self._kept(sink)
        if kept:
            texts.append(
                f"{counted(kept, 'point')} of {counted(windows, 'window')} are kept at the destination although the source no "
                "longer shows them; vanished: follow removes them"
            )
        return texts

    def _kept(self, sink: str) -> tuple[int, int]:
        """Return the points that are recorded as kept, and in how many windows."""
        receipts = [each.receipt for each in receipts_with_kept_points(self.ledger, sink)]
        return sum(part.points for each in receipts for part in each.kept), len(receipts)

    def _news(self) -> list[str]:
        kept = [each for each in self.removals if each.kept and not each.withheld]
        gone = [each for each in self.removals if each.gone and not each.withheld]
        texts = []
        if kept:
            points, first = sum(sum(each.kept.values()) for each in kept), _first(kept, self.state)
            texts.append(
                f"the source no longer shows {counted(points, 'point')} of {counted(len(kept), 'window')} ({first}): "
                "they are kept, and recorded as kept. A run after this one is complete with them; vanished: follow removes them"
            )
        if gone:
            points = sum(sum(each.gone.values()) for each in gone)
            texts.append(
                f"neither at the source nor at the destination any more: {counted(points, 'point')} of "
                f"{counted(len(gone), 'window')} ({_first(gone, self.state)}); they could not be copied again"
            )
        return texts


def _unread_text(removal: Removal) -> str:
    return f"{removal.key}: what the destination holds of it could not be read: {removal.unread}: nothing was written; run again"


def _refused_text(removal: Removal) -> str:
    points = sum(removal.removed.values())
    return f"{counted(points, 'point')} of {removal.key} would be removed without being replaced: nothing was removed; run again"


def _first(removals: list[Removal], state: JobRun) -> str:
    """Return the first series and windows, by name."""
    names = []
    for each in removals[:_NAMED]:
        series = next(iter({**each.removed, **each.kept, **each.gone}))
        names.append(f"{titles(state.state_dir, [series])} {each.key.range}")
    rest = len(removals) - _NAMED
    return "; ".join(names) + (f"; and {rest:,} more" if rest > 0 else "")


def _plus(one: Outcome, other: Outcome) -> Outcome:
    names = {*one.counters, *other.counters}
    counters: dict[str, Any] = {name: one.counters.get(name, 0) + other.counters.get(name, 0) for name in names}
    return Outcome(
        counters,
        one.stopped or other.stopped,
        (*one.lost, *other.lost),
        {name: _sum(one.found.get(name, {}), other.found.get(name, {})) for name in {*one.found, *other.found}},
        one.exceeded or other.exceeded,
        one.given_up or other.given_up,
    )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {*one, *other}}
