"""Every public method of the official SDK (omnia-timeseries 2.0.0, unmodified) against an emulator.

    .venv-sdk/bin/python tests/emulator/omnia/sdk_contract.py URL

Run by an interpreter that has the SDK, which has no place in the project's own environment. Prints one JSON object:
what each call gave (bytes in base64, an exception as its status), by API class and method.
"""

from __future__ import annotations

import base64
import inspect
import json
import sys
from typing import Any

from azure.core.credentials import AccessToken
from omnia_timeseries.api import (
    FederationSource,
    IMSMetadataAPI,
    IMSSubscriptionsAPI,
    IMSSubscriptionsManagementAPI,
    TimeseriesAPI,
    TimeseriesEnvironment,
)
from omnia_timeseries.models import TimeseriesRequestFailedException

PROTOBUF = ("application/protobuf", "application/x-google-protobuf")
START, END = "2023-11-14T22:13:20.0000000Z", "2023-11-14T22:14:20.0000000Z"


class StaticCredential:
    """A token for everybody."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("static", 2**40)


class Recorder:
    """One API of the SDK, pointed at an emulator; remembers what every call gave."""

    def __init__(self, api: Any, base_url: str, results: dict[str, list[Any]]) -> None:
        # The SDK knows three environments by name; its base URL is an attribute that it reads at every call.
        api._base_url = base_url
        self._api = api
        self._results = results

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                given = getattr(self._api, method)(*args, **kwargs)
            except TimeseriesRequestFailedException as error:
                given = {"failed": error.status_code, "message": error.message, "traced": bool(error.trace_id)}
            shown = {"bytes": base64.b64encode(given).decode()} if isinstance(given, bytes) else given
            self._results.setdefault(f"{type(self._api).__name__}.{method}", []).append(shown)
            return given

        return call


def main(url: str) -> None:
    """Runs everything and prints the results; an assertion fails if a public method was not called."""
    results: dict[str, list[Any]] = {}
    environment, credential = TimeseriesEnvironment.Test(), StaticCredential()

    def of(kind: Any, path: str) -> Recorder:
        return Recorder(kind(credential, environment), url.replace("timeseries/v1.7", path), results)

    read_points(of(TimeseriesAPI, "timeseries/v1.7"))
    write_points(of(TimeseriesAPI, "timeseries/v1.7"))
    metadata(of(TimeseriesAPI, "timeseries/v1.7"))
    streaming(of(TimeseriesAPI, "timeseries/v1.7"))
    companions(
        of(IMSMetadataAPI, "ims-metadata/v1.3"),
        of(IMSSubscriptionsAPI, "ims-subscriptions/v1.2"),
        of(IMSSubscriptionsManagementAPI, "ims-subscriptions-management/v1.2"),
    )
    public = {
        f"{kind.__name__}.{name}"
        for kind in (TimeseriesAPI, IMSMetadataAPI, IMSSubscriptionsAPI, IMSSubscriptionsManagementAPI)
        for name, _ in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
    assert set(results) == public, f"not called: {sorted(public - set(results))}"
    print(json.dumps(results))


def steady_id(api: Any) -> str:
    return api.search_timeseries(name="stead*")["data"]["items"][0]["id"]


def read_points(api: Any) -> None:
    steady = steady_id(api)
    window = {"startTime": START, "endTime": END}
    many = [{"id": steady, "limit": 5, "statusFilter": [192], "includeOutsidePoints": True, **window}]
    sums = [{"id": steady, "aggregateFunctions": ["avg", "count"], "processingInterval": "30s", "fill": None, **window}]
    for accept in ("application/json", *PROTOBUF):
        page = api.get_datapoints(
            steady, **window, status=[192, 64], includeOutsidePoints=False, limit=40, accept=accept
        )
        if accept == "application/json":
            api.get_datapoints(steady, **window, status=[192, 64], includeOutsidePoints=False, limit=40,
                               continuationToken=page["continuationToken"])  # fmt: skip
        api.get_datapoints_by_name("steady", "EMU", **window, federationSource=FederationSource.TSDB, accept=accept)
        api.get_multi_datapoints(many, federationSource=FederationSource.IMS, accept=accept)
        api.get_multi_datapoints(sums, alignToCache=True, accept=accept)
        api.get_aggregates(
            steady, ["min", "max", "last"], **window, processingInterval="20s", status=[192], limit=2, accept=accept
        )
        api.get_first_datapoint(steady, afterTime=START, accept=accept)
        api.get_latest_datapoint(steady, beforeTime=END, status=[64], accept=accept)
        api.get_first_multi_datapoint([{"id": steady}], accept=accept)
        api.get_latest_multi_datapoint([{"id": steady}], federationSource=FederationSource.DataLake, accept=accept)
    api.get_datapoints("00000000-0000-0000-0000-000000000000")
    api.get_datapoints(steady, startTime=END, endTime=START)


def write_points(api: Any) -> None:
    made = api.get_or_add_timeseries([{"name": "written", "facility": "EMU"}])["data"]["items"][0]["id"]
    points = [{"time": START, "value": 1.5, "status": 192}, {"time": END, "value": 2.5, "status": 64}]
    api.write_data(made, {"datapoints": points}, write_async=False)
    api.write_multiple({"items": [{"id": made, "datapoints": points[:1]}]}, write_async=False)
    api.write_data(made, {"datapoints": points})
    api.write_data(made, {"datapoints": [{"time": START, "value": "high", "status": 192}]}, write_async=False)
    api.delete_data(made, startTime=END)
    api.get_datapoints(made)


def metadata(api: Any) -> None:
    wanted = {"name": "made", "facility": "1191", "unit": "bar", "step": False, "metadata": {"a": 1}}
    made = api.post_timeseries(wanted)["data"]["items"][0]["id"]
    api.patch_timeseries(made, {"unit": "Pa"})
    api.put_timeseries(made, {"name": "made again", "facility": "1191"})
    api.get_history(made)
    api.get_timeseries_by_id(made)
    first = api.get_timeseries(limit=2)
    api.get_timeseries(limit=2, continuationToken=first["continuationToken"])
    api.get_timeseries(name="steady", facility="EMU", source="IMS")
    api.search_timeseries(query="made")
    api.search_timeseries(facility="1191", unit="nothing")
    api.get_facilities()
    api.get_sources()
    api.get_sources_by_facility("EMU")
    api.get_facilities_by_source("IMS")
    api.delete_timeseries_by_id(made)
    api.get_timeseries_by_id(made)


def streaming(api: Any) -> None:
    api.create_stream_subscription([{"id": steady_id(api)}])
    api.get_streaming_subscriptions()
    api.delete_stream_subscription(steady_id(api))
    api.set_stream_destination("Endpoint=sb://example/;SharedAccessKey=none")


def companions(ims: Any, subscriptions: Any, management: Any) -> None:
    found = ims.search(tag="steady")["data"]["items"][0]
    ims.search(uid=found["uid"])
    subscriptions.search(limit=1)
    subscriptions.search_by_uid(found["uid"])
    subscriptions.search_by_timeseries_id(found["id"])
    subscriptions.search_by_system_code(found["systemCode"])
    management.get_subscription_counter_by_system_code(found["systemCode"])
    management.patch_subscription_by_uid(found["uid"], {"tsdbBackfilled": True})


if __name__ == "__main__":
    main(sys.argv[1])
