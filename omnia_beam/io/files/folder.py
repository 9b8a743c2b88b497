"""The files of a job at its destination: their names, and the files that earlier runs left there without a receipt."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from omnia_beam.core.errors import DestinationError, OmniaBeamError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, NS_PER_SECOND, parse_time
from omnia_beam.io.destination import Leftovers
from omnia_beam.io.files.found import open_source
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.job import JobRun
from omnia_beam.store import TEMPORARY_PREFIX, reason, store_of, within, write_durably

PARQUET_SUFFIXES: Final = (".parquet",)

_DELETED_AT_ONCE: Final = 100
_FOLDER: Final = re.compile(r"year=-?\d+/month=\d\d")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
_MOMENT: Final = r"(-?\d{4,})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)"


def file_prefix(job_name: str) -> str:
    """Return the first part of the names of a job's files, which is readable and no prefix of another job's.

    Two jobs may share a destination; each must recognise its own files.
    """
    digest = hashlib.blake2b(job_name.encode(), digest_size=4).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", job_name)[:40]
    return f"{readable}-{digest}"


def clear_leftover_files(
    path: str,
    prefix: str,
    state: JobRun,
    *,
    wanted: TimeRange | None = None,
    suffixes: tuple[str, ...] = PARQUET_SUFFIXES,
) -> Leftovers:
    """Delete a job's files that no receipt names: whole files of a run that died before its receipt, and temporaries.

    Only the holder of the job's lease may do this. What such a file holds is read again by this run, perhaps in other
    windows: left in place it would be there twice. A file of another time stays unless the ledger knows that it was
    replaced: the ledger may have lost its receipt, and no run would read it again.

    Args:
        path: the sink's.
        prefix: as `file_prefix` returns it.
        state: the job's; its ledger is loaded again.
        wanted: what this run covers; None for everything.
        suffixes: the suffixes of the sink's kind of file: files that a job of the same name wrote in another form are kept.

    Raises:
        DestinationError: the place cannot be listed, a file cannot be deleted, or it holds files of this job although the
            job's state is new: nothing is deleted then.
        StateError: the ledger cannot be read, or the lease was lost: nothing more is deleted.
    """
    ledger = state.reload()
    keep = ledger.live_files(state.sink) | ledger.doubtful_files(state.sink)
    replaced = ledger.superseded_files(state.sink)
    try:
        found = _files(path)
        temporaries = [name for name in found if _is_temporary(name, prefix)]
        stray = [name for name in found if name not in keep and _is_ours(name, prefix, suffixes)]
        if stray and state.token.run == 1:
            raise _state_is_new(path, stray, state)
        gone = {name for name in stray if name in replaced or _concerns(path, name, prefix, wanted)}
        _delete_fenced(path, [*temporaries, *sorted(gone)], state.fence)
    except OSError as error:
        raise DestinationError(f"{path}: files of an earlier run cannot be removed: {reason(error)}") from error
    return Leftovers((*temporaries, *sorted(gone)), tuple(sorted(set(stray) - gone)))


def check_writable(path: str, prefix: str = "check") -> None:
    """Try to write and delete a file at the destination.

    Args:
        path: the sink's.
        prefix: as `file_prefix` returns it: the next run of that job deletes what a killed probe leaves behind.

    Raises:
        DestinationError: it cannot be done.
    """
    probe = f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{prefix}-probe"
    try:
        write_durably(within(path, probe), b"")
    except DestinationError as error:
        raise DestinationError(
            f"{path}: files cannot be written there: {reason(error.__cause__ or error)}. Fix that, or give another `sink.path:`"
        ) from error
    try:
        _delete(path, [probe])
    except OSError as error:
        raise DestinationError(f"{path}: files can be written there and not deleted: {reason(error)}") from error


def _state_is_new(path: str, stray: list[str], state: JobRun) -> DestinationError:
    return DestinationError(
        f"{path}: holds {counted(len(stray), 'file')} of the job {state.state_dir.job_name!r}, such as {min(stray)}, and its state "
        f"{state.state_dir.root} is new and has no record of them. Put the job's old state back there, or give the job "
        "another `name:` or `sink.path:`; to copy everything again, move those files away first"
    )


def _files(path: str) -> list[str]:
    """Return the files of the partitions, and the temporaries at the top."""
    found: list[str] = []
    for name in store_of(path).walk(path):
        folder, _, base = name.rpartition("/")
        if _FOLDER.fullmatch(folder) or (not folder and base.startswith(TEMPORARY_PREFIX)):
            found.append(name)
    return found


def _is_ours(name: str, prefix: str, suffixes: tuple[str, ...]) -> bool:
    return _range_of(name, prefix) is not None and name.endswith(suffixes)


def _is_temporary(name: str, prefix: str) -> bool:
    # Other jobs may be writing into the same folders now: their temporaries must stay.
    return re.match(rf"{re.escape(TEMPORARY_PREFIX)}[0-9a-f]+-{re.escape(prefix)}-", _base(name)) is not None


def _concerns(path: str, name: str, prefix: str, wanted: TimeRange | None) -> bool:
    """Return whether a file may hold points of the wanted time."""
    of_file = _range_of(name, prefix)
    if wanted is None or of_file is None or not of_file.overlaps(wanted):
        return wanted is None or of_file is None
    # The name gives whole seconds: where a window ends at the start of the wanted time, only its points decide.
    only_the_last_second = of_file.end_ns - NS_PER_SECOND <= wanted.start_ns
    return not only_the_last_second or _last_time(within(path, name)) >= wanted.start_ns


def _last_time(path: str) -> int:
    """Return the last time of the points in a file, ns; far in the past where that cannot be read: then the file stays."""
    try:
        if path.endswith(".parquet"):
            with store_of(path).open(path) as file:
                times = pq.ParquetFile(file, page_checksum_verification=True).read(["time"]).column("time")
            return int(pc.max(times).cast(pa.int64()).as_py() or MIN_TIME_NS)
        with open_source(path) as file:
            found = [parse_time(match[0]) for line in file if (match := _TIME.search(line.decode(errors="replace")))]
        return max(found, default=MIN_TIME_NS)
    except (pa.ArrowException, OmniaBeamError, KeyError, ValueError, OSError, EOFError):
        return MIN_TIME_NS


def _range_of(name: str, prefix: str) -> TimeRange | None:
    """Return the range of a file's window, rounded out to whole seconds; None for a name that is no window's."""
    found = re.fullmatch(rf"{re.escape(prefix)}-{_MOMENT}-{_MOMENT}-[0-9a-f]{{16}}\.[a-z]+(\.gz|\.zst)?", _base(name))
    if found is None:
        return None
    parts = found.groups()
    try:
        start, end = (parse_time("{}-{}-{}:{}:{}".format(*each)) for each in (parts[:5], parts[5:]))
        return TimeRange(start, end + NS_PER_SECOND)  # the end was cut off to whole seconds
    except ValueError:  # the range is at the edge of int64 ns
        return TimeRange(MIN_TIME_NS, MAX_TIME_NS)


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _delete_fenced(path: str, names: list[str], fence: LeaseFence) -> None:
    """Delete files, each batch only while the lease is held.

    Once another run has taken over, a file that no receipt names may be one that it is about to record.
    """
    for at in range(0, len(names), _DELETED_AT_ONCE):
        with fence.placing():
            _delete(path, names[at : at + _DELETED_AT_ONCE])


def _delete(path: str, names: Iterable[str]) -> None:
    store_of(path).delete_all(within(path, name) for name in names)
