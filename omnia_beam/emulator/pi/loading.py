"""The points that an emulator begins with: files, synthetic specifications, and arrays or rows given to a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from omnia_beam.emulator.common.files import gathered_files
from omnia_beam.emulator.common.late import LateSeries
from omnia_beam.emulator.common.loading import add_synthetic
from omnia_beam.emulator.common.points import as_points, joined
from omnia_beam.emulator.common.signal import PlantSignal
from omnia_beam.emulator.common.store import Clock, Series, Store
from omnia_beam.emulator.pi.archive import Archive, Attributes, Taken
from omnia_beam.emulator.pi.events import Events, events_of
from omnia_beam.emulator.pi.history import SignalHistory, StoredHistory, events_of_points
from omnia_beam.emulator.pi.hostile import HOSTILE, add_hostile
from omnia_beam.emulator.pi.settings import PiSettings
from omnia_beam.emulator.pi.times import archived

_ROWS: Final = "values"


def load_archive(settings: PiSettings, series: Mapping[str, Any], now: Clock) -> Archive:
    """Return the data server that an emulator started with these settings would serve.

    `series` maps names to `(times, values[, statuses])`, times in ns and statuses of OPC, or to a dict of attributes (see
    `Attributes`) with rows `(time_ns, value[, marks])` under `values` (see `events_of`) and, for a digital point, the
    states by code under `states`.

    Raises ValueError or OSError, which names the argument that cannot be used.
    """
    archive = Archive(settings.data_server)
    try:
        _add_synthetic(archive, settings, now)
        _add_files(archive, settings)
        for name, content in series.items():
            _add_given(archive, settings, name, content)
    except Taken as error:
        raise ValueError(f"two points have the name {str(error)!r}, which PI reads in any case") from None
    return archive


def _add_synthetic(archive: Archive, settings: PiSettings, now: Clock) -> None:
    store = Store(now)
    others = [text for text in settings.synthetic if text.strip() != HOSTILE]
    add_synthetic(store, others, facility=settings.data_server, seed=settings.seed)
    for series in store.listed():
        archive.add(_attributes(series), SignalHistory(series, now, settings.rounding, single=_is_single(series)))
    if len(others) < len(settings.synthetic):
        add_hostile(archive, settings, now())


def _add_files(archive: Archive, settings: PiSettings) -> None:
    gathered = gathered_files(list(settings.data), facility=settings.data_server)
    for identity, batches in gathered.batches.items():
        events = events_of_points(joined(batches), settings.rounding, single=False)
        archive.add(Attributes(gathered.names[identity], "Float64"), StoredHistory(events))


def _add_given(archive: Archive, settings: PiSettings, name: str, content: Any) -> None:
    if not isinstance(content, Mapping):
        events = events_of_points(as_points(*content), settings.rounding, single=False)
        archive.add(Attributes(name, "Float64"), StoredHistory(events))
        return
    attributes = {key: value for key, value in content.items() if key not in (_ROWS, "states")}
    if (states := content.get("states")) is not None:
        attributes.setdefault("digital_set", f"{name} states")
        if archive.set_named(attributes["digital_set"]) is None:
            archive.add_set(attributes["digital_set"], states=states)
    rows = events_of(content.get(_ROWS, ()))
    on_grid = Events(archived(rows.times, settings.rounding), rows.numbers, rows.marks, rows.texts)
    archive.add(Attributes(name, **attributes), StoredHistory(on_grid))


def _attributes(series: Series) -> Attributes:
    metadata = series.metadata
    return Attributes(
        metadata.name,
        "Float32" if _is_single(series) else "Float64",
        descriptor=metadata.description or "",
        units=metadata.unit or "",
        step=metadata.step,
    )


def _is_single(series: Series) -> bool:
    source = series.source
    whole = source.complete if isinstance(source, LateSeries) else source
    return isinstance(whole, PlantSignal) and whole.shape.single
