"""Timeseries metadata: find, read, create, change and delete, the history of changes, and the known facilities and sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_METADATA_ITEMS
from omnia_beam.core.series import Timeseries, TimeseriesDraft, changes_to_json
from omnia_beam.net.api import operations as ops
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.items import ServiceMessage, each_item, items_of, message_of, one_item
from omnia_beam.net.api.operations import Operation


class TimeseriesChanges(TypedDict, total=False):
    """The fields of a timeseries that can be changed."""

    name: str
    facility: str
    description: str | None
    step: bool | None
    unit: str | None
    asset_id: str | None
    external_id: str | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True)
class HistoryEntry:
    """One change of a timeseries' metadata: by whom, when (the service's RFC 3339 text), and the changed fields."""

    changed_by: str | None
    changed_time: str | None
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)


class MetadataCalls(ApiClient):
    """The metadata calls of `OmniaClient`. Common errors: those of `ServiceSession.send`; NotFoundError for an unknown id.

    The service cuts a result set at 100,000 items without a notice: one of that size is refused when its end is reached.
    """

    def get_timeseries(
        self,
        name: str | None = None,
        external_id: str | None = None,
        source: str | None = None,
        asset_id: str | None = None,
        facility: str | None = None,
        *,
        page_size: int | None = None,
    ) -> Iterator[Timeseries]:
        """Return the timeseries whose fields equal all that are given; without any, all. Pages are fetched as they are needed.

        Raises:
            UsageError: after the last item, where the result set has the largest size that the service allows.
        """
        return self._find(
            ops.LIST_TIMESERIES,
            (),
            page_size,
            name=name,
            externalId=external_id,
            source=source,
            assetId=asset_id,
            facility=facility,
        )

    def search_timeseries(
        self,
        query: str | None = None,
        *,
        name: str | None = None,
        external_id: str | None = None,
        source: str | None = None,
        asset_id: str | None = None,
        facility: str | None = None,
        description: str | None = None,
        unit: str | None = None,
        page_size: int | None = None,
    ) -> Iterator[Timeseries]:
        """Return the timeseries that match: `query` in any field, the other arguments in theirs; `*` matches anything.

        Raises:
            UsageError: as `get_timeseries`.
        """
        ids = () if query is None else (query,)
        operation = ops.SEARCH_TIMESERIES if query is None else ops.SEARCH_TIMESERIES_BY_QUERY
        return self._find(
            operation,
            ids,
            page_size,
            name=name,
            externalId=external_id,
            source=source,
            assetId=asset_id,
            facility=facility,
            description=description,
            unit=unit,
        )

    def get_timeseries_by_id(self, id: str) -> Timeseries:
        """Return one timeseries."""
        return Timeseries.from_json(one_item(ops.GET_TIMESERIES.send(self._session, id)))

    def post_timeseries(self, draft: TimeseriesDraft) -> Timeseries:
        """Create a timeseries and return it.

        Raises:
            ConflictError: one of that name and facility exists; `get_or_add_timeseries` would return it.
        """
        return Timeseries.from_json(one_item(ops.POST_TIMESERIES.send(self._session, json_body=draft.to_json())))

    def add_timeseries(self, draft: TimeseriesDraft) -> Timeseries:
        """Create a timeseries and return it: another name of `post_timeseries`."""
        return self.post_timeseries(draft)

    def get_or_add_timeseries(self, drafts: Iterable[TimeseriesDraft]) -> list[Timeseries]:
        """Return the timeseries of the drafts, in the service's order; missing ones (by name and facility) are created."""
        body = [draft.to_json() for draft in drafts]
        if not body:
            return []
        response = ops.GET_OR_ADD_TIMESERIES.send(self._session, json_body=body)
        return [Timeseries.from_json(item) for item in items_of(response)]

    def patch_timeseries(self, id: str, **changes: Unpack[TimeseriesChanges]) -> Timeseries:
        """Change the named fields only, as in `patch_timeseries(id, unit="bar")`, and return the timeseries.

        Raises:
            UsageError: no change, or a field that cannot be set.
        """
        if not changes:
            raise UsageError("patch_timeseries without a change: name the fields, such as unit='bar'")
        body = changes_to_json(changes)
        return Timeseries.from_json(one_item(ops.PATCH_TIMESERIES.send(self._session, id, json_body=body)))

    def put_timeseries(self, id: str, draft: TimeseriesDraft) -> Timeseries:
        """Replace all metadata of a timeseries and return it."""
        return Timeseries.from_json(one_item(ops.PUT_TIMESERIES.send(self._session, id, json_body=draft.to_json())))

    def delete_timeseries_by_id(self, id: str) -> ServiceMessage:
        """Delete a timeseries: its metadata and, as far as is known, its points."""
        return message_of(ops.DELETE_TIMESERIES.send_delete(self._session, id))

    def get_history(self, id: str) -> list[HistoryEntry]:
        """Return the changes of a timeseries' metadata."""
        return [
            HistoryEntry(item.get("changedBy"), item.get("changedTime"), item.get("changes") or {})
            for item in items_of(ops.GET_HISTORY.send(self._session, id))
        ]

    def get_facilities(self, source: str | None = None) -> dict[str, int]:
        """Return the facilities (of one source) with the number of timeseries of each."""
        return self._facet(ops.GET_FACILITIES, "facility", [("source", source)] if source else [])

    def get_facilities_by_source(self, source: str) -> dict[str, int]:
        """Return the facilities of one source with the number of timeseries of each."""
        return self.get_facilities(source)

    def get_sources(self, facility: str | None = None) -> dict[str, int]:
        """Return the sources (of one facility) with the number of timeseries of each."""
        return self._facet(ops.GET_SOURCES, "source", [("facility", facility)] if facility else [])

    def get_sources_by_facility(self, facility: str) -> dict[str, int]:
        """Return the sources of one facility with the number of timeseries of each."""
        return self.get_sources(facility)

    def _find(
        self, operation: Operation, ids: tuple[str, ...], page_size: int | None, **filters: str | None
    ) -> Iterator[Timeseries]:
        params = [(name, value) for name, value in filters.items() if value is not None]
        if page_size is not None:
            params.append(("limit", str(page_size)))
        return _uncapped(each_item(self._session, operation, ids, params))

    def _facet(self, operation: Operation, name: str, params: Sequence[tuple[str, str]]) -> dict[str, int]:
        items = items_of(operation.send(self._session, params=params))
        return {str(item.get(name)): int(item.get("count") or 0) for item in items}


def _uncapped(items: Iterator[dict[str, Any]]) -> Iterator[Timeseries]:
    count = 0
    for item in items:
        yield Timeseries.from_json(item)
        count += 1
    if count >= MAX_METADATA_ITEMS:
        raise UsageError(
            f"{count} timeseries match, the most that the service lists: there may be more that it left out; narrow the "
            "search, for example by facility"
        )
