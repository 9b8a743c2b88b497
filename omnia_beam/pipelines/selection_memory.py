"""Remember in a job's state what its selection resolved to, for commands that do not ask the source.

A run that was killed early has recorded nothing of most series: only its selection shows that they are missing.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.config import JobConfig
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.omnia.options import OmniaSource
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


def _key(config: JobConfig, scope: str) -> str:
    source = config.source
    asked = source.series if isinstance(source, OmniaSource) else (source.path, source.include, source.exclude)
    return hashlib.blake2b(f"{scope} {asked!r}".encode(), digest_size=16).hexdigest()
