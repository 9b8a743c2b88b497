"""Remember which point of its data server each series was, so that a point that is renamed stays one series.

Points are remembered by data server: the numbers of one say nothing about the points of another.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.ledger.state_dir import StateDir

_log = logging.getLogger(__name__)

_NAME: Final = "plan/pi-points"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class KnownPoint:
    """A point as the last run found it.

    Args:
        number: its id on the data server, which a new name does not change and a recreated point does not get again.
        web_id: under which it was known; one of the type Full outlives a new name. [aveva]
        name: that it had.
    """

    number: int
    web_id: str
    name: str


def known_points(state_dir: StateDir, server_id: str | None = None) -> Mapping[str, KnownPoint]:
    """Return the points that earlier runs found, by series id.

    Args:
        state_dir: of the job.
        server_id: of the data server; None for the one that was read last.

    Raises:
        StateError: the directory cannot be read.
    """
    found = _stored(state_dir)
    points: dict[str, Any] = found["servers"].get(server_id or found["last"], {})
    return {series_id: KnownPoint(number, web_id, name) for series_id, (number, web_id, name) in points.items()}


def remember_points(state_dir: StateDir, server_id: str, points: Mapping[str, KnownPoint]) -> None:
    """Store the points of this run; those that are not selected now stay remembered.

    Raises:
        StateError: the directory cannot be written.
    """
    before = _stored(state_dir)
    now = {**known_points(state_dir, server_id), **points}
    rows = {series_id: [each.number, each.web_id, each.name] for series_id, each in sorted(now.items())}
    after = {"format": _FORMAT, "last": server_id, "servers": {**before["servers"], server_id: rows}}
    if after != before:
        state_dir.write(_NAME, zlib.compress(orjson.dumps(after), 1))


def _stored(state_dir: StateDir) -> dict[str, Any]:
    """Return what the file holds, checked: `last`, an id of a data server, and `servers`, by id the rows of points."""
    nothing = {"format": _FORMAT, "last": "", "servers": {}}
    data = state_dir.read(_NAME)
    if data is None:
        return nothing
    try:
        found: dict[str, Any] = orjson.loads(zlib.decompress(data))
        if found["format"] != _FORMAT:
            return nothing
        for rows in found["servers"].values():
            for number, web_id, name in rows.values():
                if not (isinstance(number, int) and isinstance(web_id, str) and isinstance(name, str)):
                    raise ValueError("a point without number, WebId or name")
        found["servers"].get(found["last"])
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        _log.warning(
            "%s is damaged (%s): points that were renamed since are not recognised", state_dir.path(_NAME), error
        )
        return nothing
    return found
