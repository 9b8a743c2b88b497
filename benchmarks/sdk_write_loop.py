"""The loop that people write today to fill a service: the official SDK's `write_multiple`, batch after batch.

It is run by the Python of an environment that holds `omnia-timeseries`, imports nothing of omnia-beam, and prints one JSON
line. The points are those of `benchmarks.writing`: the same times, values and statuses, turned into text here.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta

from benchmarks.sdk_loop import connect

START = datetime(2024, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--points", type=int, required=True, help="of each series")
    parser.add_argument("--batch", type=int, required=True, help="points in one request, over all series")
    args = parser.parse_args()
    api = connect(args.url)
    ids = args.ids.split(",")
    each = max(1, args.batch // len(ids))
    began, points, requests = time.perf_counter(), 0, 0
    for first in range(0, args.points, each):
        count = min(each, args.points - first)
        rows = [
            {
                "time": (START + timedelta(seconds=first + i)).strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
                "value": 20.0 + ((first + i) * 7919 % 100_003) / 1000,
                "status": 192,
            }
            for i in range(count)
        ]
        api.write_multiple({"items": [{"id": id, "datapoints": rows} for id in ids]}, write_async=False)
        points += count * len(ids)
        requests += 1
    print(json.dumps({"points": points, "seconds": time.perf_counter() - began, "requests": requests}))


if __name__ == "__main__":
    main()
