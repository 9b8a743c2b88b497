"""Series out of files, against an independent reading with the standard library."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.common.store import Store

GUID = "0d9f43b4-5f64-4a0c-8e75-0f0000000001"


def _read(store: Store, name: str, facility: str = "EMU") -> list[tuple[int, float, int]]:
    series = store.named(facility, name)
    assert series is not None
    points = series.points()
    return list(zip(points.times.tolist(), points.values.tolist(), points.statuses.tolist(), strict=True))


def _ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 10**9


def test_wide_csv_with_semicolons_gaps_and_exact_values(tmp_path: Path) -> None:
    texts = ["0.1", "-0", "1e-320", "1_000.5", " 2.5 ", "nan", "-inf", "0.30000000000000004", "9007199254740993"]
    rows = [f"2020-03-01 15:44:{second:02d};{text};" for second, text in enumerate(texts)]
    rows += ["2020-03-01 15:45:00;;7", "2020-03-01 15:45:01;;"]
    file = tmp_path / "a.csv"
    file.write_text("datetime;Pressure, bar;Flow\n" + "\n".join(rows) + "\n")
    store = load_store([str(file)])
    values = [value for _, value, _ in _read(store, "Pressure, bar")]
    assert np.array(values).tobytes() == np.array([float(text) for text in texts]).tobytes()
    assert _read(store, "Flow") == [(_ns("2020-03-01 15:45:00"), 7.0, 192)]
    assert store.named("EMU", "Flow").id == series_id("EMU", "Flow")  # type: ignore[union-attr]  # asserted in _read


def test_later_rows_and_files_win(tmp_path: Path) -> None:
    (tmp_path / "b1.csv").write_text("time,x\n2020-01-01T00:00:01Z,1\n2020-01-01T00:00:00Z,2\n2020-01-01T00:00:01Z,3\n")
    (tmp_path / "b2.csv").write_text("time,x\n2020-01-01T01:00:00+01:00,4\n2019-12-31T00:00:00Z,5\n")
    first, second = str(tmp_path / "b1.csv"), str(tmp_path / "b2.csv")
    base = _ns("2020-01-01")
    assert _read(load_store([str(tmp_path / "b*.csv")]), "x") == [
        (base - 86_400 * 10**9, 5.0, 192), (base, 4.0, 192), (base + 10**9, 3.0, 192),
    ]  # fmt: skip
    assert _read(load_store([second, first]), "x")[1] == (base, 2.0, 192)


def test_long_csv_by_name_and_by_id(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(
        "Name,Time,Value,Status\nA,2020-01-01,1.5,64\nB,2020-01-01,2.5,\nA,1969-12-31T23:59:59.9999999Z,3,0\n"
    )
    (tmp_path / "ids.csv").write_text(f"time,series_id,value,name\n2020-01-01,{GUID.upper()},1,Tag 1\n")
    store = load_store([str(tmp_path / "long.csv"), str(tmp_path / "ids.csv")], facility="1191")
    assert _read(store, "A", "1191") == [(-100, 3.0, 0), (_ns("2020-01-01"), 1.5, 64)]
    assert _read(store, "B", "1191") == [(_ns("2020-01-01"), 2.5, 192)]
    assert store.series[GUID].metadata.name == "Tag 1"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_parquet_long_and_folders(tmp_path: Path, unit: str, zone: str | None) -> None:
    times = pa.array([1_577_836_800, 1_577_836_801, 1_577_836_800], pa.int64())
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    stamps = pa.array([value.as_py() * scale for value in times], pa.int64()).cast(pa.timestamp(unit, zone))
    folder = tmp_path / "year=2020"
    folder.mkdir()
    table = pa.table(
        {
            "series_id": [GUID, GUID, GUID],
            "time": stamps,
            "value": [1.0, 2.0, 3.0],
            "status": pa.array([1, 2, 3], pa.uint32()),
        }
    )
    pq.write_table(table, folder / "part.parquet")
    points = load_store([str(tmp_path)]).series[GUID].points()
    assert points.times.tolist() == [1_577_836_800 * 10**9, 1_577_836_801 * 10**9]
    assert points.values.tolist() == [3.0, 2.0]
    assert points.statuses.tolist() == [3, 2]


def test_many_rows_equal_the_standard_library(tmp_path: Path) -> None:
    drawn = np.random.default_rng(3)
    file = tmp_path / "many.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["t", "a", "b"])
        for second in drawn.integers(0, 4000, 5000).tolist():
            empty = drawn.random() < 0.1
            writer.writerow([f"2021-06-{1 + second // 1000:02d} 00:{second // 60 % 60:02d}:{second % 60:02d}",
                             "" if empty else repr(float(drawn.normal() * 10.0 ** drawn.integers(-30, 30))), second])  # fmt: skip
    expected: dict[str, dict[int, float]] = {"a": {}, "b": {}}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            for name in ("a", "b"):
                if row[name]:
                    expected[name][_ns(row["t"])] = float(row[name])
    store = load_store([str(file)])
    for name, points in expected.items():
        assert _read(store, name) == [(time_ns, value, 192) for time_ns, value in sorted(points.items())]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("time,x\n2020-01-01,abc\n", "'abc' is no number"),
        ("time,x\nyesterday,1\n", "not a time: 'yesterday'"),
        ("time,x,x\n2020-01-01,1,1\n", "same name"),
        ("time\n2020-01-01\n", "no column beside the time"),
        ("", "no header"),
        ("time,series_id,value\n2020-01-01,PT-1,1\n", "'PT-1' is no GUID"),
        ("time,name,value,status\n2020-01-01,A,1,good\n", "status"),
        ("time,x\n2020-01-01,1,2\n", "Expected 2 columns"),
        ("time,x\n0700-01-01,1\n", "beyond the years"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"bad\.csv") as caught:
        load_store([str(file)])
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no such file"):
        load_store([str(tmp_path / "*.csv")])
