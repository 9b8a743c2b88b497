"""The targets of sinks that hold any series: files and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from omnia_beam.config.create_missing import CreateMissing
from omnia_beam.core.errors import UsageError
from omnia_beam.core.series import Timeseries, TimeseriesDraft
from omnia_beam.io.base import TargetName


class AnySeries:
    """Targets that need not be created: every one exists, under its id or else its name."""

    creation: CreateMissing | None = None

    def find(self, names: Iterable[TargetName]) -> Mapping[TargetName, Timeseries]:
        found = {}
        for each in names:
            series_id = each.id if each.id is not None else each.name or ""
            found[each] = Timeseries(series_id, each.name or series_id, each.facility or "")
        return found

    def create(self, drafts: Sequence[TimeseriesDraft]) -> Mapping[TargetName, Timeseries]:
        raise UsageError("sink: timeseries are created in a service only")

    def candidates(self) -> Sequence[Timeseries]:
        return ()
