"""Remember in a job's state what its selection resolved to, for commands that do not ask the source.

A run that was killed early has recorded nothing of most series: only its selection shows that they are missing.
"""

from __future__ import annotations

import hashlib
import logging
import time
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.ledger.index import PARTIAL
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir

_log = logging.getLogger(__name__)

_NAME: Final = "plan/selection"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class RememberedSelection:
    """The selection of the last run of a configuration.

    Args:
        series_ids: ascending.
        wanted: the time that it was to copy of them.
    """

    series_ids: tuple[str, ...]
    wanted: TimeRange


def remember_selection(
    state_dir: StateDir, config: JobConfig, scope: str, series_ids: Collection[str], wanted: TimeRange
) -> None:
    """Store a selection in place of the one of the run before.

    Args:
        scope: the digest.
        series_ids: what the selection resolves to.
        wanted: the time that is wanted of them.

    Raises:
        StateError: the directory cannot be written.
    """
    found: dict[str, Any] = {
        "format": _FORMAT,
        "key": _key(config, scope),
        "series_ids": sorted(series_ids),
        "wanted": [wanted.start_ns, wanted.end_ns],
    }
    state_dir.write(_NAME, zlib.compress(orjson.dumps(found), 1))


def remembered_selection(state_dir: StateDir, config: JobConfig, scope: str) -> RememberedSelection | None:
    """Return what was remembered of this very selection; None where nothing is, or of another one.

    Raises:
        StateError: the directory cannot be read.
    """
    data = state_dir.read(_NAME)
    if data is None:
        return None
    try:
        found = orjson.loads(zlib.decompress(data))
        if found["format"] != _FORMAT or found["key"] != _key(config, scope):
            return None
        return RememberedSelection(tuple(found["series_ids"]), TimeRange(*found["wanted"]))
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        _log.warning("%s is damaged (%s): left out", state_dir.path(_NAME), error)
        return None


def not_selected_last(series_ids: Collection[str], last: RememberedSelection | None) -> frozenset[str]:
    """Return those of some series that the last run of this selection did not find at the source; none where that is unknown."""
    return frozenset() if last is None else frozenset(series_ids) - frozenset(last.series_ids)


def recorded_end(ledger: Ledger, scope: str) -> int | None:
    """Return the latest end of anything that counts under a scope, ns; None where there is nothing."""
    index = ledger.index
    if scope not in index.scopes:
        return None
    ends = index.end[(index.scope == index.scopes.index(scope)) & (index.state >= PARTIAL)]
    return int(np.max(ends)) if len(ends) else None


def remembered_range(
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
            raise UsageError("window: give one (--start and --end): no record gives the time")
        starts = index.start[(index.scope == index.scopes.index(scope)) & (index.state >= PARTIAL)]
        return TimeRange(int(np.min(starts)), end)
    if config.window.end is not None:
        return TimeRange(config.window.start, config.window.end)
    if remembered is not None:
        end = max(remembered.wanted.end_ns, remembered.wanted.end_ns if end is None else end)
    return TimeRange(config.window.start, max(config.window.start, clock() if end is None else end))


def _key(config: JobConfig, scope: str) -> str:
    return hashlib.blake2b(f"{scope} {config.source.selection()}".encode(), digest_size=16).hexdigest()
