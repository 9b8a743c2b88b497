"""Read what the ledger holds of the recent past, window by window, by which a tail decides what to read again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from omnia_beam.core.errors import StateError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.index import DOUBTFUL, WHOLE
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import recorded_at
from omnia_beam.ledger.table import RECEIPT, receipt_of_record


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
    flags &= (index.scope == _code(index.scopes, scope)) & (index.sink == _code(index.sinks, sink))
    flags &= (index.end > since_ns) | (recorded_at(ledger, flags) - settle_ns < index.end)
    asked = set(series_ids)
    found = []
    for positions, batch in ledger.select(flags, ["at", "record"]):
        whole = (index.state[positions] == WHOLE).tolist()
        for at_ns, record, is_whole in zip(batch.column("at").to_pylist(), batch.column("record"), whole, strict=True):
            try:
                receipt = receipt_of_record(record.as_py())
            except ValueError as error:
                raise StateError(f"{ledger.state_dir.path('ledger')}: damaged: {error}") from error
            if asked.issuperset(receipt.key.series_ids):
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


def _code(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1
