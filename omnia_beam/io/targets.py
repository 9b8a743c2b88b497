"""The interface of the place where the target series of a job are looked up and created, and the targets of files and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from omnia_beam.config.create_missing import CreateMissing
from omnia_beam.core.errors import UsageError
from omnia_beam.core.series import Timeseries, TimeseriesDraft


@dataclass(frozen=True, slots=True)
class TargetName:
    """The identity of a target: its id, or its name and facility, which together are unique. [sdk]"""

    id: str | None = None
    name: str | None = None
    facility: str | None = None

    def __str__(self) -> str:
        if self.id is not None:
            return self.id
        return f"{self.name} in {self.facility}" if self.facility else str(self.name)


class Targets(Protocol):
    """The place where the target's timeseries are looked up.

    Attributes:
        creation: the metadata of those that are created; None where none are.
    """

    creation: CreateMissing | None

    def find(self, names: Iterable[TargetName]) -> Mapping[TargetName, Timeseries]:
        """Return the timeseries that exist, by the names that were given."""

    def create(self, drafts: Sequence[TimeseriesDraft]) -> Mapping[TargetName, Timeseries]:
        """Create those that do not exist, and return all of them by name and facility."""

    def candidates(self) -> Sequence[Timeseries]:
        """Return the timeseries that series of a source could map to: all there are, as far as the target lists them."""


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
