"""Mend a destination: what differs is announced in the ledger as about to be replaced, and copied again.

The announcement comes first: should the repair die, the windows count as missing, and the next run of the job copies
them. They are read as they were recorded, the same series and the same range, so they write over the same files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from omnia_beam.config import JobConfig, WindowConfig
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.durable_file import is_local, reason
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.job_state import opened_state
from omnia_beam.pipelines.summary import Summary

Copy = Callable[[JobConfig, RunContext], Summary]
"""What runs the job: `run_backfill`, say."""


@dataclass(frozen=True)
class Repair:
    """What was done.

    Args:
        windows: announced to be copied again.
        set_aside: strays that were renamed, as they are called now, relative to the destination.
        copied: the summary of the run that copied.
    """

    windows: int
    set_aside: tuple[str, ...]
    copied: Summary

    def to_json(self) -> dict[str, Any]:
        """Plain data for a report."""
        return {
            "windows": self.windows,
            "set_aside": list(self.set_aside),
            "status": self.copied.status,
            "windows_copied": self.copied.windows_done,
            "points_written": self.copied.points_written,
        }


def repair(
    config: JobConfig,
    context: RunContext,
    copy: Copy,
    *,
    wanted: TimeRange,
    concerned: Collection[ChunkKey],
    strays: Sequence[str] = (),
    path: str = "",
    prefix: str = "",
) -> Repair:
    """Copy again what differs.

    Args:
        copy: runs the job; what is announced and what was never copied is its work then.
        wanted: the time that was verified; nothing beyond it is copied.
        concerned: windows to replace; the job must still select a series of each.
        strays: files of the destination to put out of the way; those of this job's own name are deleted by the copying.
        path, prefix: of the destination, where it is one of files.

    Raises:
        StateError: another run of the job is going on, or the ledger cannot be written.
        DestinationError, CredentialError, ServiceError: the copying cannot go on; what was announced is copied by the
            next run of the job.
    """
    with opened_state(config, context) as state:
        with state.writer() as writer:
            for key in concerned:
                writer.intend(key)
        foreign = [name for name in strays if not _is_own(name, prefix)]
        set_aside = tuple(_set_aside(path, name, state.run_id) for name in foreign)
    for name in set_aside:
        context.say(f"set aside: {name}, which no receipt names")
    copied = copy(_pinned(config, wanted), context)
    return Repair(len(concerned), set_aside, copied)


def _pinned(config: JobConfig, wanted: TimeRange) -> JobConfig:
    """The job as it was verified: no later end, and no refresh of what does not differ."""
    window = WindowConfig.model_construct(start=wanted.start_ns, end=wanted.end_ns)
    return config.model_copy(update={"window": window, "refresh": None})


def _is_own(name: str, prefix: str) -> bool:
    return re.fullmatch(rf"year=-?\d+/month=\d\d/{re.escape(prefix)}-[^/]*\.parquet", name) is not None


def _set_aside(path: str, name: str, run_id: str) -> str:
    """Rename a file so that no reader of the directory takes it in; it may be somebody's only copy."""
    folder, slash, base = name.rpartition("/")
    aside = f"{folder}{slash}_{base}.{run_id}.set-aside"
    root = path.rstrip("/")
    try:
        if is_local(path):
            os.rename(f"{root}/{name}", f"{root}/{aside}")
        else:
            FileSystems.rename([f"{root}/{name}"], [f"{root}/{aside}"])
    except (OSError, BeamIOError) as error:
        raise DestinationError(f"{root}/{name}: cannot be set aside: {reason(error)}") from error
    return aside
