"""Remember which point of the data server each series was, so that a point that is renamed stays one series."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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


def known_points(state_dir: StateDir) -> Mapping[str, KnownPoint]:
    """Return the points that earlier runs found, by series id.

    Raises:
        StateError: the directory cannot be read.
    """
    data = state_dir.read(_NAME)
    if data is None:
        return {}
    try:
        found = orjson.loads(zlib.decompress(data))
        points = found["points"] if found["format"] == _FORMAT else {}
        return {
            series_id: KnownPoint(int(number), web_id, name) for series_id, (number, web_id, name) in points.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        _log.warning(
            "%s is damaged (%s): points that were renamed since are not recognised", state_dir.path(_NAME), error
        )
        return {}


def remember_points(state_dir: StateDir, points: Mapping[str, KnownPoint]) -> None:
    """Store the points of this run; those that are not selected now stay remembered.

    Raises:
        StateError: the directory cannot be written.
    """
    before = known_points(state_dir)
    now = {**before, **points}
    if now != before:
        rows = {series_id: [each.number, each.web_id, each.name] for series_id, each in sorted(now.items())}
        state_dir.write(_NAME, zlib.compress(orjson.dumps({"format": _FORMAT, "points": rows}), 1))
