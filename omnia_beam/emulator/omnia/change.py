"""Every way in which the state of an emulator changes, as plain data: applied in memory, and written to the journal.

A change is applied whole or not at all. Replaying the changes of a journal over the same base data yields the same
state again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from omnia_beam.emulator.common.metadata import SeriesMetadata
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.omnia.companion import Companion

_BATCH = struct.Struct("<36sQ")
_POINT_BYTES = 20


@dataclass(frozen=True, slots=True)
class WritePoints:
    """Upserts per series, or, with `replace`, all the points that the series have from now on."""

    batches: tuple[tuple[str, Points], ...]
    replace: bool = False

    @property
    def points(self) -> int:
        return sum(len(points) for _, points in self.batches)


@dataclass(frozen=True, slots=True)
class DeletePoints:
    """The removal of `[start_ns, end_ns)` from one series; None leaves a side open."""

    series_id: str
    start_ns: int | None
    end_ns: int | None


@dataclass(frozen=True, slots=True)
class PutSeries:
    """A new series, or new metadata of one that exists; `history` replaces its whole history."""

    metadata: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveSeries:
    """The removal of a series; where no series has the id, only the id is retired."""

    series_id: str


@dataclass(frozen=True, slots=True)
class PutCompanion:
    """A new state of all subscriptions, which replaces the old one."""

    state: Mapping[str, Any]


Change: TypeAlias = WritePoints | DeletePoints | PutSeries | RemoveSeries | PutCompanion

_JSON_KINDS: Mapping[bytes, type[DeletePoints] | type[PutSeries] | type[RemoveSeries] | type[PutCompanion]] = {
    b"D": DeletePoints,
    b"S": PutSeries,
    b"X": RemoveSeries,
    b"C": PutCompanion,
}


def apply_change(store: Store, companion: Companion, change: Change) -> int:
    """Apply the change and return how many points it wrote or removed. Raises KeyError for an unknown series."""
    match change:
        case WritePoints():
            for series_id, points in change.batches:
                series = store.series[series_id]
                (series.replace if change.replace else series.write)(points)
            return change.points
        case DeletePoints():
            return store.series[change.series_id].delete(change.start_ns, change.end_ns)
        case PutSeries():
            _put_series(store, change)
        case RemoveSeries():
            if change.series_id in store.series:
                store.remove(store.series[change.series_id])
            store.retire_id(change.series_id)
        case PutCompanion():
            companion.restore(change.state)
    return 0


def encode_change(change: Change) -> bytes:
    """Return the payload of the journal record of a change."""
    if isinstance(change, WritePoints):
        parts = [b"R" if change.replace else b"W"]
        for series_id, points in change.batches:
            parts.append(_BATCH.pack(series_id.encode(), len(points)))
            parts += [points.times.tobytes(), points.values.tobytes(), points.statuses.tobytes()]
        return b"".join(parts)
    kind = next(letter for letter, made in _JSON_KINDS.items() if isinstance(change, made))
    return kind + orjson.dumps(asdict(change))


def decode_change(payload: bytes) -> Change:
    """Return the change of a journal record. Raises ValueError for a record of an unknown kind."""
    kind = payload[:1]
    if kind in (b"W", b"R"):
        return WritePoints(tuple(_decoded_batches(payload)), kind == b"R")
    if kind not in _JSON_KINDS:
        raise ValueError(f"unknown kind of record {kind!r}")
    return _JSON_KINDS[kind](**orjson.loads(payload[1:]))


def compacted(store: Store, companion: Companion) -> Iterator[Change]:
    """Yield the fewest changes that lead from the base data to the present state."""
    for series_id in sorted(store.used_ids - store.series.keys()):
        yield RemoveSeries(series_id)
    for series in store.listed():
        if series.edited:
            yield PutSeries(asdict(series.metadata), tuple(series.history))
        if series.touched:
            yield WritePoints(((series.id, series.points()),), replace=True)
    if companion.changed:
        yield PutCompanion(companion.state())


def _put_series(store: Store, change: PutSeries) -> None:
    metadata = SeriesMetadata(**change.metadata)
    if metadata.id in store.series:
        store.rename(store.series[metadata.id], metadata)
    else:
        store.add(metadata)
    series = store.series[metadata.id]
    series.edited = True
    series.history = [dict(item) for item in change.history]


def _decoded_batches(payload: bytes) -> Iterator[tuple[str, Points]]:
    offset = 1
    while offset < len(payload):
        series_id, count = _BATCH.unpack_from(payload, offset)
        offset += _BATCH.size
        # Copies, because the columns in the record are unaligned and read-only.
        times = np.frombuffer(payload, np.int64, count, offset).copy()
        values = np.frombuffer(payload, np.float64, count, offset + 8 * count).copy()
        statuses = np.frombuffer(payload, np.uint32, count, offset + 16 * count).copy()
        offset += _POINT_BYTES * count
        yield series_id.decode(), Points(times, values, statuses)
