"""Remember names, units and steps of a job's series from run to run, and report what has changed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.ledger.state_dir import StateDir

_log = logging.getLogger(__name__)

_NAME: Final = "plan/series-metadata"
_FORMAT: Final = 1


def remember_series(state_dir: StateDir, series: Iterable[Timeseries]) -> None:
    """Store names, units and steps of the series for the next run; series that are not selected now are kept.

    Raises:
        StateError: the directory cannot be written.
    """
    before = _remembered(state_dir)
    known = {**before, **{each.id: [each.name, each.unit, each.step] for each in series if each.name}}
    if known != before:
        data = {"format": _FORMAT, "series": dict(sorted(known.items()))}
        state_dir.write(_NAME, zlib.compress(orjson.dumps(data), 1))


def series_changes(state_dir: StateDir, series: Iterable[Timeseries]) -> Iterator[Finding]:
    """Yield findings about series that have another name, unit or step than remembered.

    Raises:
        StateError: the directory cannot be read.
    """
    before = _remembered(state_dir)
    for each in series:
        if each.id not in before or not each.name:
            continue
        name, unit, step = before[each.id]
        if name != each.name:
            text = f"was called {name!r} and is one series with it: its id is the same"
            yield Finding("renamed_series", each.name, text, False, series_id=each.id)
        if unit != each.unit:
            text = f"its unit was {unit or 'not given'} and is {each.unit or 'not given'}: what was copied before is in the former"
            yield Finding("series_changed", each.name, text, False, series_id=each.id)
        if step != each.step:
            text = f"its values {'held' if step else 'did not hold'} until the next one, and now {'do' if each.step else 'do not'}"
            yield Finding("series_changed", each.name, text, False, series_id=each.id)


def _remembered(state_dir: StateDir) -> Mapping[str, list[Any]]:
    data = state_dir.read(_NAME)
    if data is None:
        return {}
    try:
        found = orjson.loads(zlib.decompress(data))
        series = found["series"] if found["format"] == _FORMAT else {}
        return {series_id: [name, unit, step] for series_id, (name, unit, step) in series.items()}
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        _log.warning("%s is damaged (%s): left out", state_dir.path(_NAME), error)
        return {}
