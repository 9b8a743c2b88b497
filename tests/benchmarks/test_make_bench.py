"""`make bench` in small: every suite runs to its end, and gives a figure for each contestant."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.__main__ import small_suites, suites
from benchmarks.backfill import DLT, DLT_PYTHON, DOWNLOAD, OURS, OURS_NUMPY, SDK_JSON, SDK_PROTOBUF
from tests.benchmarks.running import figures, printed

LOOP = "official SDK loop, write_multiple"
NO_LATENCY = "Backfill, 1 Hz series, no latency"
CONTESTANTS = {
    NO_LATENCY: [OURS, OURS_NUMPY, DOWNLOAD, SDK_PROTOBUF, SDK_JSON, DLT],
    "The same with two workers": [OURS],
    "Backfill, 1 Hz series, 50 ms latency": [OURS, DOWNLOAD, SDK_PROTOBUF, SDK_JSON, DLT],
    "Backfill, 1 Hz series, 500 ms latency": [OURS, DOWNLOAD, SDK_JSON],
    "Backfill, a sparse plant: 1,000 series, 1/min, one day, 50 ms": [OURS, SDK_JSON, DLT],
    "Ceilings": ["pyarrow writing the table, zstd", "memcpy of the wire bytes"],
    "Writing": ["omnia-beam", LOOP, "omnia-beam", LOOP, "omnia-beam, discarding"],
    "Planning": ["100 series"],
    "Memory": ["1 M points", "1 M points"],
}
MAY_BE_NOTHING = {"retries", "refused", "points lost", "bytes a point"}
"""Columns in which a zero is a figure."""


def test_the_small_suites_are_all_suites() -> None:
    assert list(small_suites()) == list(suites(3))


@pytest.mark.long
def test_every_suite_prints_its_table(tmp_path: Path) -> None:
    text = printed("benchmarks", "--small", "--markdown", f"{tmp_path}/a.md", "--json", f"{tmp_path}/a.json")
    found = json.loads((tmp_path / "a.json").read_text())["suites"]
    page = (tmp_path / "a.md").read_text()
    assert list(found) == list(suites(3))
    for title, rows in found.items():
        assert f"\n{title}" in text
        assert f"### {title}\n" in page
        assert rows
        for row in rows:
            for column, value in row.items():
                if isinstance(value, int | float):
                    assert math.isfinite(value), (title, row)
                    assert value > 0 or column in MAY_BE_NOTHING, (title, row)
    for title, expected in CONTESTANTS.items():
        here = [name for name in expected if name != DLT or DLT_PYTHON.exists()]
        assert [next(iter(row.values())) for row in found[title]] == here
    assert len({row["points"] for row in found[NO_LATENCY] if row["backfill to Parquet"] in (OURS, DOWNLOAD)}) == 1


@pytest.mark.long
@pytest.mark.skipif(not DLT_PYTHON.exists(), reason=f"only {DLT} is left out: make bench has not made .venv-bench")
def test_dlt_takes_part() -> None:
    small = ["--series", "2", "--days", "1", "--few-days", "1", "--step", "60", "--repeats", "1"]
    assert len(figures(printed("benchmarks.backfill", *small), DLT)) == 5
