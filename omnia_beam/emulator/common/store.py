"""All series of one emulator: their metadata and their points, independent of HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from omnia_beam.emulator.common.late import LateSeries
from omnia_beam.emulator.common.metadata import SeriesMetadata, series_id
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.source import PointSource, StoredPoints, points_between

Clock = Callable[[], int]
"""Returns ns since the Unix epoch."""


class NameTaken(Exception):
    """Another series of that facility has that name, or the id is in use."""


@dataclass(slots=True, eq=False)
class Series:
    """One timeseries. `version` grows with every change of its points; `ordinal` is its place in the listing.

    `touched` and `edited` show that its points, or its metadata, are no longer those of the base data.
    """

    metadata: SeriesMetadata
    source: PointSource | LateSeries
    ordinal: int = 0
    version: int = 0
    touched: bool = False
    edited: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.metadata.id

    def visible(self, now_ns: int) -> PointSource:
        """Return a steady view of the points that a reader may see at `now_ns`."""
        return self.source.at(now_ns) if isinstance(self.source, LateSeries) else self.source

    def complete(self) -> PointSource:
        """Return every point, also those that no reader sees yet."""
        return self.source.complete if isinstance(self.source, LateSeries) else self.source

    def points(self, start_ns: int | None = None, end_ns: int | None = None) -> Points:
        """Return the exact points of `[start_ns, end_ns)`, visible yet or not; None leaves a side open."""
        return points_between(self.complete(), start_ns, end_ns)

    def write(self, points: Points) -> None:
        """Upsert the points. A synthetic series is first turned into arrays, in which late points are visible at once."""
        self.stored().write(points)

    def delete(self, start_ns: int | None, end_ns: int | None) -> int:
        """Remove `[start_ns, end_ns)` and return how many points that were."""
        return self.stored().delete(start_ns, end_ns)

    def replace(self, points: Points) -> None:
        """Replace all points with these."""
        self.source = StoredPoints(points)
        self.stored()

    def stored(self) -> StoredPoints:
        """Return the points as arrays that can be changed, and mark the series as changed."""
        if not isinstance(self.source, StoredPoints):
            source = self.complete()
            self.source = StoredPoints(source.read(0, source.count()))
        self.version += 1
        self.touched = True
        return self.source


class Store:
    """Every series by id. The store is not thread-safe: one event loop owns it."""

    def __init__(self, now: Clock = time.time_ns) -> None:
        self.now = now
        self.series: dict[str, Series] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._used: set[str] = set()
        self._listing: list[Series | None] = []

    def add(self, metadata: SeriesMetadata, source: PointSource | LateSeries | None = None) -> Series:
        """Add and return a series with these points, or none.

        Raises NameTaken if name and facility, or the id, are in use.
        """
        key = _name_key(metadata)
        if key in self._names or metadata.id in self.series:
            raise NameTaken(metadata.name)
        series = Series(metadata, source if source is not None else StoredPoints(), len(self._listing))
        self.series[metadata.id] = series
        self._names[key] = metadata.id
        self._used.add(metadata.id)
        self._listing.append(series)
        return series

    def remove(self, series: Series) -> None:
        """Remove the series and its points; its id will not be used again."""
        del self.series[series.id]
        del self._names[_name_key(series.metadata)]
        self._listing[series.ordinal] = None

    def rename(self, series: Series, metadata: SeriesMetadata) -> None:
        """Set new metadata of the same id. Raises NameTaken if another series has that name and facility."""
        old_key, new_key = _name_key(series.metadata), _name_key(metadata)
        if new_key != old_key and new_key in self._names:
            raise NameTaken(metadata.name)
        del self._names[old_key]
        self._names[new_key] = series.id
        series.metadata = metadata

    def named(self, facility: str, name: str) -> Series | None:
        """Return the series of that name and facility (the facility in any case), or None."""
        found = self._names.get((facility.casefold(), name))
        return self.series[found] if found else None

    def fresh_id(self, facility: str, name: str) -> str:
        """Return an id for a new series of that name that was never in use."""
        generation = 0
        while (candidate := series_id(facility, name, generation)) in self._used:
            generation += 1
        return candidate

    def listed(self, after_ordinal: int = -1) -> Iterator[Series]:
        """Yield the series in the order in which they were added, from after the given ordinal."""
        for ordinal in range(after_ordinal + 1, len(self._listing)):
            series = self._listing[ordinal]
            if series is not None:
                yield series

    def retire_id(self, used: str) -> None:
        """Record an id that a deleted series had, so that it is not used again."""
        self._used.add(used)

    @property
    def used_ids(self) -> frozenset[str]:
        """Every id ever used, also those of deleted series."""
        return frozenset(self._used)


def _name_key(metadata: SeriesMetadata) -> tuple[str, str]:
    return metadata.facility.casefold(), metadata.name
