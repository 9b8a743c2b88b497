"""Clients of the three companion APIs of the on-premise historians (IMS: PI, IP.21): tags, subscriptions, their management.

Their objects have some thirty loosely typed fields [sdk]: those that identify are attributes, all of them are in `fields` as
the service spelled them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from omnia_beam.core.errors import UsageError
from omnia_beam.net.api import operations as ops
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.items import each_item, items_of, one_item
from omnia_beam.net.api.operations import Operation

if TYPE_CHECKING:
    from omnia_beam.net.http.transport import Query


@dataclass(frozen=True)
class ImsTag:
    """A tag of an on-premise historian."""

    id: str | None
    uid: str | None
    tag: str | None
    system_code: str | None
    description: str | None
    fields: Mapping[str, Any] = field(repr=False, hash=False)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Build a tag from one item of a response."""
        id, uid, tag, code, text = map(item.get, ("id", "uid", "tag", "systemCode", "description"))
        return cls(id, uid, tag, code, text, dict(item))


@dataclass(frozen=True)
class ImsSubscription:
    """A tag that is published to the platform, and the timeseries that it feeds."""

    uid: str | None
    timeseries_id: str | None
    name: str | None
    system_code: str | None
    fields: Mapping[str, Any] = field(repr=False, hash=False)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """Build a subscription from one item of a response."""
        uid, timeseries_id, name, code = map(item.get, ("uid", "timeseriesId", "name", "systemCode"))
        return cls(uid, timeseries_id, name, code, dict(item))


@dataclass(frozen=True)
class SubscriptionCounter:
    """The number of subscriptions that a system has (`count`), and the number that it may have (`quota`)."""

    quota: int | None
    count: int | None


class ImsMetadataClient(ApiClient):
    """A client of IMS Metadata v1.3. Common errors: those of `ServiceSession.send`."""

    def search(self, tag: str | None = None, uid: str | None = None) -> Iterator[ImsTag]:
        """Return the tags of this name or uid; pages are fetched as they are needed."""
        params = [(name, value) for name, value in (("tag", tag), ("uid", uid)) if value is not None]
        return (ImsTag.from_json(item) for item in each_item(self._session, ops.IMS_METADATA_SEARCH, (), params))


class ImsSubscriptionsClient(ApiClient):
    """A client of IMS Subscriptions v1.2. Common errors: those of `ServiceSession.send`."""

    def search(self, *, page_size: int = 1000) -> Iterator[ImsSubscription]:
        """Return all subscriptions; pages are fetched as they are needed."""
        return self._each(ops.IMS_SUBSCRIPTIONS, (), [("limit", str(page_size))])

    def search_by_uid(self, uid: str) -> Iterator[ImsSubscription]:
        """Return the subscriptions of one tag; pages are fetched as they are needed."""
        return self._each(ops.IMS_SUBSCRIPTIONS_BY_UID, (uid,))

    def search_by_timeseries_id(self, timeseries_id: str) -> Iterator[ImsSubscription]:
        """Return the subscriptions that feed one timeseries; pages are fetched as they are needed."""
        return self._each(ops.IMS_SUBSCRIPTIONS_BY_TIMESERIES, (timeseries_id,))

    def search_by_system_code(self, system_code: str) -> Iterator[ImsSubscription]:
        """Return the subscriptions of one system; pages are fetched as they are needed."""
        return self._each(ops.IMS_SUBSCRIPTIONS_BY_SYSTEM, (system_code,))

    def _each(self, operation: Operation, ids: tuple[str, ...], params: Query = ()) -> Iterator[ImsSubscription]:
        return (ImsSubscription.from_json(item) for item in each_item(self._session, operation, ids, params))


class ImsSubscriptionsManagementClient(ApiClient):
    """A client of IMS Subscriptions Management v1.2. Common errors: those of `ServiceSession.send`."""

    def get_subscription_counter_by_system_code(self, system_code: str) -> SubscriptionCounter:
        """Return the number of subscriptions that the system has, and the number that it may have."""
        item = one_item(ops.IMS_COUNTER.send(self._session, system_code))
        return SubscriptionCounter(item.get("quota"), item.get("count"))

    def patch_subscription_by_uid(
        self, uid: str, changes: Mapping[str, Any], *, reset_state: bool | None = None
    ) -> list[ImsSubscription]:
        """Change fields of a subscription or of its state, and return the subscriptions in the response.

        Args:
            changes: by the service's names: `name, plantStidCode, plantSapCode, terminal, fieldId, timeseriesId`,
                and of the state `tsdbBackfilled, tsdbEventsExported, dlBackfilled, …`.
            reset_state: start the state from the beginning.

        Raises:
            UsageError: no change at all.
        """
        if not changes and reset_state is None:
            raise UsageError("patch_subscription_by_uid without a change")
        params = [] if reset_state is None else [("resetState", str(reset_state).lower())]
        response = ops.IMS_PATCH_SUBSCRIPTION.send(self._session, uid, params=params, json_body=dict(changes))
        return [ImsSubscription.from_json(item) for item in items_of(response)]
