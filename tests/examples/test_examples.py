"""The notebooks give what is stored in them, and the script does what it says; each in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from omnia_beam.emulator.thread import EmulatorThread

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
for cell in notebook.cells:
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[3])
"""


def outputs(notebook: dict[str, Any]) -> list[str]:
    """What each code cell prints and returns."""
    texts = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            parts = [each.get("text") or each.get("data", {}).get("text/plain", "") for each in cell["outputs"]]
            texts.append("".join("".join(part) for part in parts))
    return texts


@pytest.mark.long
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_gives_what_it_shows(name: str, tmp_path: Path) -> None:
    stored, executed = EXAMPLES / name, tmp_path / name
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, stored, tmp_path, executed], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert outputs(json.loads(executed.read_text())) == outputs(json.loads(stored.read_text()))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_with_its_outputs_and_nothing_of_a_machine(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    notebook = json.loads(text)
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(each["output_type"] == "error" for c in notebook["cells"] for each in c.get("outputs", ()))
    # What paths and ports of one machine look like, which must not be there.
    assert not re.search(r"/home/|/root/|/Users/|/tmp/|127\.0\.0\.1:\d|\\u001b", text)


def test_there_are_the_notebooks_that_the_page_lists() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}}
    assert set(re.findall(r"\]\(([^)]+)\)", page)) == files | {"kind/README.md"}
    assert NOTEBOOKS


def test_the_custom_pipeline_keeps_the_good_points(tmp_path: Path) -> None:
    with EmulatorThread(["--synthetic", "dense:series=2,days=2,step=60s"]) as emulator:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "custom_pipeline.py", "--base-url", emulator.url, "--out", tmp_path / "out"],
            capture_output=True,
            text=True,
            check=True,
        )
        points = {series.id: series.points() for series in emulator.store.listed()}
    expected = {series_id: f"{(each.statuses == 192).sum():,}" for series_id, each in points.items()}
    told = dict(re.findall(r"^(\S+): ([\d,]+) points", done.stdout, re.MULTILINE))
    table = ds.dataset(tmp_path / "out").to_table()
    assert set(table["status"].to_pylist()) == {192}
    assert told == expected
    held = table.group_by("series_id").aggregate([("time", "count")]).to_pylist()
    assert {row["series_id"]: f"{row['time_count']:,}" for row in held} == told
