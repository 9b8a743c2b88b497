"""What two independent clients read from and write to an emulator: run in `.venv-pi` with its URL; prints JSON.

tagreader asks for its data servers at a public address that is built into it, whatever address it is given: it is
pointed at the emulator first, and no connection leaves this machine.
"""

from __future__ import annotations

import json
import socket
import sys
from datetime import UTC, datetime
from typing import Any

_getaddrinfo = socket.getaddrinfo


def _loopback_only(host: Any, *rest: Any, **more: Any) -> Any:
    if host not in ("127.0.0.1", "localhost", None):
        raise OSError(f"a connection to {host!r} was tried")
    return _getaddrinfo(host, *rest, **more)


socket.getaddrinfo = _loopback_only  # type: ignore[assignment]  # a guard with the same arguments

import tagreader.web_handlers  # noqa: E402 - behind the guard

URL = sys.argv[1]
tagreader.web_handlers.get_url_pi = lambda: URL

import pandas as pd  # noqa: E402 - behind the guard
from osisoft.pidevclub.piwebapi.models import (  # noqa: E402 - behind the guard
    PIEnumerationValue,
    PIPoint,
    PIRequest,
    PIStreamValues,
    PITimedValue,
)
from osisoft.pidevclub.piwebapi.pi_web_api_client import PIWebApiClient  # noqa: E402 - behind the guard
from requests.auth import HTTPBasicAuth  # noqa: E402 - behind the guard
from tagreader import IMSClient, ReaderType  # noqa: E402 - behind the guard

USER, PASSWORD = "reader", "secret"
START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
END = datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)


def frame(values: pd.DataFrame) -> list[list[Any]]:
    rows = values.reset_index().to_dict("split")["data"]
    return [[row[0].tz_convert("UTC").isoformat(), *row[1:]] for row in rows]


def by_tagreader() -> dict[str, Any]:
    client = IMSClient(
        "EMU",
        "piwebapi",
        url=URL,
        auth=HTTPBasicAuth(USER, PASSWORD),
        cache=None,
        tz="UTC",
        handler_options={"max_rows": 25},
    )
    client.connect()
    found: dict[str, Any] = {
        "search": client.search("ST*"),
        "blanks": client.search("SHARED TIMES"),
        "units": client.get_units("STEADY"),
        "descriptions": client.get_descriptions("STEADY"),
    }
    for tag in ("STEADY", "SHARED TIMES", "COUNT", "EMPTY"):
        found[f"raw {tag}"] = frame(client.read(tag, START, END, read_type=ReaderType.RAW, get_status=True))
    found["states"] = frame(client.read("STATES", START, END, read_type=ReaderType.RAW, get_status=True))
    for kind in (ReaderType.INT, ReaderType.AVG, ReaderType.MIN, ReaderType.MAX, ReaderType.STD, ReaderType.RNG):
        found[kind.name] = frame(client.read(["STEADY"], START, END, ts=60, read_type=kind))
    found["SNAPSHOT"] = frame(client.read("STEADY", end_time=END, read_type=ReaderType.SNAPSHOT))
    return found


def by_pidevclub() -> dict[str, Any]:
    client = PIWebApiClient(URL, False, USER, PASSWORD, True)
    server = client.dataServer.get_by_path("\\\\PIServers[EMU]")
    found: dict[str, Any] = {"server": server.name}
    points = client.dataServer.get_points(server.web_id, name_filter="ST*", max_count=10)
    found["points"] = [[point.name, point.point_type, point.engineering_units] for point in points.items]
    ids = {point.name: point.web_id for point in points.items}
    whole = client.stream.get_recorded(
        ids["STEADY"], start_time=START.isoformat(), end_time=END.isoformat(), max_count=70
    )
    found["recorded"] = [[item.timestamp, item.value, item.good, item.questionable] for item in whole.items]
    states = client.stream.get_recorded(ids["STATES"], start_time=START.isoformat(), end_time=END.isoformat())
    found["states"] = [[item.timestamp, item.value, item.good, item.substituted] for item in states.items]
    many = client.streamSet.get_recorded_ad_hoc(
        list(ids.values()), start_time=START.isoformat(), end_time=END.isoformat()
    )
    found["many"] = {item.name: len(item.items) for item in many.items}
    found["value"] = client.stream.get_value(ids["STEADY"], time=END.isoformat()).value
    summary = client.stream.get_summary(
        ids["STEADY"], start_time=START.isoformat(), end_time=END.isoformat(), summary_type=["Count"],
        calculation_basis="EventWeighted",
    )  # fmt: skip
    found["count"] = [[item.type, item.value.value] for item in summary.items]
    between = client.stream.get_interpolated(
        ids["STEADY"], start_time=START.isoformat(), end_time=END.isoformat(), interval="30s"
    )
    found["interpolated"] = [item.value for item in between.items]
    sets = client.dataServer.get_enumeration_sets(server.web_id)
    of_pump = next(each for each in sets.items if each.name == "PUMP states")
    client.enumerationSet.create_value(of_pump.web_id, PIEnumerationValue(name="Broken", value=2))
    found["set"] = [[each.name, each.value] for each in client.enumerationSet.get_values(of_pump.web_id).items]
    created = client.dataServer.create_point_with_http_info(
        server.web_id, PIPoint(name="MADE", point_type="Float64", point_class="classic")
    )
    made = client.point.get_by_path("\\\\EMU\\MADE")
    values = [PITimedValue(timestamp=f"2024-01-01T00:00:0{second}Z", value=second / 2) for second in range(3)]
    wrong = [*values, PITimedValue(timestamp="2024-01-01T00:00:09Z", value="wrong")]
    statuses = [created[1]]
    statuses.append(
        client.stream.update_values_with_http_info(
            made.web_id, values, update_option="Replace", buffer_option="DoNotBuffer"
        )[1]
    )
    partial = client.stream.update_values_with_http_info(
        made.web_id, wrong, update_option="Replace", buffer_option="DoNotBuffer"
    )
    statuses.append(partial[1])
    stream = PIStreamValues(web_id=made.web_id, items=values)
    statuses.append(client.streamSet.update_values_ad_hoc_with_http_info([stream], update_option="Insert")[1])
    found["statuses"] = statuses
    found["substatuses"] = [item.substatus for item in partial[0].items] if partial[0] else None
    back = client.stream.get_recorded(made.web_id, start_time="2024-01-01", end_time="2024-01-02")
    found["written"] = [[item.timestamp, item.value] for item in back.items]
    outcome = client.batch.execute({"1": PIRequest(method="GET", resource=f"{URL}/points?path=\\\\EMU\\MADE")})
    found["batch"] = [outcome["1"].status, outcome["1"].content["Name"]]
    client.point.delete(made.web_id)
    return found


print(json.dumps({"tagreader": by_tagreader(), "pidevclub": by_pidevclub()}))
