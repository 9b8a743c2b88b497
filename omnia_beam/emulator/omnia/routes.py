"""Every path that the emulator serves, and the endpoint that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from omnia_beam.emulator.common.serving.response import ServiceResponse
from omnia_beam.emulator.omnia import aggregating, catalog, editing, ims, reading, surroundings, writing
from omnia_beam.emulator.omnia.call import Call
from omnia_beam.emulator.omnia.service import Service

TIMESERIES: Final = "/plant/timeseries/v1.7"
IMS_METADATA: Final = "/plant/ims-metadata/v1.3"
IMS_SUBSCRIPTIONS: Final = "/plant/ims-subscriptions/v1.2"
IMS_MANAGEMENT: Final = "/plant/ims-subscriptions-management/v1.2"

Endpoint = Callable[[Service, Call], Awaitable[ServiceResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path; `label` names it in the stats."""

    method: str
    path: str
    endpoint: Endpoint

    @property
    def label(self) -> str:
        return f"{self.method} {self.path.removeprefix(TIMESERIES) or '/'}"


def _timeseries(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(method, TIMESERIES + path, endpoint)


ROUTES: Final = (
    _timeseries("GET", "", catalog.list_series),
    _timeseries("POST", "", editing.create_series),
    _timeseries("POST", "/getoradd", editing.get_or_add),
    _timeseries("GET", "/search", catalog.search_series),
    _timeseries("GET", "/search/{query}", catalog.search_text),
    _timeseries("GET", "/query/data", reading.get_data_by_name),
    _timeseries("POST", "/query/data", aggregating.query_data),
    _timeseries("POST", "/query/data/first", reading.query_first),
    _timeseries("POST", "/query/data/latest", reading.query_latest),
    _timeseries("POST", "/data", writing.write_many),
    _timeseries("GET", "/facets/facility", surroundings.facility_facets),
    _timeseries("GET", "/facets/source", surroundings.source_facets),
    _timeseries("GET", "/streaming/subscriptions", surroundings.get_subscriptions),
    _timeseries("POST", "/streaming/subscriptions", surroundings.add_subscriptions),
    _timeseries("DELETE", "/streaming/subscriptions/{id}", surroundings.delete_subscription),
    _timeseries("POST", "/streaming/destination", surroundings.set_destination),
    _timeseries("GET", "/{id}/data", reading.get_data),
    _timeseries("POST", "/{id}/data", writing.write_data),
    _timeseries("DELETE", "/{id}/data", writing.delete_data),
    _timeseries("GET", "/{id}/data/aggregates", aggregating.get_aggregates),
    _timeseries("GET", "/{id}/data/first", reading.get_first),
    _timeseries("GET", "/{id}/data/latest", reading.get_latest),
    _timeseries("GET", "/{id}/history", editing.get_history),
    _timeseries("GET", "/{id}", catalog.get_series),
    _timeseries("PATCH", "/{id}", editing.patch_series),
    _timeseries("PUT", "/{id}", editing.put_series),
    _timeseries("DELETE", "/{id}", editing.delete_series),
    Route("GET", IMS_METADATA + "/search", ims.search_metadata),
    Route("GET", IMS_SUBSCRIPTIONS, ims.list_subscriptions),
    Route("GET", IMS_SUBSCRIPTIONS + "/uid/{uid}", ims.subscription_by_uid),
    Route("GET", IMS_SUBSCRIPTIONS + "/timeseriesId/{id}", ims.subscription_by_series),
    Route("GET", IMS_SUBSCRIPTIONS + "/{systemCode}", ims.subscriptions_of_system),
    Route("GET", IMS_MANAGEMENT + "/{systemCode}/counter", ims.subscription_counter),
    Route("PATCH", IMS_MANAGEMENT + "/uid/{uid}", ims.patch_subscription),
)
