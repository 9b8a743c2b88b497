"""Query the ledger: which recorded windows a run reads again, how many it need not, and what was recorded lately.

A window that is read again is read as it was recorded, with the same series and the same range. So it overwrites the same
files, and no point is ever in two of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.errors import StateError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.coverage import Holes
from omnia_beam.ledger.index import DOUBTFUL, PARTIAL, WHOLE, code_of
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.table import RECEIPT, receipt_of_record


def redo_keys(
    ledger: Ledger,
    scope: str,
    sink: str,
    series_ids: Collection[str],
    wanted: TimeRange,
    refresh: TimeRange | None,
    now_ns: int,
) -> list[tuple[ChunkKey, int]]:
    """Return the recorded windows to read again, with the number of points that they held.

    They are those that meet the wanted series and range and

    - were recorded under another configuration,
    - or were read before their end had come, so that points may have been added since; also where only a clock that was
      ahead recorded it as past, and by the present one it still has not,
    - or count in part only, or no longer, because a run died while it replaced them,
    - or reach into the trailing interval that is to be refreshed.

    Args:
        ledger: as loaded at the start of the run.
        scope: digest of this run's scope.
        sink: as the receipts name it.
        series_ids, wanted: the series and range of this run.
        refresh: the trailing interval; None for no refresh.
        now_ns: the present time, ns since the Unix epoch.

    Raises:
        StateError: the ledger is damaged, or has changed since it was loaded.
    """
    index = ledger.index
    here = (index.kind == RECEIPT) & (index.sink == code_of(index.sinks, sink))
    stands = here & (index.state >= DOUBTFUL)
    other = index.scope != code_of(index.scopes, scope)
    broken = index.state < WHOLE
    meets = (index.start < wanted.end_ns) & (index.end > wanted.start_ns)
    stands &= meets & _of_series(ledger, series_ids)
    again = stands & (other | broken | (index.end > np.minimum(recorded_at(ledger, stands), now_ns)))
    if refresh is not None:
        again |= stands & (index.start < refresh.end_ns) & (index.end > refresh.start_ns)
    keys: dict[ChunkKey, int] = {}
    for _, batch in ledger.select(again, ["record"]):
        for record in batch.column("record"):
            receipt = _receipt(ledger, record.as_py())
            keys[receipt.key] = max(keys.get(receipt.key, 0), receipt.count)
    return sorted(outermost(keys).items(), key=lambda each: (each[0].range, each[0].series_ids))


def outermost(keys: Mapping[ChunkKey, int]) -> dict[ChunkKey, int]:
    """Return the keys without those that lie inside another of the same series.

    A window that was being replaced by its parts when the run died stands beside those parts. If both were read again, a part
    stored after the whole would hold points that the whole's file holds too.
    """
    found: dict[ChunkKey, int] = {}
    reached: dict[tuple[str, ...], int] = {}
    for key in sorted(keys, key=lambda key: (key.range.start_ns, -key.range.end_ns)):
        if key.range.end_ns > reached.get(key.series_ids, key.range.start_ns):
            found[key] = keys[key]
            reached[key.series_ids] = key.range.end_ns
    return found


def count_recorded(ledger: Ledger, scope: str, series_ids: Collection[str], wanted: TimeRange) -> int:
    """Count the windows under a scope that count and meet the wanted series and range."""
    index = ledger.index
    flags = (index.kind == RECEIPT) & (index.scope == code_of(index.scopes, scope)) & (index.state >= PARTIAL)
    flags &= (index.start < wanted.end_ns) & (index.end > wanted.start_ns)
    return int(np.count_nonzero(flags & _of_series(ledger, series_ids)))


def companions(ledger: Ledger, scope: str, series_ids: Collection[str]) -> frozenset[str]:
    """Return the other series of the recorded windows that hold some series: such a window is read again as a whole."""
    index = ledger.index
    shared = (index.kind == RECEIPT) & (index.scope == code_of(index.scopes, scope)) & (index.state >= DOUBTFUL)
    shared &= _of_series(ledger, series_ids)
    codes = np.unique(index.series[shared[index.record]])
    return frozenset(index.series_ids.take(pa.array(codes)).to_pylist()) - frozenset(series_ids)


def missing_of_source(
    ledger: Ledger, scope: str, series_ids: Collection[str], wanted: TimeRange, gone: Set[str]
) -> Holes:
    """Return what of a range is not stored and can be asked of a source that no longer has some of the series.

    Nobody knows what a series that is gone would have shown in a range that was never read, and no run can read it. What a
    receipt speaks of, and a replacement that was not finished has taken out, is missing of it as of any series.

    Args:
        ledger, scope, series_ids, wanted: as in `Ledger.missing`.
        gone: ids of the series that the source no longer has.
    """
    missing = ledger.missing(scope, set(series_ids) - gone, wanted)
    holes = ledger.missing(scope, set(series_ids) & gone, wanted)
    if not holes:
        return missing
    spoken: dict[str, list[TimeRange]] = {}
    index = ledger.index
    of_gone = (index.kind == RECEIPT) & (index.state >= DOUBTFUL) & (index.start < wanted.end_ns)
    of_gone &= (index.scope == code_of(index.scopes, scope)) & (index.end > wanted.start_ns)
    for each in ledger.recorded(of_gone & _of_series(ledger, {one for ids, _ in holes for one in ids})):
        for series_id in set(each.receipt.key.series_ids) & gone:
            spoken.setdefault(series_id, []).append(each.receipt.key.range)
    for ids, ranges in holes:
        for series_id in ids:
            left = ranges.subtract(ranges.subtract(TimeRangeSet(spoken.get(series_id, ()))))
            if left:
                missing.append(((series_id,), left))
    return missing


def recorded_points(
    ledger: Ledger, scope: str, sink: str, keys: Collection[ChunkKey]
) -> dict[ChunkKey, tuple[int, ...]]:
    """Return the recorded points of each series of some windows, as evidence that the source's response has to match.

    Receipts count that lie inside a window, are of the same scope, and whose files stand or may still stand.

    Args:
        ledger: the loaded ledger.
        scope: the scope's digest; under another scope the request to the source was different.
        sink: as the receipts name it.
        keys: keys of the windows that are to be read again.

    Raises:
        StateError: the ledger is damaged, or has changed since it was loaded.
    """
    if not keys:
        return {}
    index = ledger.index
    flags = (index.kind == RECEIPT) & (index.sink == code_of(index.sinks, sink)) & (index.state >= DOUBTFUL)
    flags &= index.scope == code_of(index.scopes, scope)
    flags &= (index.start < max(key.range.end_ns for key in keys)) & (index.end > min(k.range.start_ns for k in keys))
    flags &= _of_series(ledger, {series_id for key in keys for series_id in key.series_ids})
    found = {key: [0] * len(key.series_ids) for key in keys}
    of_series: dict[str, list[tuple[TimeRange, ChunkKey, int]]] = {}
    for key in keys:
        for place, series_id in enumerate(key.series_ids):
            of_series.setdefault(series_id, []).append((key.range, key, place))
    for each in of_series.values():
        each.sort(key=lambda one: one[0])
    for _, batch in ledger.select(flags, ["record"]):
        for record in batch.column("record"):
            receipt = _receipt(ledger, record.as_py())
            for series in receipt.series:
                windows = of_series.get(series.series_id, ())
                at = bisect_right(windows, receipt.key.range.start_ns, key=lambda one: one[0].start_ns) - 1
                if at >= 0 and windows[at][0].covers(receipt.key.range):
                    _, key, place = windows[at]
                    found[key][place] += series.count
    return {key: tuple(points) for key, points in found.items() if any(points)}


def recorded_at(ledger: Ledger, flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return by record when it was recorded, ns since the Unix epoch; 0 for those not in `flags`."""
    at = np.zeros(len(ledger.index), np.int64)
    for positions, batch in ledger.select(flags, ["at"]):
        at[positions] = batch.column("at").to_numpy()
    return at


