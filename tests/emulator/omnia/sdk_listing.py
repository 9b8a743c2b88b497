"""What the official SDK sees of a service: every timeseries with its metadata and its points, by facility and name, as JSON.

    .venv-sdk/bin/python tests/emulator/omnia/sdk_listing.py URL START END

Run by an interpreter that has the SDK, which has no place in the project's own environment.
"""

from __future__ import annotations

import json
import sys

from omnia_timeseries.api import TimeseriesAPI, TimeseriesEnvironment
from sdk_contract import StaticCredential

OWN = ("id", "source", "createdTime", "changedTime")
"""Fields that each service sets itself."""


def main(url: str, start: str, end: str) -> None:
    api = TimeseriesAPI(StaticCredential(), TimeseriesEnvironment.Test())
    api._base_url = url  # the SDK knows three environments by name; it reads this attribute at every call
    found = {}
    for each in api.get_timeseries(limit=1000)["data"]["items"]:
        response = api.get_datapoints(each["id"], startTime=start, endTime=end, limit=10_000)
        points = [row for item in response["data"]["items"] for row in item["datapoints"]]
        metadata = {name: value for name, value in each.items() if name not in OWN}
        found[f"{each['facility']}/{each['name']}"] = {"metadata": metadata, "points": points}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
