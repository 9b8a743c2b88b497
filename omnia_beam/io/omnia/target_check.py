"""Check at the end of a run whether the target series of a service exist, and whether they hold what is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST, TIME_RESOLUTION_NS
from omnia_beam.core.receipt import SeriesReceipt
from omnia_beam.core.text import counted
from omnia_beam.core.timestamps import MAX_TIME_NS
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import DestinationCheck, Removal, RunReach
from omnia_beam.ledger.facts import joined_receipt, prior_records, receipts_of_range
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.net.api.operations import DELETE_DATA
from omnia_beam.net.api.raw_data import outward, probe_ranges
from omnia_beam.net.http.session import ServiceSession

_NAMED: Final = 5


@dataclass
class _Recorded:
    """What the receipts record of one target series.

    Args:
        source_id: the series of which it is the copy.
        points: recorded; `exact` is whether all of the receipts count whole.
        first_ns, last_ns: of the recorded points.
        windows: the windows that it is in, with their points over all series.
    """

    source_id: str
    points: int = 0
    exact: bool = True
    first_ns: int | None = None
    last_ns: int | None = None
    windows: dict[ChunkKey, int] = field(default_factory=dict)

    def add(self, key: ChunkKey, count: int, stored: SeriesReceipt, whole: bool) -> None:
        self.windows[key] = count
        self.exact &= whole
        self.points += stored.count
        if stored.first_ns is not None and stored.last_ns is not None:
            self.first_ns = stored.first_ns if self.first_ns is None else min(self.first_ns, stored.first_ns)
            self.last_ns = stored.last_ns if self.last_ns is None else max(self.last_ns, stored.last_ns)

    def range(self, *, counted: bool) -> tuple[int, int]:
        """Return `[start, end)` to ask for, ns: all of the recorded points, or one tick where only existence is checked."""
        if self.first_ns is None or self.last_ns is None:
            return 0, TIME_RESOLUTION_NS
        end = self.last_ns + 1 if counted else self.first_ns + 1
        return self.first_ns, min(end, MAX_TIME_NS)


def check_service(
    ledger: Ledger, session: ServiceSession, run_reach: RunReach, targets: Mapping[str, str], *, counted: bool
) -> DestinationCheck:
    """Compare the target series with the receipts: existence, and counts if `counted`. It takes a request for a hundred series.

    Args:
        ledger: as it is now.
        session: of the target.
        run_reach: what the run is responsible for.
        targets: by source id, the id of the series that its points go to now.
        counted: whether to compare counts too.

    Raises:
        ServiceError: the service cannot be asked.
        StateError: the ledger cannot be read.
    """
    recorded, lost, renamed = _recorded(ledger, run_reach, targets)
    found = _asked(session, recorded, counted)
    gone, less, more = [], [], []
    for target_id, each in recorded.items():
        there = found[target_id]
        if there is None:
            gone.append(each.source_id)
            lost |= each.windows
        elif counted and there < each.points and each.exact:
            less.append(f"{each.source_id} ({there:,} of {each.points:,} points)")
            lost |= each.windows
        elif counted and there > each.points and each.exact:
            more.append(f"{each.source_id} ({there:,} points, {each.points:,} of them recorded)")
    url = session.settings.base_url
    texts = [
        f"{url}: {len(names):,} target series {what}: {_named(names)}"
        for what, names in (
            ("no longer exist", gone),
            ("were deleted and created again", renamed),
            ("hold less than was written", less),
        )
        if names
    ]
    warnings = []
    if more:
        warnings.append(
            f"{url}: {len(more):,} target series hold more points than this job has written: {_named(more)}; others write there "
            "too, or wrote there before"
        )
    return DestinationCheck(lost, tuple(texts), tuple(warnings))


def erase_points(session: ServiceSession, ledger: Ledger, sink: str, removals: Iterable[Removal]) -> list[str]:
    """Delete what the job wrote of some series in some windows, unless others have written there too.

    Args:
        session: of the target.
        ledger, sink: with the receipts of the windows.
        removals: each is written again afterwards; `removed` names the series.

    Returns:
        Why series could not be erased, a text each: nothing at all is deleted then.

    Raises:
        ServiceError: the service cannot be asked. What is deleted by then counts as missing, and is written again.
    """
    run_reach = list(removals)
    prior = prior_records(ledger, sink, [each.key for each in run_reach])
    stored = [
        (each, series, (series.first_ns, series.last_ns + 1))
        for each in run_reach
        if each.key in prior
        for series in joined_receipt(each.key, [record.receipt for record in prior[each.key]]).series
        if series.series_id in each.removed and series.first_ns is not None and series.last_ns is not None
    ]
    problems = [
        f"{session.settings.base_url}: {series_id} {each.key.range}: the source no longer has {counted(count, 'point')} that the "
        "target holds there. The window had to be read in parts, so that it is not known which of them this job wrote: nothing was "
        "removed. Delete by hand what is not wanted there, or set max_chunk_points higher, and run again"
        for each in run_reach
        if each.key not in prior
        for series_id, count in each.removed.items()
    ]
    for each, series, bounds in stored:
        there = probe_ranges(session, {series.target_id: bounds})
        if (there[series.target_id] or 0) > series.count:
            problems.append(
                f"{session.settings.base_url}: {series.series_id} {each.key.range}: the source no longer has "
                f"{each.removed[series.series_id]:,} of its points, and others have written there too: nothing was removed. "
                "Delete by hand what is not wanted there, and run again"
            )
    if not problems:
        for _, series, bounds in stored:
            start, end = outward(*bounds)
            DELETE_DATA.send_delete(session, series.target_id, params=[("startTime", start), ("endTime", end)])
    return problems


def _recorded(
    ledger: Ledger, run_reach: RunReach, targets: Mapping[str, str]
) -> tuple[dict[str, _Recorded], dict[ChunkKey, int], list[str]]:
    """Return what is recorded of each target series, the windows whose target is another one now, and the series of those."""
    recorded = {target_id: _Recorded(source_id) for source_id, target_id in targets.items()}
    lost: dict[ChunkKey, int] = {}
    renamed: dict[str, None] = {}
    for each in receipts_of_range(ledger, run_reach.scope, run_reach.sink, run_reach.wanted):
        if not run_reach.concerns(each):
            continue
        receipt = each.receipt
        for stored in receipt.series:
            now = targets.get(stored.series_id)
            if now is None:
                continue
            if now.lower() != stored.target_id.lower():
                if stored.count:
                    lost[receipt.key] = receipt.count
                    renamed[stored.series_id] = None
                continue
            recorded[now].add(receipt.key, receipt.count, stored, each.whole)
    return recorded, lost, list(renamed)


def _asked(session: ServiceSession, recorded: Mapping[str, _Recorded], counted: bool) -> dict[str, int | None]:
    ranges = {target_id: each.range(counted=counted) for target_id, each in recorded.items()}
    found: dict[str, int | None] = {}
    with ThreadPoolExecutor(session.settings.max_in_flight, thread_name_prefix="omnia-look") as pool:
        for counts in pool.map(lambda part: probe_ranges(session, dict(part)), _batches(ranges.items())):
            found |= counts
    return found


def _batches(items: Iterable[tuple[str, tuple[int, int]]]) -> Iterator[list[tuple[str, tuple[int, int]]]]:
    rest = iter(items)
    while batch := list(islice(rest, MAX_SERIES_PER_REQUEST)):
        yield batch


def _named(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
