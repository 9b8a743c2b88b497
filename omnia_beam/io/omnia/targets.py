"""Find the timeseries of a service by id or by name and facility, and create those that are missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from omnia_beam.config.create_missing import CreateMissing
from omnia_beam.core.errors import ServiceError, UsageError
from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST
from omnia_beam.core.series import Timeseries, TimeseriesDraft
from omnia_beam.io.base import TargetName
from omnia_beam.io.omnia.lookup import ONE_BY_ONE, PAGE, find_by_id
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.http.session import ServiceSession


class ServiceTargets:
    """The timeseries of an Omnia service. Its methods raise what `ServiceSession.send` raises."""

    def __init__(self, session: ServiceSession, creation: CreateMissing | None = None) -> None:
        self._calls = MetadataCalls(session)
        self.creation = creation

    def find(self, names: Iterable[TargetName]) -> Mapping[TargetName, Timeseries]:
        wanted = set(names)
        found = self._by_id({each.id for each in wanted if each.id is not None})
        by_facility: dict[str, set[str]] = defaultdict(set)
        for each in wanted:
            if each.id is None:
                by_facility[each.facility or ""].add(each.name or "")
        for facility, in_facility in sorted(by_facility.items()):
            found |= self._by_name(facility, in_facility)
        return found

    def create(self, drafts: Sequence[TimeseriesDraft]) -> Mapping[TargetName, Timeseries]:
        """Create by `getoradd`, 100 to a request; one that another run has created meanwhile is returned unchanged.

        Raises:
            ServiceError: the service left one of them out.
        """
        found: dict[TargetName, Timeseries] = {}
        for batch in _batches(drafts):
            for made in self._calls.get_or_add_timeseries(batch):
                found[TargetName(name=made.name, facility=made.facility)] = made
            for draft in batch:
                if TargetName(name=draft.name, facility=draft.facility) not in found:
                    raise ServiceError(
                        f"POST getoradd: asked for timeseries {draft.name!r} in {draft.facility!r}, the answer has none of that "
                        "name and facility"
                    )
        return found

    def candidates(self) -> Sequence[Timeseries]:
        return self._listed()[0]

    def _by_id(self, ids: set[str]) -> dict[TargetName, Timeseries]:
        return {TargetName(id): series for id, series in find_by_id(self._calls, ids)}

    def _by_name(self, facility: str, names: set[str]) -> dict[TargetName, Timeseries]:
        found: dict[str, Timeseries] = {}
        left = names
        if len(names) > ONE_BY_ONE:
            listed, whole = self._listed(facility)
            found = {each.name: each for each in listed if each.name in names}
            left = set() if whole else names - found.keys()
        for name in sorted(left):
            for each in self._calls.get_timeseries(name=name, facility=facility):
                if each.name == name and each.facility == facility:
                    found[name] = each
        return {TargetName(name=name, facility=facility): series for name, series in found.items()}

    def _listed(self, facility: str | None = None) -> tuple[list[Timeseries], bool]:
        """Return a listing, and whether it is complete.

        The service cuts listings, and the client raises UsageError at the end of one that is cut.
        """
        found: list[Timeseries] = []
        try:
            for each in self._calls.get_timeseries(facility=facility, page_size=PAGE):
                found.append(each)
        except UsageError:
            return found, False
        return found, True


def _batches(drafts: Sequence[TimeseriesDraft]) -> Iterator[list[TimeseriesDraft]]:
    rest = iter(drafts)
    while batch := list(islice(rest, MAX_SERIES_PER_REQUEST)):
        yield batch
