"""Remember the metadata of a job's series from run to run, to ask for it once, and report what has changed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from itertools import islice
from typing import Any, Final

import orjson

from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.ledger.state_dir import StateDir

_log = logging.getLogger(__name__)

_NAME: Final = "plan/series-metadata"
_FORMAT: Final = 2
"""Format 1 held names, units and steps alone: [name, unit, step] by id."""

_FIELDS: Final = tuple(
    each for each in fields(Timeseries) if each.name not in ("id", "created_time", "changed_time", "other")
)


def remember_series(state_dir: StateDir, series: Iterable[Timeseries]) -> None:
    """Store the metadata of series for the next run, except of those without a name; series that are not selected now are kept.

    Raises:
        StateError: the directory cannot be written.
    """
    before = _remembered(state_dir)
    known = {**before, **{each.id: _to_json(each) for each in series if each.name}}
    if known != before:
        data = {"format": _FORMAT, "series": dict(sorted(known.items()))}
        state_dir.write(_NAME, zlib.compress(orjson.dumps(data), 1))


def recall_series(state_dir: StateDir) -> dict[str, Timeseries]:
    """Return the series whose metadata is remembered, by id.

    Raises:
        StateError: the directory cannot be read.
    """
    return {
        series_id: _from_json(series_id, found)
        for series_id, found in _remembered(state_dir).items()
        if "facility" in found
    }


def titles(state_dir: StateDir, series_ids: Collection[str], most: int = 3) -> str:
    """Return some series for a message: the names with their ids behind them, as far as they are remembered.

    Raises:
        StateError: the directory cannot be read.
    """
    known = recall_series(state_dir)
    shown = [known[each].title if each in known else each for each in islice(series_ids, most)]
    rest = len(series_ids) - len(shown)
    return "; ".join(shown) + (f"; and {rest:,} more" if rest > 0 else "")


def series_changes(state_dir: StateDir, series: Iterable[Timeseries]) -> Iterator[Finding]:
    """Yield findings about series that have another name, unit, type or step than remembered.

    Raises:
        StateError: the directory cannot be read.
    """
    remembered = _remembered(state_dir)
    for each in series:
        before = remembered.get(each.id)
        if before is None or not each.name:
            continue
        name, unit, step, kind = (before.get(key) for key in ("name", "unit", "step", "value_type"))
        if name != each.name:
            text = f"was called {name!r} and is one series with it: its id is the same"
            yield Finding("renamed_series", each.name, text, False, series_id=each.id)
        if unit != each.unit:
            text = f"its unit was {unit or 'not given'} and is {each.unit or 'not given'}: what was copied before is in the former"
            yield Finding("series_changed", each.name, text, False, series_id=each.id)
        if step != each.step:
            text = f"its values {'held' if step else 'did not hold'} until the next one, and now {'do' if each.step else 'do not'}"
            yield Finding("series_changed", each.name, text, False, series_id=each.id)
        if kind is not None and each.value_type is not None and kind != each.value_type:
            text = f"its values were of type {kind} and are {each.value_type}"
            yield Finding("series_changed", each.name, text, False, series_id=each.id)


def _to_json(series: Timeseries) -> dict[str, Any]:
    """Return the fields that differ from their defaults, and always the name and the facility."""
    found: dict[str, Any] = {}
    for each in _FIELDS:
        value = getattr(series, each.name)
        if each.default is MISSING and each.default_factory is MISSING:
            found[each.name] = value
        elif value is not None and value != {}:
            found[each.name] = {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value
    return found


def _from_json(series_id: str, found: Mapping[str, Any]) -> Timeseries:
    states = {int(code): name for code, name in found.get("states", {}).items()}
    return Timeseries(series_id, **{**found, "states": states})


def _remembered(state_dir: StateDir) -> Mapping[str, dict[str, Any]]:
    data = state_dir.read(_NAME)
    if data is None:
        return {}
    try:
        found = orjson.loads(zlib.decompress(data))
        if found["format"] == 1:
            return {
                id: {"name": name, "unit": unit, "step": step} for id, (name, unit, step) in found["series"].items()
            }
        known = {each.name for each in _FIELDS}
        series = found["series"] if found["format"] == _FORMAT else {}
        return {id: {name: value for name, value in each.items() if name in known} for id, each in series.items()}
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        _log.warning("%s is damaged (%s): left out", state_dir.path(_NAME), error)
        return {}
