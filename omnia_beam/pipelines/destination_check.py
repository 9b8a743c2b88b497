"""Compare the destination with the ledger at the end of a run.

A file that is gone or has another size, a target series that is gone or holds less, a dead letter whose file is gone: each
makes the windows that it belongs to *lost*. They are written again, or the run is incomplete and names them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from omnia_beam.config import JobConfig
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.receipt import FileStamp, Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.destination_files import shown_name
from omnia_beam.io.files.folder import PARQUET_SUFFIXES, file_prefix
from omnia_beam.io.files.stored_points import StoredFiles
from omnia_beam.ledger.dead_letters import WRITING, DeadLetterFiles, file_name
from omnia_beam.ledger.facts import StandingReceipt, receipts_with_letters
from omnia_beam.ledger.files import receipts_of_files, recorded_stamps
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger, RecordedReceipt
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.letters import MAPPING
from omnia_beam.pipelines.verify.fingerprint import Fingerprint
from omnia_beam.pipelines.verify.strays import is_of_another_job
from omnia_beam.store import reason, store_of

_FULL_SERIES = 10_000
"""Number of series up to which points are counted unless the job says otherwise."""

_PARTITIONS: Final = ("year=", "month=")
_OTHER_TIME: Final = "was written by somebody else since"


@dataclass(frozen=True)
class Asked:
    """What a run is responsible for.

    Args:
        scope, sink: as the receipts name them.
        series_ids: of the source; None for all that are recorded.
        wanted: the time; None for all.
    """

    scope: str
    sink: str
    series_ids: frozenset[str] | None = None
    wanted: TimeRange | None = None

    def concerns(self, found: StandingReceipt | RecordedReceipt) -> bool:
        """Return whether a receipt is of what the run is responsible for."""
        key = found.receipt.key
        if found.scope != self.scope or (self.wanted is not None and not key.range.overlaps(self.wanted)):
            return False
        return self.series_ids is None or not self.series_ids.isdisjoint(key.series_ids)


@dataclass(frozen=True)
class Look:
    """The result of a comparison.

    Args:
        lost: windows that are not stored as recorded, with the points that they held.
        texts: what is wrong with them, a text each, the first ones by name.
        warnings: what the person who runs the job has to know besides.
    """

    lost: dict[ChunkKey, int] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def plus(self, other: Look) -> Look:
        """Return the results of both comparisons together."""
        return Look({**self.lost, **other.lost}, (*self.texts, *other.texts), (*self.warnings, *other.warnings))


def check_mode(asked: str | None, series: int) -> str:
    """Return how closely to compare: as the job says; otherwise `full` up to 10,000 series, `existence` above."""
    return asked or ("full" if series <= _FULL_SERIES else "existence")


def look_at_files(
    ledger: Ledger,
    path: str,
    asked: Asked,
    files: StoredFiles | None = None,
    *,
    prefix: str = "",
    suffixes: tuple[str, ...] = PARQUET_SUFFIXES,
) -> Look:
    """Compare a destination of files with the receipts by one listing: names, and sizes and times where those are recorded.

    A tree that was copied or restored has other times and the same content: files of the recorded size are read then, and
    their window is lost only where their points are not those of its receipt.

    Args:
        ledger: the job's, as it is now.
        path: of the sink.
        asked: what the caller is responsible for.
        files: how the files are read back; Parquet where it is not given.
        prefix: of `destination.file_prefix`; files beside the job's own are named in a warning where it is given.
        suffixes: of the files that a reader of the destination takes in.

    Raises:
        DestinationError: the destination cannot be listed.
        StateError: the ledger cannot be read.
    """
    recorded = recorded_stamps(ledger, asked.sink)
    if not recorded:
        return Look()
    there = list_stamps(path)
    beside = _files_beside(ledger, path, asked.sink, there.keys() - recorded.keys(), prefix, suffixes) if prefix else []
    wrong = {name: text for name, stamp in recorded.items() if (text := _difference(stamp, there.get(name)))}
    if not wrong:
        return Look(warnings=tuple(beside))
    lost: dict[ChunkKey, int] = {}
    named: set[str] = set()
    outside: set[str] = set()
    for each in receipts_of_files(ledger, asked.sink, wrong.keys()):
        names = wrong.keys() & set(each.receipt.files)
        if all(wrong[name] == _OTHER_TIME for name in names) and _holds(files or StoredFiles(path), each.receipt):
            continue
        if asked.concerns(each):
            lost[each.receipt.key] = each.receipt.count
            named |= names
        else:
            outside |= names
    outside -= named
    first = min(named, default="")
    texts = (
        [f"{path}: {len(named):,} files are not as recorded, such as {first}, which {wrong[first]}"] if named else []
    )
    warnings = beside
    if outside:
        one = min(outside)
        warnings.append(
            f"{path}: {len(outside):,} files of series, times or settings that this run does not cover are not as recorded, "
            f"such as {one}, which {wrong[one]}; a run over them copies them again"
        )
    return Look(lost, tuple(texts), tuple(warnings))


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
        f"{path}: {len(found):,} files that no receipt names, such as {shown_name(min(found))}: a reader of the "
        "folder takes in their points too; verify examines them"
    ]


def _is_read(name: str, suffixes: tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return base.lower().endswith(suffixes) and not base.startswith((".", "_"))


def look_at_letters(ledger: Ledger, state_dir: StateDir, asked: Asked) -> Look:
    """Compare the files of dead letters with the receipts that name them.

    Raises:
        StateError: the state cannot be read.
    """
    files = DeadLetterFiles.of(state_dir)
    names = set(files.names())
    lost: dict[ChunkKey, int] = {}
    points, windows = 0, 0
    for each in receipts_with_letters(ledger, asked.sink):
        receipt = each.receipt
        expected = {WRITING: receipt.dead_letters, MAPPING: receipt.rejected}
        gone = sum(n for origin, n in expected.items() if n and file_name(receipt.key, origin) not in names)
        if gone:
            points += gone
            windows += 1
            if asked.concerns(each):
                lost[receipt.key] = receipt.count
    if not windows:
        return Look()
    text = f"{files}: the dead letters of {points:,} points in {windows:,} windows are gone"
    if lost:
        return Look(lost, (text,))
    return Look(warnings=(f"{text}; they are of series, times or settings that this run does not cover",))


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
    stored, unread = files.points(receipt.files)
    found = {stored_id: Fingerprint.of(points) for stored_id, points in stored.items() if len(points.times)}
    recorded: dict[str, Fingerprint] = {}
    for each in receipt.series:
        if each.count:
            recorded[each.target_id] = recorded.get(each.target_id, Fingerprint()).plus(Fingerprint.of_receipt(each))
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


def file_look(
    config: JobConfig, path: str, state: JobRun, series_ids: Collection[str], wanted: TimeRange
) -> Callable[[Ledger], Look]:
    """Return the function with which a run that writes files checks its destination and its dead letters."""
    # Files without a window are read whole, so everything recorded is checked.
    asked = Asked(state.scope.digest, state.sink, frozenset(series_ids), wanted)
    if config.window is None:
        asked = Asked(state.scope.digest, state.sink)

    def look(ledger: Ledger) -> Look:
        letters = look_at_letters(ledger, state.state_dir, asked)
        if config.destination_check == "off":
            return letters.plus(not_looked_at(path))
        return look_at_files(ledger, path, asked, prefix=file_prefix(config.name)).plus(letters)

    return look


def not_looked_at(place: str) -> Look:
    """Return the warning that the destination was not checked."""
    return Look(
        warnings=(
            f"{place}: whether the destination still holds what was written was not looked at: destination_check is off",
        )
    )


def not_counted(place: str) -> Look:
    """Return the warning that only the existence of series was checked."""
    return Look(
        warnings=(
            f"{place}: the target series exist; their points were not counted: destination_check: full does that",
        )
    )
