"""CSV destinations read back: long files bit for bit, wide ones by time and value, and that they hold no more is said first."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify

Load = Callable[..., JobConfig]


@pytest.fixture
def load(tmp_path: Path, context: RunContext) -> Load:
    """A finished copy into CSV: one series of one status, one of several with NaN, both with awkward names."""
    rows = ["series_id,time,value,status"]
    for n in range(60):
        when = f"2024-{1 + n // 30:02d}-{1 + n % 30 // 2:02d}T{n % 2:02d}:00:00.000000001Z"
        rows.append(f'"one, ""two""",{when},{n / 7!r},192')
        rows.append(f"mixed;,{when},{'nan' if n == 3 else repr(n / 3)},{(192, 64, 24)[n % 3]}")
    (tmp_path / "plant.csv").write_text("\n".join(rows) + "\n")

    def load(**sink: Any) -> JobConfig:
        path = tmp_path / "job.yaml"
        job = {
            "name": "csv",
            "source": {"kind": "csv", "path": str(tmp_path / "plant.csv"), "layout": "long"},
            "sink": {"kind": "csv", "path": str(tmp_path / "out"), **sink},
            "state": str(tmp_path / "state"),
        }
        path.write_text(yaml.safe_dump(job))
        config = load_config(str(path), now_ns=time.time_ns())
        assert run_migrate(config, context).status == "complete"
        return config

    return load


def check(config: JobConfig, context: RunContext, tmp_path: Path, **options: Any) -> dict[str, Any]:
    summary = run_verify(config, context, report=str(tmp_path / "report"), **options)
    return {"exit": summary.exit_code, **json.loads((tmp_path / "report" / "report.json").read_text())}


def change(tmp_path: Path, old: str, new: str) -> None:
    (file,) = [each for each in sorted((tmp_path / "out").rglob("*.csv*")) if "month=01" in str(each)]
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt") as text:  # type: ignore[operator]  # mypy knows no common type of the two
        content = text.read()
    assert content.count(old) == 1
    with opened(file, "wt") as text:  # type: ignore[operator]
        text.write(content.replace(old, new))


@pytest.mark.parametrize("sink", [{}, {"delimiter": ";", "compression": "gzip"}, {"compression": "zstd"}])
def test_long_files_are_compared_bit_for_bit(load: Load, context: RunContext, tmp_path: Path, sink: Any) -> None:
    config = load(**sink)
    for source in (False, True):
        found = check(config, context, tmp_path, source=source)
        assert (found["exit"], found["before"]["by_kind"], found["before"]["points"]) == (0, {}, 120)
        assert found["before"]["limits"] == []


def test_damage_in_long_files_is_named_and_mended(load: Load, context: RunContext, tmp_path: Path) -> None:
    config = load(compression="gzip")
    change(tmp_path, f"{5 / 7!r}", "0.7142857142857144")
    stamp = "2024-01-01T01:00:00.000000001Z"
    change(tmp_path, f'"mixed;","{stamp}","0.3333333333333333",64', f'"mixed;","{stamp}","0.3333333333333333",24')
    found = check(config, context, tmp_path)
    assert (found["exit"], found["before"]["by_kind"]) == (1, {"changed_value": 1, "changed_status": 1})
    assert check(config, context, tmp_path, repair=True)["exit"] == 0
    assert check(config, context, tmp_path, source=True)["exit"] == 0


def test_strays_among_csv_files(load: Load, context: RunContext, tmp_path: Path) -> None:
    config = load()
    file = sorted((tmp_path / "out").rglob("month=*/*.csv"))[0]
    shutil.copyfile(file, file.with_name(f"{file.stem} (1).csv"))
    shutil.copyfile(file, tmp_path / "out" / "x.parquet")  # no reader of CSV takes it
    found = check(config, context, tmp_path)
    assert (found["exit"], found["before"]["by_kind"]) == (1, {"stray_file": 1})
    mended = check(config, context, tmp_path, repair=True)
    assert (mended["exit"], len(mended["repair"]["set_aside"])) == (0, 1)


@pytest.mark.long
def test_wide_files_are_compared_by_time_and_value(load: Load, context: RunContext, tmp_path: Path) -> None:
    config = load(layout="wide")
    for source in (False, True):
        found = check(config, context, tmp_path, source=source)
        assert (found["exit"], found["before"]["by_kind"], found["before"]["points"]) == (0, {}, 120)
        assert found["before"]["limits"] == [
            "The files of this job hold no statuses: times and values were compared, statuses were not."
        ]
    for series, value, other in (("one status", 5 / 7, 0.75), ("several", 4 / 3, 1.5)):
        change(tmp_path, f"{value!r}", f"{other!r}")
        for source in (False, True):
            found = check(config, context, tmp_path, source=source)
            assert (found["exit"], found["before"]["by_kind"]) == (1, {"changed_value": 1}), series
        assert check(config, context, tmp_path, repair=True)["exit"] == 0
    assert check(config, context, tmp_path, source=True)["exit"] == 0


def test_values_of_wide_files_that_nothing_tells_are_not_compared(
    load: Load, context: RunContext, tmp_path: Path
) -> None:
    config = load(layout="wide")
    (tmp_path / "plant.csv").rename(tmp_path / "elsewhere.csv")
    found = check(config, context, tmp_path)
    assert (found["exit"], set(found["before"]["by_kind"])) == (1, {"not_compared"})
    assert "run verify --source" in found["not_compared"]
    (tmp_path / "elsewhere.csv").rename(tmp_path / "plant.csv")
    assert check(config, context, tmp_path)["exit"] == 0
