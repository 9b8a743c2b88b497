"""What a folder of files is seen to be, and the keys under which it can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.cli import main
from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.description import describe_files, discovered_keys
from omnia_beam.io.files.options import CsvSource


def test_a_folder_of_wide_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time;PT-1;TT-1\n2024-03-01 00:00:00;1.5;2\n")
    (tmp_path / "b.csv").write_text("time,PT-2\n2024-03-02T00:00:00Z,1\n")
    (tmp_path / "c.csv").write_bytes(b"")
    found = describe_files(CsvSource.model_validate({"kind": "csv", "path": str(tmp_path / "*.csv")}))
    assert (found.files, found.whole, found.series) == (3, True, ("PT-1", "PT-2", "TT-1"))
    assert found.facts.columns == (("time", "time"), ("PT-1", "series"), ("TT-1", "series"))
    lines = "\n".join(found.lines())
    assert (
        "layout wide, delimiter ;, encoding utf-8, times RFC 3339 (change it by source.layout, source.delimiter"
        in lines
    )
    assert "first time 2024-03-01T00:00:00Z, last time 2024-03-02T00:00:00Z" in lines
    assert f"1 file has another delimiter, such as {tmp_path}/b.csv: ," in lines
    assert f"warning: {tmp_path}/c.csv: is empty" in lines


TIME = "1709251200"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("time,a\n2024-03-01T00:00:00Z,1.5\n", {}),
        ("Zeit;a\n01.03.2024 00:00;1,5\n", {"decimal": ",", "time_format": "%d.%m.%Y %H:%M"}),
        ("time,a\n13/03/2024 00:00:00,1.5\n", {"time_format": "%d/%m/%Y %H:%M:%S"}),
        ("time,a\n03/13/2024 00:00:00,1.5\n", {"time_format": "%m/%d/%Y %H:%M:%S"}),
        ("time,a\n01-Mar-24 00:00:00,1.5\n", {"time_format": "%d-%b-%y %H:%M:%S"}),
        (f"time,a\n{TIME},1.5\n", {"time_format": "epoch_s"}),
        (f"time,a\n{TIME}000,1.5\n", {"time_format": "epoch_ms"}),
        (f"time,a\n{TIME}000000,1.5\n", {"time_format": "epoch_us"}),
        (f"time,a\n{TIME}000000000,1.5\n", {"time_format": "epoch_ns"}),
        ("time,a\n45352.5,1.5\n", {"time_format": "excel"}),
        ("time,Ölstand\n2024-03-01T00:00:00Z,1.5\n", {"encoding": "cp1252"}),
        ("time,a\nyesterday,1.5\n", None),
    ],
)
def test_keys_are_found_by_trying(text: str, keys: dict[str, Any] | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="cp1252")
    found, seen = discovered_keys("csv", (str(tmp_path / "a.csv"),))
    assert found == (keys or {})
    assert (seen is None) == (keys is None)


def test_a_day_that_could_be_a_month(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,a\n03/04/2024 00:00:00,1.5\n")
    _, seen = discovered_keys("csv", (str(tmp_path / "a.csv"),))
    assert seen is not None
    assert "day and month could be the other way round (%m/%d/%Y %H:%M:%S)" in seen.others[0]


def test_units_of_parquet_times(tmp_path: Path) -> None:
    table = pa.table({"series_id": ["a"], "time": [1_709_251_200_000], "value": [1.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    found, seen = discovered_keys("parquet", (str(tmp_path / "a.parquet"),))
    assert found == {"time_unit": "ms"}
    assert seen is not None
    assert "times int64, ms since 1970 (change it by source.time_unit" in "\n".join(seen.lines())
    with pytest.raises(UsageError, match="there is no such file"):
        discovered_keys("parquet", (str(tmp_path / "b.parquet"),))


def test_init_check_and_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("Zeit;PT-1\n13.03.2024 00:00:00;1,5\n")
    assert main(["init", "csv", "parquet", "--path", "*.csv", "--output", "job.yaml"]) == 0
    Path("job.yaml").write_text(
        Path("job.yaml").read_text().replace("FILL IN: ", "").replace("  path:  ", "  path: out")
    )
    capsys.readouterr()
    assert main(["check", "job.yaml", "--json"]) == 0
    steps = {each["name"]: each["found"] for each in json.loads(capsys.readouterr().out)["steps"]}
    assert "columns: Zeit = time, PT-1 = series" in steps["source files"]
    assert main(["plan", "job.yaml", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out.splitlines()[-1])["source_files"]
    assert (seen["files"], seen["series"], seen["first_time"]) == (1, 1, "2024-03-13T00:00:00Z")
    assert seen["form"]["times"] == "%d.%m.%Y %H:%M:%S"
    assert main(["init", "omnia", "parquet", "--path", "*.csv"]) == 2
