"""Compare a destination with the ledger, and with the source: by fingerprint first, then by point where those differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from omnia_beam.core.chunk import NO_POINTS, Points
from omnia_beam.core.errors import CredentialError, IncompleteReadError, ServiceError, UsageError
from omnia_beam.core.fingerprint import Fingerprint, describe_change
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.difference import Difference
from omnia_beam.io.observer import Destination, Observation
from omnia_beam.io.window_reading import WindowPrints, WindowSource, failure_text, fingerprints_apart
from omnia_beam.ledger.ledger import Ledger, RecordedReceipt
from omnia_beam.ledger.queries import missing_of_source
from omnia_beam.pipelines.verify.comparison import Comparison
from omnia_beam.pipelines.verify.coverage import DONE, EMPTY, MISSING, CoverageGrid
from omnia_beam.pipelines.verify.difference_log import DifferenceLog
from omnia_beam.pipelines.verify.points import compare_points

_NOT_COVERED: Final = "was never copied, or its replacement was not finished"
_NO_STATUSES: Final = "The files of this job hold no statuses: times and values were compared, statuses were not."
_VALUES_UNKNOWN: Final = (
    "the files hold no statuses, and a receipt's fingerprint is of points of several statuses: run verify --source to compare "
    "their values with the source"
)
_BY_WINDOW: Final = "Differences are by window, not by point: a fingerprint shows that a window differs, and the source"
_BATCH_SERIES: Final = 50_000
"""Series-windows compared at a time, which take some 50 MB of fingerprints."""


@dataclass(frozen=True)
class Examination:
    """A comparison of a destination with its reference.

    Args:
        ledger, scope, sink: whose receipts are compared.
        series_ids, wanted: what the destination should hold.
        destination: what it does hold.
        source: reads the source, as the destination should hold it; None where it cannot be read.
        against_source: compare with the source too.
        vanished: series that were copied and that the source does not hold now: only their receipts are compared.
        only: returns whether to compare a receipt; for the comparison after a repair.
        log: where every difference is written; None for nowhere.
        on_window: called with the number of points of each window of the destination that has been compared.
    """

    ledger: Ledger
    scope: str
    sink: str
    series_ids: tuple[str, ...]
    wanted: TimeRange
    destination: Destination
    source: WindowSource | None = None
    against_source: bool = False
    vanished: frozenset[str] = frozenset()
    only: Callable[[RecordedReceipt], bool] = lambda recorded: True
    log: DifferenceLog | None = None
    on_window: Callable[[int], None] = lambda points: None

    def run(self) -> Comparison:
        """Compare everything, and return the findings.

        Raises:
            StateError: the ledger cannot be read.
            DestinationError: the destination cannot be listed or read at all.
            CredentialError, ServiceError: a service that has to be read cannot be.
        """
        return _Run(self).findings.finish()


@dataclass(frozen=True, slots=True)
class _Claim:
    """A receipt to compare with the destination, without the series whose replacement was announced and not finished."""

    receipt: Receipt
    announced: frozenset[str]


class _Run:
    """One run of an examination."""

    def __init__(self, examination: Examination) -> None:
        self._e = examination
        self._asked = set(examination.series_ids)
        self._source_fails = ""
        grid = CoverageGrid(examination.series_ids, examination.wanted)
        self.findings = Comparison(grid, log=examination.log)
        self._coverage()
        self._surplus()
        if not examination.destination.holds_statuses:
            self.findings.limits.append(_NO_STATUSES)
        for batch in _batches(self._receipts()):
            self._compare(batch)
        self._checksums()

    def _coverage(self) -> None:
        e = self._e
        for series_ids, holes in missing_of_source(e.ledger, e.scope, e.series_ids, e.wanted, e.vanished):
            for hole in holes:
                for series_id in series_ids:
                    self.findings.add(Difference("not_covered", _NOT_COVERED, series_id, hole))
                    self.findings.grid.mark(series_id, hole, MISSING)

    def _surplus(self) -> None:
        e = self._e
        live = e.ledger.live_files(e.sink) | e.ledger.doubtful_files(e.sink)
        found = e.destination.surplus(live)
        for stray in found.strays:
            self.findings.add(stray.difference)
            self.findings.strays.append(stray)
        for other in found.others:
            self.findings.add(other)
        self.findings.foreign_files = found.foreign
        if found.foreign:
            self.findings.note(f"Not examined: {counted(found.foreign, 'file')} of other jobs in the same destination.")

    def _checksums(self) -> None:
        unchecked, files = self.findings.unchecked_files, self.findings.files
        if unchecked:
            self.findings.note(
                f"Without page checksums: {unchecked:,} of {counted(files, 'file')}. Other readers than verify take a flipped bit "
                "in them for a value. Files that are written from now on have them."
            )

    def _receipts(self) -> Iterator[_Claim]:
        for recorded in self._e.ledger.receipts(self._e.scope):
            key = recorded.receipt.key
            if not key.range.overlaps(self._e.wanted) or self._asked.isdisjoint(key.series_ids):
                continue
            if not self._e.only(recorded):
                self._mark(recorded.receipt)
                continue
            announced = self._announced(recorded)
            if announced is None:
                self._replaced_in_part(recorded)
            else:
                yield _Claim(recorded.receipt, announced)

    def _announced(self, recorded: RecordedReceipt) -> frozenset[str] | None:
        """Return the series that count no more, since they are about to be replaced: they are reported as not covered.

        None means that a later copy has replaced a part of the receipt, and may hold the same points.
        """
        announced = []
        whole = recorded.receipt.key.range
        for series_id, known in recorded.counted.items():
            if known.covers(whole):
                continue
            ledger = self._e.ledger
            if known or any(ledger.coverage(each, series_id).intersect(whole) for each in ledger.known_scopes):
                return None
            announced.append(series_id)
        return frozenset(announced)

    def _replaced_in_part(self, recorded: RecordedReceipt) -> None:
        receipt = recorded.receipt
        text = f"a later copy holds a part of this window too: {len(receipt.series):,} series may have points twice"
        where = receipt.series[0].series_id, receipt.key.range
        self.findings.add(Difference("replaced_in_part", text, *where, points=receipt.count))
        self.findings.concern(receipt.key)

    def _mark(self, receipt: Receipt) -> None:
        for series in receipt.series:
            self.findings.grid.mark(series.series_id, receipt.key.range, DONE if series.count else EMPTY)

    def _compare(self, claims: Sequence[_Claim]) -> None:
        receipts = [each.receipt for each in claims]
        source = self._source_prints(receipts)
        for claim, observation in zip(claims, self._observed(receipts), strict=True):
            receipt = claim.receipt
            self._mark(receipt)
            self.findings.windows += 1
            self.findings.points += observation.count
            self.findings.files += len(receipt.files)
            self.findings.unchecked_files += observation.unchecked_files
            self._e.on_window(observation.count)
            if observation.failure:
                self._not_compared(receipt, receipt.key.series_ids, f"the destination: {observation.failure}")
                continue
            failure = source.failures.get(receipt.key, "")
            if failure:  # the receipt still shows what was stored, and whether it is damaged
                self._not_compared(receipt, receipt.key.series_ids, f"the source: {failure_text(failure)}")
            self._compare_one(claim, observation, source)

    def _observed(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        try:
            yield from self._e.destination.observe(receipts)
        except (ServiceError, CredentialError) as error:
            if not self.findings.windows:
                raise
            # After the first window the rest counts as not compared; `zip` takes as many as are left.
            while True:
                yield Observation(failure=str(error))

    def _source_prints(self, receipts: Sequence[Receipt]) -> WindowPrints:
        if not self._e.against_source or self._e.source is None:
            return WindowPrints({})
        try:
            windows = [(each.key, each.count) for each in receipts]
            found = fingerprints_apart(self._e.source.fingerprints, windows)
        except (ServiceError, CredentialError) as error:
            if not self.findings.windows:
                raise
            return WindowPrints({}, {each.key: str(error) for each in receipts})
        self.findings.source_points += sum(each.count for prints in found.prints.values() for each in prints.values())
        return found

    def _not_compared(self, receipt: Receipt, series_ids: Sequence[str], failure: str) -> None:
        text = f"{len(series_ids):,} series: {failure}"
        self.findings.add(Difference("not_compared", text, series_ids[0], receipt.key.range), series_ids=series_ids)
        self.findings.unread.setdefault(receipt.key, failure)

    def _compare_one(self, claim: _Claim, observation: Observation, source: WindowPrints) -> None:
        receipt = claim.receipt
        recorded = {each.series_id: each.fingerprint for each in receipt.series}
        requested = {
            each: found for each, found in source.prints.get(receipt.key, {}).items() if each not in self._e.vanished
        }
        stored = {each.series_id: each.target_id for each in receipt.series}
        self.findings.targets.update((one, other) for one, other in stored.items() if one != other)
        named = set(stored.values())
        found = {series_id: observation.prints.get(target, Fingerprint()) for series_id, target in stored.items()}
        found |= {other: prints for other, prints in observation.prints.items() if other not in named}
        skip = self._unread_series(receipt, observation, source) | claim.announced
        for problem in observation.problems:
            self.findings.add(problem, series_ids=receipt.key.series_ids)
        expected = recorded | requested
        differing, by_point = [], []
        self.findings.kept_points += sum(each.points for each in receipt.kept)
        for series_id, there in found.items():
            if series_id in skip:
                continue
            should = expected.get(series_id, Fingerprint())
            self.findings.count_series(series_id, should, there)
            if should == there:
                if series_id in requested and self._e.destination.holds_statuses and recorded[series_id] != should:
                    self._wrong_receipt(receipt, series_id)
            elif series_id in requested and self._differs_by_kept_points(receipt, series_id, should):
                continue
            elif series_id not in requested and self._hides_statuses(should, there):
                by_point.append(series_id)
            else:
                differing.append(series_id)
        if observation.problems or differing:
            self.findings.concern(receipt.key, differing)
        if observation.problems:  # a missing or unreadable file explains what differs
            return
        self._compare_values(receipt, by_point, stored)
        self._differing(receipt, differing, expected, found, stored)

    def _hides_statuses(self, should: Fingerprint, there: Fingerprint) -> bool:
        """Return whether fingerprints may differ by statuses alone, which the files do not hold."""
        if self._e.destination.holds_statuses or len(should.statuses) < 2:
            return False
        return (should.count, should.first_ns, should.last_ns) == (there.count, there.first_ns, there.last_ns)

    def _compare_values(self, receipt: Receipt, series_ids: Sequence[str], stored: Mapping[str, str]) -> None:
        """Compare times and values with the source: a receipt's fingerprint includes statuses, and these files hold none."""
        if not series_ids:
            return
        truth = self._source_points(receipt.key, series_ids)
        if truth is None:
            self._not_compared(receipt, series_ids, _VALUES_UNKNOWN)
            return
        there = self._e.destination.points(receipt, {stored[each] for each in series_ids})
        for series_id in series_ids:
            expected, found = truth.get(series_id, NO_POINTS), there.get(stored[series_id], NO_POINTS)
            comparison = compare_points(expected, found)
            if comparison.count:
                self.findings.add_points(series_id, receipt.key.range, expected, found, comparison)
                self.findings.concern(receipt.key, [series_id])

    def _unread_series(self, receipt: Receipt, observation: Observation, source: WindowPrints) -> frozenset[str]:
        """Report a window's series that could not be read, and those that no longer exist; return what is not to be compared."""
        there = {each.series_id: observation.series_failures.get(each.target_id) for each in receipt.series}
        unread = {series_id: f"the destination: {why}" for series_id, why in there.items() if why}
        for why in dict.fromkeys(unread.values()):
            self._not_compared(receipt, [each for each, other in unread.items() if other == why], why)
        failing = source.series_failures.get(receipt.key, {})
        in_source = {each: why for each, why in failing.items() if each not in self._e.vanished}
        for why in dict.fromkeys(in_source.values()):
            self._not_compared(
                receipt, [each for each, other in in_source.items() if other == why], f"the source: {failure_text(why)}"
            )
        for series in receipt.series:
            if series.target_id in observation.gone:
                self.findings.gone.add(series.series_id)
        if not self._e.destination.holds_statuses:  # a receipt cannot replace what the source did not give
            unread |= in_source | dict.fromkeys(receipt.key.series_ids if receipt.key in source.failures else (), "")
        return frozenset(unread)

    def _differs_by_kept_points(self, receipt: Receipt, series_id: str, source: Fingerprint) -> bool:
        """Return whether the destination holds what the source shows, and besides it only points that are recorded as kept."""
        ranges = [each.range for each in receipt.kept if each.series_id == series_id]
        truth = self._source_points(receipt.key, [series_id]) if ranges and source.count else {}
        if not ranges or truth is None:
            return False
        target = next(each.target_id for each in receipt.series if each.series_id == series_id)
        shown = truth.get(series_id, NO_POINTS)
        found = self._e.destination.points(receipt, {target}).get(target, NO_POINTS)
        kept = np.zeros(len(found.times), bool)
        for part in ranges:
            kept |= (found.times >= part.start_ns) & (found.times < part.end_ns)
        kept &= ~np.isin(found.times, shown.times)
        return not compare_points(shown, found.take(~kept)).count

    def _wrong_receipt(self, receipt: Receipt, series_id: str) -> None:
        text = "the destination holds the points of the source, and the receipt differs from them"
        self.findings.add(Difference("wrong_receipt", text, series_id, receipt.key.range))
        self.findings.concern(receipt.key, [series_id])

    def _differing(
        self,
        receipt: Receipt,
        differing: Sequence[str],
        expected: Mapping[str, Fingerprint],
        found: Mapping[str, Fingerprint],
        stored: Mapping[str, str],
    ) -> None:
        look = [each for each in differing if found[each].count]
        for series_id in (each for each in differing if not found[each].count):
            self.findings.add_empty(series_id, receipt.key.range, expected[series_id].count)
        if not look:
            return
        # Of a series that is gone the source shows nothing: its points can only be compared with the receipt, as a whole.
        gone = self._e.vanished
        known = [each for each in look if expected.get(each, Fingerprint()).count and each not in gone]
        there = self._points(receipt, {stored.get(each, each) for each in look})
        if there is None:
            for series_id in look:
                self._changed_window(receipt, series_id, expected.get(series_id, Fingerprint()), found[series_id])
            return
        truth = self._source_points(receipt.key, known) if known else {}
        for series_id in look:
            points = there.get(stored.get(series_id, series_id), NO_POINTS)
            if series_id in gone or (series_id in known and truth is None):
                self._changed_window(receipt, series_id, expected.get(series_id, Fingerprint()), found[series_id])
            else:
                self._name_points(receipt, series_id, (truth or {}).get(series_id, NO_POINTS), points)

    def _points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points] | None:
        """Return the destination's points of some series in one window; None where they cannot be read a second time."""
        try:
            return self._e.destination.points(receipt, stored_ids)
        except (IncompleteReadError, ServiceError, CredentialError) as error:
            self.findings.note(
                f"A window of the destination could not be read again; its differences are by window: {error}"
            )
            return None

    def _source_points(self, key: ChunkKey, series_ids: Sequence[str]) -> dict[str, Points] | None:
        """Return the source's points of some series in one window; None where it does not give them."""
        if self._e.source is None:
            self.findings.note(f"{_BY_WINDOW} cannot be read.")
            return None
        if self._source_fails:
            return None
        try:
            return self._e.source.points(ChunkKey(tuple(series_ids), key.range))
        except IncompleteReadError as error:  # only this window is affected
            self.findings.note(f"A window of the source could not be read; its differences are by window: {error}")
            return None
        except (ServiceError, CredentialError, UsageError) as error:
            self._source_fails = str(error)
            self.findings.note(f"{_BY_WINDOW} does not respond. Run verify again when it does. ({error})")
            return None

    def _changed_window(self, receipt: Receipt, series_id: str, expected: Fingerprint, found: Fingerprint) -> None:
        text = f"differs from what was stored: {describe_change(expected, found)}"
        self.findings.add(Difference("changed_window", text, series_id, receipt.key.range, points=found.count))

    def _name_points(self, receipt: Receipt, series_id: str, expected: Points, found: Points) -> None:
        comparison = compare_points(expected, found)
        if comparison.count:
            self.findings.add_points(series_id, receipt.key.range, expected, found, comparison)
        else:  # the destination holds what the source has now, and the receipt is outdated
            self._wrong_receipt(receipt, series_id)


def _batches(claims: Iterator[_Claim]) -> Iterator[list[_Claim]]:
    batch, size = list[_Claim](), 0
    for claim in claims:
        batch.append(claim)
        size += len(claim.receipt.series)
        if size >= _BATCH_SERIES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
