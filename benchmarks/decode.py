"""Decoding a page into numpy columns, beside the time that google.protobuf takes to do the same, and to merely parse it.

    python -m benchmarks.decode [--points 100000] [--repeats 7] [--json]

The pages are one series of one status, one series of mixed statuses, and 100 series of mixed statuses. Contestants run in
turn, round after round, each for at least 50 ms a round after a warm-up; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.core import kernel
from omnia_beam.wire import decode_page, scan_page
from tests.wire.timeseries_pb2 import CompactDatapointsDto

MIN_SAMPLE_S = 0.05
FIELDS = ["time", "value", "status"]
Columns = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.uint32]]]


def run(points: int = 100_000, repeats: int = 7) -> list[Row]:
    """Measure all contestants on all pages of `points` points, over `repeats` rounds."""
    rows: list[Row] = []
    for title, page in pages(points).items():
        check(page)
        seconds = measure(contestants(page), repeats)
        per_field, parse = seconds["google.protobuf, per field"], seconds["FromString alone"]
        for name, taken in seconds.items():
            rows.append(
                {
                    "page": title,
                    "reading": name,
                    "ms": taken * 1e3,
                    "Mpoints/s": points / taken / 1e6,
                    "× per field": per_field / taken,
                    "× FromString": parse / taken,
                }
            )
    return rows


def contestants(page: bytes) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {
        "decode_page": partial(decode_page, page),
        "scan_page": partial(scan_page, page),
    }
    if kernel.COMPILED is not None:
        found["decode_page, numpy alone"] = partial(without_kernel, decode_page, page)
        found["scan_page, numpy alone"] = partial(without_kernel, scan_page, page)
    return found | {
        "google.protobuf, per field": partial(read_per_field, page),
        "FromString alone": partial(CompactDatapointsDto.FromString, page),
        "memcpy": partial(bytearray, page),
    }


def without_kernel(read: Callable[[bytes], object], page: bytes) -> object:
    """Read a page as on a machine for which no kernel was compiled."""
    compiled = kernel.COMPILED
    kernel.COMPILED = None
    try:
        return read(page)
    finally:
        kernel.COMPILED = compiled


def read_per_field(page: bytes) -> Columns:
    """Read a page with the library alone, as people write it: parse, then a Python loop for each column."""
    columns: Columns = []
    for item in CompactDatapointsDto.FromString(page).data:
        values, n = item.values, len(item.values) // 3
        columns.append(
            (
                np.fromiter((value.int64 for value in values[0::3]), np.int64, n),
                np.fromiter((value.double for value in values[1::3]), np.float64, n),
                np.fromiter((value.uint32 for value in values[2::3]), np.uint32, n),
            )
        )
    return columns


def check(page: bytes) -> None:
    """Raise AssertionError where the two readings give different columns, which would make the comparison void."""
    for ours, theirs in zip(decode_page(page).items, read_per_field(page), strict=True):
        for mine, other in zip(ours.columns.values(), theirs, strict=True):
            np.testing.assert_array_equal(mine, other)


def pages(points: int) -> dict[str, bytes]:
    return {
        "1 series, one status": encode(points, 1, [192]),
        "1 series, mixed statuses": encode(points, 1, [192, 64, 0]),
        "100 series, mixed statuses": encode(points, 100, [192, 64, 0]),
    }


def encode(points: int, n_series: int, statuses: list[int]) -> bytes:
    """Return a page made by the library as the service makes it, nine points in ten of the first status."""
    random = np.random.default_rng(1)
    share = [0.9] + [0.1 / (len(statuses) - 1)] * (len(statuses) - 1) if len(statuses) > 1 else [1.0]
    page = CompactDatapointsDto()
    for nth in range(n_series):
        n = points // n_series + (nth < points % n_series)
        item = page.data.add(id=f"00000000-0000-4000-8000-{nth:012d}", totalCount=n, fields=FIELDS)
        times = (1_700_000_000_000_000_000 + np.arange(n) * 1_000_000_000).tolist()
        codes = random.choice(statuses, n, p=share).tolist()
        for at, value, status in zip(times, random.normal(size=n).tolist(), codes, strict=True):
            item.values.add(int64=at)
            item.values.add(double=value)
            item.values.add(uint32=status)
    return page.SerializeToString()


def measure(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds a call, over rounds in which the functions take turns."""
    calls = {name: calibrate(function) for name, function in functions.items()}
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            samples[name].append(timed(function, calls[name]) / calls[name])
    return {name: statistics.median(taken) for name, taken in samples.items()}


def calibrate(function: Callable[[], object]) -> int:
    """Warm up, and return how many calls make a sample long enough to be measured."""
    timed(function, 3)
    return max(1, round(MIN_SAMPLE_S / max(timed(function, 1), 1e-7)))


def timed(function: Callable[[], object], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args()
    rows = run(args.points, args.repeats)
    if args.json:
        print(json.dumps({"machine": machine(), "points": args.points, "rows": rows}))
        return
    console = Console()
    console.print(machine() + "\n")
    print_rows(f"Decoding a page of {args.points:,} points", rows, console)


if __name__ == "__main__":
    main()
