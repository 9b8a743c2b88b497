"""Check whether a run has brought as many points as the service counted when the run was planned.

The plan knows how many points each series has in the ranges that it covers. Responses that leave some of them out, steadily
and plausibly, are found by adding up what is recorded. Before a window is found short the service is asked again: points may
have been deleted since, and a plan may be days old.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import orjson

from omnia_beam.beam.execution import Outcome
from omnia_beam.core.errors import CredentialError, IncompleteReadError, ServiceError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.ledger.failures import failure_file
from omnia_beam.ledger.index import PARTIAL
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.table import RECEIPT
from omnia_beam.pipelines.work_plan import WorkPlan, for_other_clocks
from omnia_beam.plan.counting import Count, inner
from omnia_beam.plan.plan import Counted

_log = logging.getLogger(__name__)
_ANNOUNCED_AT_ONCE: Final = 1_000


@dataclass
class _Held:
    """What is recorded of one counted range.

    Args:
        counted: the range, with what was counted.
        points: recorded, by series; more than lie in it where a window reaches beyond it.
        windows: recorded windows that overlap it.
    """

    counted: Counted
    points: dict[str, int] = field(default_factory=dict)
    windows: list[Receipt] = field(default_factory=list)


def audit_counts(
    state: JobRun,
    series_ids: Collection[str],
    work: WorkPlan,
    outcome: Outcome,
    count: Count,
    *,
    elsewhere: int = 0,
) -> list[WindowFailure]:
    """Compare what is recorded with what was counted; windows that hold less than the service counts now are missing again.

    It costs no request where the sums agree.

    Args:
        state: the job's, after the run.
        series_ids: of the run.
        work: the plan that was carried out, with the counts that were made for it. Windows that were announced and never
            replaced have no count, perhaps because they were short: they are counted here.
        outcome: of the run.
        count: requests the count from the service again.
        elsewhere: points that arrived and are not in receipts: dead letters, of all series together.

    Returns:
        The windows that hold less, reported as the run's failures and announced in the ledger as to be replaced.

    Raises:
        StateError: the ledger cannot be read or written.
    """
    planned = work.plan.counted if len(work.plan) else ()
    read = outcome.counters.get("points_read", 0)
    if not work.again and read == sum(sum(each.points.values()) for each in planned):
        return []
    counted = [*planned, *(_counted_again(group, windows, count) for group, windows in _groups(work.broken))]
    if not counted:
        return []
    ledger = state.reload()
    short = [
        failure
        for held in _held(ledger, state.scope.digest, counted, frozenset(series_ids))
        for failure in _short_windows(held, _settled(ledger, state, held.counted), count, elsewhere)
    ]
    _report(state, short)
    return short


def _groups(windows: Sequence[Window]) -> Iterator[tuple[tuple[str, ...], list[Window]]]:
    groups: dict[tuple[str, ...], list[Window]] = {}
    for window in windows:
        groups.setdefault(window.key.series_ids, []).append(window)
    yield from groups.items()


def _counted_again(series_ids: tuple[str, ...], windows: Sequence[Window], count: Count) -> Counted:
    reach = TimeRange(min(w.key.range.start_ns for w in windows), max(w.key.range.end_ns for w in windows))
    return Counted(reach, _counted_now(series_ids, reach, count))


def _held(ledger: Ledger, scope: str, counted: Sequence[Counted], requested: frozenset[str]) -> list[_Held]:
    held = [
        _Held(Counted(each.range, {s: n for s, n in each.points.items() if n and s in requested})) for each in counted
    ]
    index = ledger.index
    flags = (index.kind == RECEIPT) & (index.state >= PARTIAL)
    flags &= index.scope == (index.scopes.index(scope) if scope in index.scopes else -1)
    flags &= index.start < max(each.range.end_ns for each in counted)
    flags &= index.end > min(each.range.start_ns for each in counted)
    for recorded in ledger.recorded(flags):
        receipt = recorded.receipt
        for each in held:
            if not receipt.key.range.overlaps(each.counted.range):
                continue
            mine = [series for series in receipt.series if series.series_id in each.counted.points]
            for series in mine:
                each.points[series.series_id] = each.points.get(series.series_id, 0) + series.count
            if mine:
                each.windows.append(receipt)
    return held


def _settled(ledger: Ledger, state: JobRun, counted: Counted) -> frozenset[str]:
    """Return the series of which all of the range is recorded; the others are known to be incomplete without an audit."""
    missing = ledger.missing(state.scope.digest, counted.points, counted.range)
    return frozenset(counted.points).difference(*(ids for ids, _ in missing)) if missing else frozenset(counted.points)


def _short_windows(held: _Held, settled: frozenset[str], count: Count, elsewhere: int) -> Iterator[WindowFailure]:
    suspects = [s for s in sorted(settled) if held.points.get(s, 0) + elsewhere < held.counted.points[s]]
    if not suspects or not inner(held.counted.range):
        return
    now = _counted_now(suspects, held.counted.range, count)
    # A series that the count leaves out may still have its points: the plan's count is used.
    short = {s: now.get(s, held.counted.points[s]) for s in suspects}
    short = {s: points for s, points in short.items() if held.points.get(s, 0) + elsewhere < points}
    if not short:
        return
    found = [each for each in held.windows if _is_short(each, short, count, elsewhere)]
    for receipt in found or held.windows:
        ids = [s.series_id for s in receipt.series if s.series_id in short]
        if ids:
            points = held.points.get(ids[0], 0)
            error = IncompleteReadError(
                f"{receipt.key}: of {ids[0]} the service counts {short[ids[0]]} points in {held.counted.range} and has sent "
                f"{points}: the window is read again by the next run",
                expected=short[ids[0]],
                received=points,
            )
            yield WindowFailure.of(receipt.key, error)


def _is_short(receipt: Receipt, short: Mapping[str, int], count: Count, elsewhere: int) -> bool:
    stored = {each.series_id: each.count for each in receipt.series if each.series_id in short}
    if not stored or not inner(receipt.key.range):
        return False
    now = _counted_now(sorted(stored), receipt.key.range, count)
    return any(now.get(series_id, 0) > points + elsewhere for series_id, points in stored.items())


def _counted_now(series_ids: Sequence[str], requested: TimeRange, count: Count) -> dict[str, int]:
    counts: dict[str, int] = {}
    rest = iter(series_ids)
    while (some := tuple(islice(rest, MAX_SERIES_PER_REQUEST))) and inner(requested):
        try:
            counts |= count(some, inner(requested))
        except (ServiceError, CredentialError, IncompleteReadError) as error:
            _log.warning(
                "%s: the count could not be requested again, and the plan's count is used: %s", requested, error
            )
    return counts


def _report(state: JobRun, failures: Sequence[WindowFailure]) -> None:
    """Record the windows as missing in the ledger, and as failures in the run's report."""
    keys: dict[ChunkKey, WindowFailure] = {each.key: each for each in failures}
    if not keys:
        return
    with for_other_clocks(state).writer() as writer:
        rest = iter(keys)
        while some := tuple(islice(rest, _ANNOUNCED_AT_ONCE)):
            writer.intend(*some)
    lines = b"".join(orjson.dumps(each.to_json()) + b"\n" for each in keys.values())
    state.state_dir.write(f"runs/{failure_file(state.run_id)}", lines)