def _receipt(ledger: Ledger, record: bytes) -> Receipt:
    try:
        return receipt_of_record(record)
    except ValueError as error:
        raise StateError(f"{ledger.state_dir.path('ledger')}: damaged: {error}") from error


def _of_series(ledger: Ledger, series_ids: Collection[str]) -> npt.NDArray[np.bool_]:
    """Return by record whether one of its series is wanted."""
    index = ledger.index
    requested = set(series_ids)
    wanted_codes = np.fromiter((s in requested for s in index.series_ids.to_pylist()), bool, len(index.series_ids))
    flags = np.zeros(len(index), bool)
    flags[index.record[wanted_codes[index.series]]] = True
    return flags


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """A recorded window.

    Args:
        key: its series and range.
        count: number of points that it held.
        read_ns: when it was recorded, by the writer's clock; ns since the Unix epoch.
        is_whole: whether all of it counts; otherwise a run died while it was being replaced.
    """

    key: ChunkKey
    count: int
    read_ns: int
    is_whole: bool = True


def recent_windows(
    ledger: Ledger, scope: str, sink: str, series_ids: Collection[str], since_ns: int, settle_ns: int
) -> list[RecentWindow]:
    """Return recorded windows that end after an instant, or were read before they had settled, in no particular order.

    Args:
        ledger: the loaded ledger.
        scope: the scope's digest.
        sink: as the receipts name it.
        series_ids: only windows are returned all of whose series are among these.
        since_ns: ns since the Unix epoch.
        settle_ns: time after its end at which a window has settled, ns.

    Raises:
        StateError: the ledger is damaged, or has changed since it was loaded.
    """
    index = ledger.index
    flags = (index.kind == RECEIPT) & (index.state >= DOUBTFUL)
    flags &= (index.scope == code_of(index.scopes, scope)) & (index.sink == code_of(index.sinks, sink))
    flags &= (index.end > since_ns) | (recorded_at(ledger, flags) - settle_ns < index.end)
    requested = set(series_ids)
    found = []
    for positions, batch in ledger.select(flags, ["at", "record"]):
        whole = (index.state[positions] == WHOLE).tolist()
        for at_ns, record, is_whole in zip(batch.column("at").to_pylist(), batch.column("record"), whole, strict=True):
            try:
                receipt = receipt_of_record(record.as_py())
            except ValueError as error:
                raise StateError(f"{ledger.state_dir.path('ledger')}: damaged: {error}") from error
            if requested.issuperset(receipt.key.series_ids):
                found.append(RecentWindow(receipt.key, receipt.count, at_ns, is_whole))
    return found


def points_of_run(ledger: Ledger, run: int, reach: TimeRange) -> int:
    """Return the number of points that the receipts of one run name, of those receipts that lie in a range.

    Raises:
        StateError: the ledger is damaged, or has changed since it was loaded.
    """
    index = ledger.index
    flags = (index.kind == RECEIPT) & (index.start >= reach.start_ns) & (index.end <= reach.end_ns)
    points = 0
    for _, batch in ledger.select(flags, ["run", "record"]):
        for of_run, record in zip(batch.column("run").to_pylist(), batch.column("record"), strict=True):
            points += receipt_of_record(record.as_py()).count if of_run == run else 0
    return points
