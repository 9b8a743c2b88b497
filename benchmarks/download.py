"""The limit of any backfill: the same pages fetched with the same concurrency, and thrown away.

It runs as a process of its own and prints one JSON line: points, bytes, seconds, processor seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import requests
from requests.adapters import HTTPAdapter

from benchmarks.peak import peak_mb

PAGE = 100_000
HEADERS = {"Accept": "application/protobuf", "Accept-Encoding": "identity"}


def ranges(start: str, end: str, step_s: float) -> list[tuple[str, str]]:
    """Cut a range into pages of a series of one point every `step_s` seconds."""
    at, last, page = datetime.fromisoformat(start), datetime.fromisoformat(end), timedelta(seconds=step_s * PAGE)
    found = []
    while at < last:
        until = min(at + page, last)
        found.append((f"{at.isoformat()}Z", f"{until.isoformat()}Z"))
        at = until
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--start", required=True)
    parser.add_argument("--end", required=True)
    parser.add_argument("--step", type=float, default=1.0)
    parser.add_argument("--in-flight", type=int, default=16)
    args = parser.parse_args()
    ids = args.ids.split(",")
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=args.in_flight))

    def fetch(job: tuple[str, tuple[str, str]]) -> int:
        series_id, (start, end) = job
        query = {"startTime": start, "endTime": end, "limit": PAGE}
        with session.get(f"{args.url}/{series_id}/data", params=query, headers=HEADERS, stream=True) as response:
            response.raise_for_status()
            return len(response.raw.read())

    jobs = [(series_id, each) for each in ranges(args.start, args.end, args.step) for series_id in ids]
    began = time.perf_counter()
    with ThreadPoolExecutor(args.in_flight) as pool:
        size = sum(pool.map(fetch, jobs))
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    length = datetime.fromisoformat(args.end) - datetime.fromisoformat(args.start)
    points = round(length.total_seconds() / args.step) * len(ids)
    told = {"points": points, "bytes": size, "seconds": seconds, "peak_mb": peak_mb()}
    print(json.dumps({**told, "cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
