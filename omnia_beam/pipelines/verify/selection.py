"""Find which series and which time a job is about, as far as can be known without asking the service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.omnia.id_spelling import as_recorded, named_ids
from omnia_beam.io.omnia.options import OmniaSource
from omnia_beam.ledger.index import PARTIAL
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.pipelines.selection_memory import RememberedSelection


@dataclass(frozen=True)
class OfflineSelection:
    """Series by id, and a note on how they were found.

    Args:
        series_ids: ascending.
        note: empty where they are exactly those of the configuration.
    """

    series_ids: tuple[str, ...]
    note: str = ""


def offline_selection(
    config: JobConfig, ledger: Ledger, scope: str, remembered: RememberedSelection | None = None
) -> OfflineSelection:
    """Return the ids of the configuration; where it searches, or reads files, also the series of the ledger and of the last run.

    Args:
        remembered: what the last run of this configuration has selected, where that is known.

    Raises:
        UsageError: the file of ids cannot be read.
    """
    recorded = {*ledger.series_ids(scope), *(remembered.series_ids if remembered else ())}
    whose = "the last run" if remembered else "the ledger"
    if not isinstance(config.source, OmniaSource):
        note = f"The series are those of {whose}: which series the source's files hold now was not looked up."
        return OfflineSelection(tuple(sorted(recorded)), note)
    selection = config.source.series
    ids = set(named_ids(selection))
    if not selection.search:
        return OfflineSelection(as_recorded(ledger, ids))
    missed = "Series that match only since then" if remembered else "Series that match and were never copied"
    note = (
        f"The series of source.series.search are those of {whose}: a search is resolved by the service, which was not "
        f"asked. {missed} are not among them."
    )
    return OfflineSelection(as_recorded(ledger, ids.union(recorded)), note)


def recorded_end(ledger: Ledger, scope: str) -> int | None:
    """Return the latest end of anything that counts under a scope, ns; None where there is nothing."""
    index = ledger.index
    if scope not in index.scopes:
        return None
    ends = index.end[(index.scope == index.scopes.index(scope)) & (index.state >= PARTIAL)]
    return int(np.max(ends)) if len(ends) else None


def wanted_range(
    config: JobConfig,
    ledger: Ledger,
    scope: str,
    clock: Callable[[], int] = time.time_ns,
    remembered: RememberedSelection | None = None,
) -> TimeRange:
    """Return the window of the configuration; without an end, up to the end of the last run, since later points were not wanted.

    Args:
        clock: ns since the Unix epoch, for a job without an end that has recorded nothing.
        remembered: what the last run of this configuration was to copy, where that is known.

    Raises:
        UsageError: neither a window nor anything recorded.
    """
    end = recorded_end(ledger, scope)
    if config.window is None:
        index = ledger.index
        if remembered is not None:
            return remembered.wanted
        if end is None:
            raise UsageError("window: give one (--start and --end): nothing is recorded that would tell the time")
        starts = index.start[(index.scope == index.scopes.index(scope)) & (index.state >= PARTIAL)]
        return TimeRange(int(np.min(starts)), end)
    if config.window.end is not None:
        return TimeRange(config.window.start, config.window.end)
    if remembered is not None:
        end = max(remembered.wanted.end_ns, remembered.wanted.end_ns if end is None else end)
    return TimeRange(config.window.start, max(config.window.start, clock() if end is None else end))
