"""A general tool at the same work: dlt's REST source, JSON pages to Parquet files.

It is run by the Python of an environment that holds `dlt`, imports nothing of omnia-beam, and prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import time
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"

import dlt
from dlt.sources.rest_api import rest_api_source

from benchmarks.peak import peak_mb

PAGE = 100_000


def source(url: str, series_id: str, start: str, end: str) -> Any:
    """Return one series as a resource, its pages linked by continuation token."""
    return rest_api_source(
        {
            "client": {"base_url": f"{url}/"},
            "resources": [
                {
                    "name": "points",
                    "endpoint": {
                        "path": f"{series_id}/data",
                        "params": {"startTime": start, "endTime": end, "limit": PAGE},
                        "data_selector": "data.items[*].datapoints[*]",
                        "paginator": {
                            "type": "cursor",
                            "cursor_path": "continuationToken",
                            "cursor_param": "continuationToken",
                        },
                    },
                }
            ],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--start", required=True)
    parser.add_argument("--end", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    out = os.path.abspath(args.out)
    shutil.rmtree(out, ignore_errors=True)
    began, points = time.perf_counter(), 0
    for series_id in args.ids.split(","):
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=f"{out}/work",
            destination=dlt.destinations.filesystem(f"file://{out}/points"),
            dataset_name="points",
        )
        pipeline.run(source(args.url, series_id, args.start, args.end), loader_file_format="parquet")
        points += pipeline.last_trace.last_normalize_info.row_counts["points"]
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {"points": points, "seconds": seconds, "peak_mb": peak_mb()}
    print(json.dumps({**told, "cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
