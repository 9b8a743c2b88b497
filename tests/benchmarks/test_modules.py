"""Benchmarks that are commands of their own, at their smallest: each runs to its end and prints a figure for each contestant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.running import ROOT, figures, printed

PI_PYTHON = ROOT / ".venv-pi" / "bin" / "python"
PY_SPY = Path(sys.executable).parent / "py-spy"

CASES: dict[str, tuple[list[str], dict[str, int]]] = {
    "decode": (
        ["--points", "1000", "--repeats", "1"],
        {"1 series, one status": 4, "1 series, mixed statuses": 4, "100 series, mixed statuses": 4},
    ),
    "destination_check": (["--files", "10", "--series", "20"], {"10 files": 2, "20 series": 2}),
    "figures": (["--points", "2000", "--series", "2", "--months", "2", "--path", "FOLDER/figures"], {"1,998": 7}),
    "ledger": (["2000"], {"2,000 receipts x 1 series": 4, "20 receipts x 100 series": 4}),
    "pi": (
        ["--series", "5", "--step", "600s", "--latency-ms", "0", "--loop-tags", "2"],
        {"omnia-beam": 5, "tagreader": 3, "omnia-beam copies": 1},
    ),
    "refresh": (
        ["--series", "2", "--days", "4", "--step", "600"],
        {"the same window again": 3, "second refresh of it": 3},
    ),
    "refresh --tail": ([], {"10m": 2, "1h": 2, "6h": 2, "1d": 2}),
    "runners": (["--latency-ms", "0", "--series", "2", "--days", "2"], {"local, 1 worker": 7, "local, 4 workers": 7}),
    "startup": (
        ["--runs", "1"],
        {"import apache_beam": 2, "status": 2, "backfill, nothing to do": 2, "first receipt": 2},
    ),
    "stores": (
        ["--windows", "20", "--files", "500"],
        {"disk fresh": 5, "S3 (moto) nothing to do": 5, "S3 (moto) status": 5, "S3 500": 3},
    ),
    "throttling": (
        ["--requests", "20", "--drop-s", "3"],
        {"accepts all": 6, "refuses 50%": 6, "bucket of 10/s": 6, "1/s for 3 s": 6},
    ),
    "throttling --jobs": (["--days", "1", "--shares", "0.2"], {"0%": 4, "20%": 4}),
    "writing --faults": (["--points", "200", "--series", "2"], {"400": 6}),
}
"""By module: arguments that make it small, and how many figures stand behind each label at the least."""

IN_MAKE_BENCH = {"__main__", "backfill", "ceilings", "memory", "planning", "politeness", "writing"}
STARTED_BY_OTHERS = {"dlt_source", "download", "measured", "sdk_loop", "sdk_write_loop", "tagreader_loop"}
ELSEWHERE = {"postgresql", "profile"}


def test_no_benchmark_is_left_out() -> None:
    paths = (ROOT / "benchmarks").glob("*.py")
    commands = {path.stem for path in paths if "__name__ ==" in path.read_text(encoding="utf-8")}
    assert commands == {case.split()[0] for case in CASES} | IN_MAKE_BENCH | STARTED_BY_OTHERS | ELSEWHERE


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_benchmark_prints_its_figures(tmp_path: Path, case: str) -> None:
    if case == "pi" and not PI_PYTHON.exists():
        pytest.skip("tagreader, the other contestant, is not here: make install makes .venv-pi")
    arguments, labels = CASES[case]
    module, *option = case.split()
    text = printed(f"benchmarks.{module}", *option, *(each.replace("FOLDER", str(tmp_path)) for each in arguments))
    for label, count in labels.items():
        assert len(figures(text, label)) >= count, f"{label!r} has too few figures in:\n{text}"


@pytest.mark.long
@pytest.mark.skipif(not PY_SPY.exists(), reason="py-spy is not here: make profile installs it")
def test_the_profile_is_drawn(tmp_path: Path) -> None:
    printed("benchmarks.profile", "--days", "1", "--series", "1", "--out", f"{tmp_path}/profile.svg")
    assert "omnia_beam/" in (tmp_path / "profile.svg").read_text(encoding="utf-8")
