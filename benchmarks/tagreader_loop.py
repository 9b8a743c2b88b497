"""The loop that people write today to move PI data: tagreader, tag after tag, into one file each.

It is run by the Python of an environment that holds `tagreader` (`.venv-pi`), imports nothing of omnia_beam, and prints one JSON
line: points, seconds, and seconds of processor time.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime
from pathlib import Path

import tagreader.web_handlers
from requests.auth import HTTPBasicAuth
from tagreader import IMSClient, ReaderType

PAGE = 150_000


def copy(url: str, start: str, end: str, tags: int, out: Path) -> int:
    """Copy the first so many tags, and return the number of points."""
    tagreader.web_handlers.get_url_pi = lambda: url  # it asks a public address for its servers otherwise
    client = IMSClient(
        "EMU",
        "piwebapi",
        url=url,
        auth=HTTPBasicAuth("none", "none"),
        cache=None,
        tz="UTC",
        handler_options={"max_rows": PAGE},
    )
    client.connect()
    names = [name for name, _ in client.search("*")][:tags]
    points = 0
    for at, name in enumerate(names):
        frame = client.read(
            name, datetime.fromisoformat(start), datetime.fromisoformat(end), read_type=ReaderType.RAW, get_status=True
        )
        points += len(frame)
        frame.to_pickle(out / f"{at}.pickle")  # cheaper than Parquet, for which its environment has no library
    return points


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("--tags", type=int, default=10**9)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    began, used = time.perf_counter(), time.process_time()
    count = copy(given.url, given.start, given.end, given.tags, given.out)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"points": count, "seconds": seconds, "cpu_s": cpu_s}))
