"""The limits of any backfill on this machine: pyarrow writing the same table, and copying the same bytes in memory.

python -m benchmarks.ceilings
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.table import Row, machine, print_rows

POINTS = 1_000_000


def run(repeats: int = 5) -> list[Row]:
    """Return the median points a second of each limit."""
    random = np.random.default_rng(1)
    table = pa.table(
        {
            "series_id": pa.DictionaryArray.from_arrays(np.zeros(POINTS, np.int32), ["0" * 36]),
            "time": pa.array(np.arange(POINTS) * 10**9, pa.timestamp("ns", "UTC")),
            "value": random.normal(size=POINTS),
            "status": np.full(POINTS, 192, np.uint32),
        }
    )
    page = bytes(28 * POINTS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.parquet")
        ceilings: dict[str, Callable[[], object]] = {
            "pyarrow writing the table, zstd": lambda: pq.write_table(table, path, compression="zstd"),
            "memcpy of the wire bytes": lambda: bytearray(page),
        }
        seconds = {name: statistics.median(_timed(each) for _ in range(repeats)) for name, each in ceilings.items()}
    return [{"ceiling": name, "points/s": POINTS / taken} for name, taken in seconds.items()]


def _timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    console = Console()
    console.print(machine() + "\n")
    print_rows("Ceilings", run(), console)


if __name__ == "__main__":
    main()
