"""The loop that people write today: the official SDK, page after page, into one Parquet file a series.

It is run by the Python of an environment that holds `omnia-timeseries`, `pyarrow` and `protobuf`, imports nothing of
omnia_beam, and prints one JSON line: points and seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from azure.core.credentials import AccessToken
from omnia_timeseries.api import TimeseriesAPI, TimeseriesEnvironment

from benchmarks.peak import peak_mb
from tests.wire import timeseries_pb2

PAGE = 100_000
SCHEMA = pa.schema([("series_id", pa.string()), ("time", pa.string()), ("value", pa.float64()), ("status", pa.int64())])


class NoToken:
    """A credential that costs nothing, so that the loop is measured and not the sign-in."""

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        return AccessToken("none", int(time.time()) + 3600)


def connect(url: str) -> TimeseriesAPI:
    api = TimeseriesAPI(azure_credential=NoToken(), environment=TimeseriesEnvironment.Dev())
    api._base_url = url.rstrip("/")  # the SDK has no other way to use another service
    return api


def read_json(api: TimeseriesAPI, series_id: str, start: str, end: str, writer: Any) -> int:
    points, token = 0, None
    while True:
        page = api.get_datapoints(series_id, start, end, limit=PAGE, continuationToken=token)
        rows = page["data"]["items"][0]["datapoints"] if page["data"]["items"] else []
        writer.write_table(
            pa.table(
                {
                    "series_id": [series_id] * len(rows),
                    "time": [row["time"] for row in rows],
                    "value": [row["value"] for row in rows],
                    "status": [row["status"] for row in rows],
                },
                SCHEMA,
            )
        )
        points += len(rows)
        token = page.get("continuationToken")
        if not token:
            return points


def read_protobuf(api: TimeseriesAPI, series_id: str, start: str, end: str, writer: Any) -> int:
    points, token = 0, None
    while True:
        body = api.get_datapoints(
            series_id, start, end, limit=PAGE, continuationToken=token, accept="application/protobuf"
        )
        page = timeseries_pb2.CompactDatapointsDto.FromString(body)
        values = page.data[0].values if page.data else []
        rows = len(values) // 3
        writer.write_table(
            pa.table(
                {
                    "series_id": [series_id] * rows,
                    "time": pa.array([value.int64 for value in values[0::3]], pa.timestamp("ns", "UTC")),
                    "value": [value.double for value in values[1::3]],
                    "status": [value.uint32 for value in values[2::3]],
                },
                SCHEMA.set(1, pa.field("time", pa.timestamp("ns", "UTC"))),
            )
        )
        points += rows
        token = page.continuationToken
        if not token:
            return points


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--format", choices=["json", "protobuf"], required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--start", required=True)
    parser.add_argument("--end", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    api = connect(args.url)
    as_json = args.format == "json"
    schema = SCHEMA if as_json else SCHEMA.set(1, pa.field("time", pa.timestamp("ns", "UTC")))
    began, points = time.perf_counter(), 0
    for series_id in args.ids.split(","):
        with pq.ParquetWriter(f"{args.out}/{series_id}.parquet", schema, compression="zstd") as writer:
            if as_json:
                points += read_json(api, series_id, args.start, args.end, writer)
            else:
                points += read_protobuf(api, series_id, args.start, args.end, writer)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {"points": points, "seconds": seconds, "peak_mb": peak_mb()}
    print(json.dumps({**told, "cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
