"""The figures of `profile` are those of pandas, on a sample of the destination that `benchmarks.figures` measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.figures import make_month
from omnia_beam.cli import main
from omnia_beam.core.timestamps import parse_time

pd = pytest.importorskip("pandas", reason="the group notebooks is not installed")

IDS = tuple(f"27-PT-{number:06d}" for number in range(20))
GAP_NS = 3_600 * 10**9


def expected_of(points: Any) -> dict[str, Any]:
    """Return the figures of one series by pandas alone."""
    points = points.sort_values("time")
    steps = points["time"].diff()
    gaps = steps[steps > GAP_NS]
    begins = (points["value"] != points["value"].shift()) | (steps > GAP_NS)
    stretches = points.groupby(begins.cumsum())["time"].agg(lambda each: each.iloc[-1] - each.iloc[0])
    flat = stretches[stretches > GAP_NS]
    return {
        "points": len(points),
        "minimum": points["value"].min(),
        "mean": points["value"].mean(),
        "maximum": points["value"].max(),
        "first": points["time"].iloc[0],
        "last": points["time"].iloc[-1],
        "share_bad": ((points["status"] & 0xC0) != 0xC0).mean(),
        "longest_gap_ns": steps.max(),
        "gaps": len(gaps),
        "gaps_ns": gaps.sum(),
        "flat_stretches": len(flat),
        "flat_ns": flat.sum(),
    }


def test_the_figures_are_those_of_pandas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for month in range(4):
        make_month(out, IDS, month, 1_000)
    job = tmp_path / "job.yaml"
    source, sink = {"kind": "csv", "path": "none.csv"}, {"kind": "parquet", "path": str(out)}
    job.write_text(yaml.safe_dump({"name": "sample", "source": source, "sink": sink, "state": str(tmp_path / "state")}))
    assert main(["profile", str(job), "--json", "--no-progress"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["profile"]
    table = pq.read_table(out, columns=["series_id", "time", "value", "status"])
    table = table.set_column(1, "time", table["time"].cast("int64"))
    by_series = dict(tuple(table.to_pandas().groupby("series_id")))
    assert [row["series_id"] for row in rows] == sorted(by_series) == list(IDS)
    gaps = flats = 0
    for row in rows:
        expected = expected_of(by_series[row["series_id"]])
        found = {name: row[name] for name in expected} | {name: parse_time(row[name]) for name in ("first", "last")}
        for name in ("mean", "share_bad"):  # pandas adds up in another order
            assert found.pop(name) == pytest.approx(expected.pop(name), rel=1e-13)
        assert found == expected
        gaps += row["gaps"]
        flats += row["flat_stretches"]
    assert gaps > 0 < flats
