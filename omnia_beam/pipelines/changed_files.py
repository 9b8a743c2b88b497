"""Files of a destination that are not any more what their receipts say: a hole, which is copied again.

A suspended run that wakes up may have put an older file over its successor's, and anybody may write into a directory. So at
the start and at the end of a run the size and the time of change of each local file are compared with what the receipt says.
A tree that was copied or restored has other times and the same content: a Parquet file of the recorded size is read then,
and is a hole only where its points are not those of its receipt.

A file that is not there at all, and files on stores, are the business of the check of the destination.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.core.receipt import FileStamp, Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.durable_file import is_local
from omnia_beam.io.ledger import Ledger
from omnia_beam.io.ledger_files import receipts_of_files, recorded_stamps
from omnia_beam.io.parquet_reader import read_points
from omnia_beam.pipelines.job_state import JobState
from omnia_beam.pipelines.summary import Summary
from omnia_beam.pipelines.verify_fingerprint import Fingerprint
from omnia_beam.pipelines.work_plan import for_other_clocks

_ANNOUNCED_AT_ONCE: Final = 1_000


def changed_windows(
    path: str | None, ledger: Ledger, sink: str, series_ids: Collection[str], wanted: TimeRange
) -> list[tuple[ChunkKey, int]]:
    """Recorded windows of which a file is not what it was, with the points that they held.

    Args:
        path: the sink's; None where it has no files.
        ledger: the job's.
        sink: as its receipts name it.
        series_ids, wanted: what the run answers for.

    Raises:
        StateError: the ledger cannot be read.
    """
    if path is None or not is_local(path):
        return []
    changed = {name for name, stamp in recorded_stamps(ledger, sink).items() if stamp and _differs(path, name, stamp)}
    asked = frozenset(series_ids)
    return [
        (receipt.key, receipt.count)
        for receipt in (each.receipt for each in receipts_of_files(ledger, sink, changed))
        if receipt.key.range.overlaps(wanted)
        and not asked.isdisjoint(receipt.key.series_ids)
        and not _holds(path, receipt)
    ]


def announce_changed(
    summary: Summary, path: str | None, state: JobState, series_ids: Collection[str], wanted: TimeRange
) -> Summary:
    """At the end of a run: such windows are missing from now on, and a warning says so.

    Raises:
        StateError: the ledger cannot be read or written.
    """
    changed = changed_windows(path, state.reload(), state.sink, series_ids, wanted)
    if not changed:
        return summary
    keys: Iterable[ChunkKey] = iter(key for key, _ in changed)
    with for_other_clocks(state).writer() as writer:
        while some := tuple(islice(keys, _ANNOUNCED_AT_ONCE)):
            writer.intend(*some)
    return summary.with_warnings(
        f"{path}: files of {len(changed):,} windows, such as {changed[0][0]}, are not what this job wrote: somebody else has "
        "written there. The next run copies these windows again"
    )


def _differs(path: str, name: str, stamp: FileStamp) -> bool:
    try:
        found = os.stat(f"{path.rstrip('/')}/{name}")
    except OSError:
        return False
    return found.st_size != stamp.size or (stamp.mtime_ns is not None and found.st_mtime_ns != stamp.mtime_ns)


def _holds(path: str, receipt: Receipt) -> bool:
    """Whether the files hold the receipt's points after all; of files that are no Parquet nobody can tell."""
    prints = {each.target_id: Fingerprint() for each in receipt.series}
    try:
        for name in receipt.files:
            if not name.endswith(".parquet"):
                return False
            for series_id, points in read_points(f"{path.rstrip('/')}/{name}"):
                prints[series_id] = prints.get(series_id, Fingerprint()).plus(Fingerprint.of(points))
    except (OSError, ValueError, DestinationError):
        return False
    said: dict[str, Fingerprint] = {}
    for each in receipt.series:
        said[each.target_id] = said.get(each.target_id, Fingerprint()).plus(Fingerprint.of_receipt(each))
    return prints == said
