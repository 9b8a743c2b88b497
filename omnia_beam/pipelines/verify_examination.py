"""Compare a destination with the ledger, and with the source: by fingerprint first, then by point where those differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from omnia_beam.core.chunk import NO_POINTS, Points
from omnia_beam.core.errors import CredentialError, IncompleteReadError, ServiceError, UsageError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.ledger import Ledger, RecordedReceipt
from omnia_beam.pipelines.verify_coverage import DONE, EMPTY, MISSING, CoverageGrid
from omnia_beam.pipelines.verify_destination import Destination, Observation
from omnia_beam.pipelines.verify_difference import Difference
from omnia_beam.pipelines.verify_findings import Findings
from omnia_beam.pipelines.verify_fingerprint import Fingerprint
from omnia_beam.pipelines.verify_points import compare_points
from omnia_beam.pipelines.verify_reading import WindowPrints, WindowSource

_NOT_COVERED: Final = "was never copied, or its replacement was not finished"
_BATCH_SERIES: Final = 50_000
"""Series-windows compared at a time: some 50 MB of fingerprints."""


@dataclass(frozen=True)
class Examination:
    """What is compared with what.

    Args:
        ledger, scope, sink: whose receipts.
        series_ids, wanted: what the destination should hold.
        destination: what it does hold.
        source: reads the source, as the destination should hold it; None where it cannot be read.
        against_source: compare with the source and not only with the receipts.
        only: which receipts to look at; for the look after a repair.
        on_window: told the points of each window of the destination that has been looked at.
    """

    ledger: Ledger
    scope: str
    sink: str
    series_ids: tuple[str, ...]
    wanted: TimeRange
    destination: Destination
    source: WindowSource | None = None
    against_source: bool = False
    only: Callable[[RecordedReceipt], bool] = lambda recorded: True
    on_window: Callable[[int], None] = lambda points: None

    def run(self) -> Findings:
        """Compare everything.

        Raises:
            StateError: the ledger cannot be read.
            DestinationError: the destination cannot be listed or read at all.
            CredentialError, ServiceError: a service that has to be read cannot be.
        """
        return _Run(self).findings.finish()


class _Run:
    """One run of an examination."""

    def __init__(self, examination: Examination) -> None:
        self._e = examination
        self._asked = set(examination.series_ids)
        self._source_fails = ""
        self.findings = Findings(CoverageGrid(examination.series_ids, examination.wanted))
        self._coverage()
        self._strays()
        for batch in _batches(self._receipts()):
            self._compare(batch)

    def _coverage(self) -> None:
        e = self._e
        for series_ids, holes in e.ledger.missing(e.scope, e.series_ids, e.wanted):
            for hole in holes:
                for series_id in series_ids:
                    self.findings.add(Difference("not_covered", _NOT_COVERED, series_id, hole))
                    self.findings.grid.mark(series_id, hole, MISSING)

    def _strays(self) -> None:
        e = self._e
        live = e.ledger.live_files(e.sink) | e.ledger.doubtful_files(e.sink)
        found, self.findings.foreign_files = e.destination.strays(live)
        for stray in found:
            self.findings.add(stray)
            self.findings.strays.append(stray.file)

    def _receipts(self) -> Iterator[Receipt]:
        for recorded in self._e.ledger.receipts(self._e.scope):
            key = recorded.receipt.key
            if not key.range.overlaps(self._e.wanted) or self._asked.isdisjoint(key.series_ids):
                continue
            if not self._e.only(recorded):
                self._mark(recorded.receipt)
                continue
            if recorded.is_whole:
                yield recorded.receipt
            else:
                self._replaced_in_part(recorded)

    def _replaced_in_part(self, recorded: RecordedReceipt) -> None:
        receipt = recorded.receipt
        text = (
            f"a later copy holds a part of this window too: points of {len(receipt.series):,} series may be there twice"
        )
        first = receipt.series[0].series_id
        self.findings.add(Difference("replaced_in_part", text, first, receipt.key.range, points=receipt.count))
        self.findings.concerned.add(receipt.key)

    def _mark(self, receipt: Receipt) -> None:
        for series in receipt.series:
            self.findings.grid.mark(series.series_id, receipt.key.range, DONE if series.count else EMPTY)

    def _compare(self, receipts: Sequence[Receipt]) -> None:
        source = self._source_prints(receipts)
        for receipt, observation in zip(receipts, self._e.destination.observe(receipts), strict=True):
            self._mark(receipt)
            self.findings.windows += 1
            self.findings.points += observation.count
            self.findings.files += len(receipt.files)
            self._e.on_window(observation.count)
            failure = observation.failure or source.failures.get(receipt.key, "")
            if failure:
                self._not_compared(receipt, failure)
            else:
                self._compare_one(receipt, observation, source.prints.get(receipt.key))

    def _source_prints(self, receipts: Sequence[Receipt]) -> WindowPrints:
        if not self._e.against_source or self._e.source is None:
            return WindowPrints({})
        found = self._e.source.fingerprints([(each.key, each.count) for each in receipts])
        self.findings.source_points += sum(each.count for prints in found.prints.values() for each in prints.values())
        return found

    def _not_compared(self, receipt: Receipt, failure: str) -> None:
        text = f"{len(receipt.series):,} series: {failure}"
        ids = receipt.key.series_ids
        self.findings.add(Difference("not_compared", text, ids[0], receipt.key.range), series_ids=ids)

    def _compare_one(
        self, receipt: Receipt, observation: Observation, source: Mapping[str, Fingerprint] | None
    ) -> None:
        recorded = {each.series_id: Fingerprint.of_receipt(each) for each in receipt.series}
        expected = recorded if source is None else source
        stored = {each.series_id: each.target_id for each in receipt.series}
        named = set(stored.values())
        found = {series_id: observation.prints.get(target, Fingerprint()) for series_id, target in stored.items()}
        found |= {other: prints for other, prints in observation.prints.items() if other not in named}
        for problem in observation.problems:
            self.findings.add(problem, series_ids=receipt.key.series_ids)
        differing = []
        self.findings.kept_points += sum(each.points for each in receipt.kept)
        for series_id, there in found.items():
            should = expected.get(series_id, Fingerprint())
            self.findings.count_series(series_id, should, there)
            if should != there and source is not None and self._differs_by_kept_points(receipt, series_id, should):
                continue
            if should != there:
                differing.append(series_id)
            elif source is not None and recorded.get(series_id, Fingerprint()) != should:
                self._wrong_receipt(receipt, series_id)
        if observation.problems or differing:
            self.findings.concerned.add(receipt.key)
        self._differing(receipt, differing, expected, found, stored, lost_files=bool(observation.problems))

    def _differs_by_kept_points(self, receipt: Receipt, series_id: str, source: Fingerprint) -> bool:
        """Whether the destination holds what the source shows, and beside it only points that are recorded as kept."""
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
        text = "the destination holds the points of the source, and the receipt says something else"
        self.findings.add(Difference("wrong_receipt", text, series_id, receipt.key.range))
        self.findings.concerned.add(receipt.key)

    def _differing(
        self,
        receipt: Receipt,
        differing: Sequence[str],
        expected: Mapping[str, Fingerprint],
        found: Mapping[str, Fingerprint],
        stored: Mapping[str, str],
        *,
        lost_files: bool,
    ) -> None:
        if lost_files:  # that says it: what differs is what they held
            return
        look: list[str] = []
        for series_id in differing:
            if found[series_id].count:
                look.append(series_id)
            else:
                self.findings.add_empty(series_id, receipt.key.range, expected[series_id].count)
        if not look:
            return
        known = [each for each in look if expected.get(each, Fingerprint()).count]
        there = self._e.destination.points(receipt, {stored.get(each, each) for each in look})
        truth = self._source_points(receipt.key, known) if known else {}
        for series_id in look:
            points = there.get(stored.get(series_id, series_id), NO_POINTS)
            if series_id in known and truth is None:
                self._changed_window(receipt, series_id, expected[series_id], found[series_id])
            else:
                self._name_points(receipt, series_id, (truth or {}).get(series_id, NO_POINTS), points)

    def _source_points(self, key: ChunkKey, series_ids: Sequence[str]) -> dict[str, Points] | None:
        """The source's points of some series in one window; None where it does not give them."""
        if self._e.source is None:
            self.findings.note(
                "Differences are told by window, since the source cannot be read: a fingerprint says that a window differs, not "
                "which point."
            )
            return None
        if self._source_fails:
            return None
        try:
            return self._e.source.points(ChunkKey(tuple(series_ids), key.range))
        except IncompleteReadError as error:  # this window alone
            self.findings.note(f"A window of the source could not be read, its differences are told by window: {error}")
            return None
        except (ServiceError, CredentialError, UsageError) as error:
            self._source_fails = str(error)
            self.findings.note(
                "Differences are told by window, since the source does not answer: a fingerprint says that a window differs, "
                f"not which point. Run verify again when it does. ({error})"
            )
            return None

    def _changed_window(self, receipt: Receipt, series_id: str, expected: Fingerprint, found: Fingerprint) -> None:
        text = f"differs from what was stored: {describe_change(expected, found)}"
        self.findings.add(Difference("changed_window", text, series_id, receipt.key.range, points=found.count))

    def _name_points(self, receipt: Receipt, series_id: str, expected: Points, found: Points) -> None:
        comparison = compare_points(expected, found)
        if comparison.count:
            self.findings.add_points(series_id, receipt.key.range, expected, found, comparison)
            return
        # The destination holds what the source has now, and the receipt is of another time.
        self._wrong_receipt(receipt, series_id)


def describe_change(expected: Fingerprint, found: Fingerprint) -> str:
    """How two fingerprints differ, in words."""
    if expected.count != found.count:
        return f"{expected.count:,} points expected, {found.count:,} found"
    if (expected.first_ns, expected.last_ns) != (found.first_ns, found.last_ns):
        return f"from {_span(expected)} expected, from {_span(found)} found"
    if expected.statuses != found.statuses:
        return f"statuses {_statuses(expected)} expected, {_statuses(found)} found"
    return f"{expected.count:,} points, fingerprint {expected.content_hash} expected, {found.content_hash} found"


def _span(print_: Fingerprint) -> str:
    return " to ".join("nothing" if each is None else format_time(each) for each in (print_.first_ns, print_.last_ns))


def _statuses(print_: Fingerprint) -> str:
    return ", ".join(f"{status} ({count:,})" for status, count in print_.statuses)


def _batches(receipts: Iterator[Receipt]) -> Iterator[list[Receipt]]:
    batch: list[Receipt] = []
    size = 0
    for receipt in receipts:
        batch.append(receipt)
        size += len(receipt.series)
        if size >= _BATCH_SERIES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
