"""Compare the destination with the ledger at the end of a run.

A file that is missing or has another size, a target series that is missing or holds less, a dead letter whose file is missing: each
makes the windows that it belongs to *lost*. They are written again, or the run is incomplete and names them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import counted
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.destination import DestinationCheck, RunReach
from omnia_beam.io.files.destination_files import shown_name
from omnia_beam.io.files.folder import PARQUET_SUFFIXES
from omnia_beam.io.files.stored_points import StoredFiles
from omnia_beam.io.files.strays import is_of_another_job
from omnia_beam.ledger.files import receipts_of_files, recorded_stamps
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.store import reason, store_of

_PARTITIONS: Final = ("year=", "month=")
_OTHER_TIME: Final = "was overwritten by another writer since"


def check_files(
    ledger: Ledger,
    path: str,
    run_reach: RunReach,
    files: StoredFiles | None = None,
    *,
    prefix: str = "",
    suffixes: tuple[str, ...] = PARQUET_SUFFIXES,
) -> DestinationCheck:
    """Compare a destination of files with the receipts by one listing: names, and sizes and times where those are recorded.

    A tree that was copied or restored has other times and the same content: files of the recorded size are read then, and
    their window is lost only where their points are not those of its receipt.

    Args:
        ledger: the job's, as it is now.
        path: of the sink.
        run_reach: what the caller is responsible for.
        files: how the files are read back; Parquet where it is not given.
        prefix: of `destination.file_prefix`; files beside the job's own are named in a warning where it is given.
        suffixes: of the files that a reader of the destination takes in.

    Raises:
        DestinationError: the destination cannot be listed.
        StateError: the ledger cannot be read.
    """
    recorded = recorded_stamps(ledger, run_reach.sink)
    if not recorded:
        return DestinationCheck()
    there = list_stamps(path)
    beside = (
        _files_beside(ledger, path, run_reach.sink, there.keys() - recorded.keys(), prefix, suffixes) if prefix else []
    )
    wrong = {name: text for name, stamp in recorded.items() if (text := _difference(stamp, there.get(name)))}
    if not wrong:
        return DestinationCheck(warnings=tuple(beside))
    lost: dict[ChunkKey, int] = {}
    named: set[str] = set()
    outside: set[str] = set()
    for each in receipts_of_files(ledger, run_reach.sink, wrong.keys()):
        names = wrong.keys() & set(each.receipt.files)
        if all(wrong[name] == _OTHER_TIME for name in names) and _holds(files or StoredFiles(path), each.receipt):
            continue
        if run_reach.concerns(each):
            lost[each.receipt.key] = each.receipt.count
            named |= names
        else:
            outside |= names
    outside -= named
    first = min(named, default="")
    texts = (
        [f"{path}: {counted(len(named), 'file')} not as recorded, such as {first}, which {wrong[first]}"]
        if named
        else []
    )
    warnings = beside
    if outside:
        one = min(outside)
        warnings.append(
            f"{path}: {counted(len(outside), 'file')} not as recorded, of series, times or settings that this run does not cover, "
            f"such as {one}, which {wrong[one]}; a run over them copies them again"
        )
    return DestinationCheck(lost, tuple(texts), tuple(warnings))


def _files_beside(
    ledger: Ledger, path: str, sink: str, names: Collection[str], prefix: str, suffixes: tuple[str, ...]
) -> list[str]:
    """Name what a reader of the destination takes in besides the files of jobs: mostly copies, which `verify` examines."""
    found = [each for each in names if _is_read(each, suffixes) and not is_of_another_job(each, prefix)]
    if found:
        doubtful = ledger.doubtful_files(sink)  # their windows are missing, which is reported already
        found = [each for each in found if each not in doubtful]
    if not found:
        return []
    return [
        f"{path}: {counted(len(found), 'file')} without a receipt, such as {shown_name(min(found))}: a reader of the "
        "folder reads such files too; verify examines them"
    ]


def _is_read(name: str, suffixes: tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return base.lower().endswith(suffixes) and not base.startswith((".", "_"))


def _difference(recorded: FileStamp | None, there: FileStamp | None) -> str:
    """Return how a file differs from what was written; empty where it does not, as far as is known."""
    if there is None:
        return "is not there"
    if recorded is None:
        return ""
    if there.size != recorded.size:
        return f"holds {there.size:,} bytes, not the {recorded.size:,} that were written"
    if None not in (there.mtime_ns, recorded.mtime_ns) and there.mtime_ns != recorded.mtime_ns:
        return _OTHER_TIME
    return ""


def _holds(files: StoredFiles, receipt: Receipt) -> bool:
    """Return whether files hold the points of a receipt, by their fingerprints; False where they cannot be read."""
    stored, unread = files.points([receipt])
    found = {stored_id: Fingerprint.of(points) for stored_id, points in stored.items() if len(points.times)}
    recorded: dict[str, Fingerprint] = {}
    for each in receipt.series:
        if each.count:
            recorded[each.target_id] = recorded.get(each.target_id, Fingerprint()).plus(each.fingerprint)
    return not unread and found == recorded


def list_stamps(path: str) -> dict[str, FileStamp]:
    """Return the files below `year=/month=` of a destination, with size and time of change; nothing where it does not exist.

    Raises:
        DestinationError: it cannot be listed.
    """
    try:
        store = store_of(path)
        return {
            each.name: FileStamp(each.size, each.mtime_ns if store.on_disk else None)
            for each in store.scan(path, _PARTITIONS)
        }
    except OSError as error:
        raise DestinationError(f"{path}: cannot be listed: {reason(error)}") from error
