"""A migration with a difference of every kind that can stand in one destination: its report shows each at a glance.

The damage is planted with pyarrow alone. For each kind the test says where it is seen: in the verdict, in the table of kinds, in
a row with the series' name, in the list of all differences, and for points in the pictures.
"""

from __future__ import annotations

import csv
import html
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.core.timestamps import parse_time
from tests.pipelines.headless import render

START, HOUR = parse_time("2024-01-01"), 3_600 * 10**9
MONTHS = ("01", "02")
KINDS = {
    "missing_point": "PT-1",
    "extra_point": "PT-2",
    "changed_value": "PT-3",
    "changed_status": "PT-4",
    "changed_text": "PT-5",
    "shifted_time": "PT-6",
    "missing_series": "PT-7",
    "missing_points": "PT-8",
    "missing_file": "PT-9",
    "unreadable_file": "PT-10",
    "not_covered": "12 series",
    "stray_file": "",
    "linked_file": "",
}
"""Kind of difference, and the name under which it stands in the report."""

Rows = dict[str, Any]


class Migration:
    """Twelve series of two months, a file each, from Parquet to Parquet with a mapping; texts are kept."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.out, self._capsys = folder, folder / "out", capsys
        self.ids = {f"PT-{number}": f"{number:08d}-0000-0000-0000-000000000000" for number in range(1, 13)}
        source = folder / "in"
        source.mkdir()
        rows = [f"{series_id},{name},F1" for name, series_id in self.ids.items()]
        (source / "_series-plant.csv").write_text("\n".join(["series_id,name,facility", *rows, ""]))
        for name, series_id in self.ids.items():
            for month in MONTHS:
                times = parse_time(f"2024-{month}-01") + np.arange(0, 28 * 24) * HOUR
                times = times[np.arange(len(times)) // 24 != 9]  # a day without points: a gap of the data
                write(source / f"{name}-{month}.parquet", columns_of(series_id, times))
        job = {
            "name": "plant",
            "source": {"kind": "parquet", "path": str(source / "*.parquet")},
            "window": {"start": "2024-01-01", "end": "2024-03-01"},
            "sink": {"kind": "parquet", "path": str(self.out), "text": True},
            "mapping": {"by": "same_id"},
            "state": str(folder / "state"),
            "max_chunk_points": 700,
        }
        self.job = folder / "job.yaml"
        self.job.write_text(yaml.safe_dump(job))
        assert self.run("migrate")["status"] == "complete"

    def run(self, command: str, *arguments: str) -> dict[str, Any]:
        """Return the summary of a command."""
        main([command, str(self.job), "--json", "--no-progress", *arguments])
        summary: dict[str, Any] = json.loads(self._capsys.readouterr().out.splitlines()[-1])
        return summary

    def files(self, name: str) -> list[Path]:
        """Return the files that hold a series, by month."""
        wanted = self.ids[name]
        return [file for file in sorted(self.out.rglob("*.parquet")) if wanted in set(read(file)["series_id"])]

    def edit(self, name: str, change: Callable[[Rows, Any], Rows], file: int = 0) -> None:
        """Change the rows of a series in one of its files; `change` gets them and where the series' own are."""
        path = self.files(name)[file]
        rows = read(path)
        mine = np.flatnonzero(rows["series_id"] == self.ids[name])
        write(path, change(rows, mine))


def columns_of(series_id: str, times: Any) -> Rows:
    count = len(times)
    values = np.sin(np.arange(count) / 9) * 40 + 100
    texts = np.array(["running" if at % 50 == 0 else None for at in range(count)], object)
    values[[text is not None for text in texts]] = np.nan
    statuses = np.full(count, 192, np.uint32)
    return {
        "series_id": np.full(count, series_id, object),
        "time": times,
        "value": values,
        "status": statuses,
        "text": texts,
    }


def read(path: Path) -> Rows:
    table = pq.ParquetFile(path).read()
    found = {name: np.array(table[name].to_pylist(), object) for name in ("series_id", "text")}
    return {
        "series_id": found["series_id"],
        "time": table["time"].cast("int64").to_numpy().copy(),
        "value": table["value"].to_numpy().copy(),
        "status": table["status"].to_numpy().copy(),
        "text": found["text"],
    }


def write(path: Path, rows: Rows) -> None:
    columns = {
        "series_id": pa.array(list(rows["series_id"]), pa.string()),
        "time": pa.array(rows["time"]).cast(pa.timestamp("ns", tz="UTC")),
        "value": pa.array(rows["value"]),
        "status": pa.array(rows["status"], pa.uint32()),
        "text": pa.array(list(rows["text"]), pa.string()),
    }
    pq.write_table(pa.table(columns), path)


def without(rows: Rows, at: Any) -> Rows:
    keep = np.ones(len(rows["time"]), bool)
    keep[at] = False
    return {name: column[keep] for name, column in rows.items()}


def changed(rows: Rows, column: str, at: Any, value: Any) -> Rows:
    rows[column][at] = value
    return rows


def doubled(rows: Rows, at: int, later_ns: int) -> Rows:
    more = {name: np.append(column, column[at : at + 1]) for name, column in rows.items()}
    more["time"][-1] += later_ns
    return more


def plant(job: Migration) -> None:
    """Damage of each kind, each in the files of another series."""
    model = job.files("PT-11")[0]
    model.with_name("copy.parquet").write_bytes(model.read_bytes())
    os.symlink(model, model.with_name("link.parquet"))
    job.edit("PT-1", lambda rows, mine: without(rows, mine[100:140]))
    job.edit("PT-2", lambda rows, mine: doubled(rows, mine[5], 7))
    job.edit("PT-3", lambda rows, mine: changed(rows, "value", mine[201:231], rows["value"][mine[201:231]] + 5))
    job.edit("PT-4", lambda rows, mine: changed(rows, "status", mine[300], 24))
    job.edit("PT-5", lambda rows, mine: changed(rows, "text", mine[50], "stopped"))
    job.edit("PT-6", lambda rows, mine: changed(rows, "time", mine[400], rows["time"][mine[400]] + 100))
    for file in (0, 0):
        job.edit("PT-7", lambda rows, mine: without(rows, mine), file)
    job.edit("PT-8", lambda rows, mine: without(rows, mine))
    job.files("PT-9")[1].unlink()
    broken = job.files("PT-10")[1]
    broken.write_bytes(broken.read_bytes()[:-50])


@pytest.fixture
def job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Migration:
    return Migration(tmp_path, capsys)


@pytest.mark.long
def test_every_kind_is_seen_at_a_glance(job: Migration, tmp_path: Path) -> None:
    plant(job)
    report = tmp_path / "report"
    summary = job.run("verify", "--source", "--end", "2024-03-03", "--report", str(report))
    assert summary["by_kind"].keys() == KINDS.keys(), summary["by_kind"]

    page = (report / "report.html").read_text()
    verdict = re.sub("<[^>]*>", "", page[page.index('id="verdict"') : page.index("</section>")])
    for words in (
        "40 missing points",
        "30 changed values",
        "1 shifted time",
        "1 series missing",
        "12 ranges never copied",
    ):
        assert words in verdict
    kinds = page[page.index('<table id="kinds">') :].partition("</table>")[0]
    assert set(re.findall(r'<td class="k">(\w+)</td>', kinds)) == KINDS.keys()
    rows = re.findall(
        r'<tr class="row (\w+)"><th class="name" scope="row">(?:<span>)?([^<]*?)\s*(?:</span>)?<(.*?)</tr>',
        page,
        re.DOTALL,
    )
    shown = {kind: name.strip().strip("–") for kind, name, _ in rows}
    assert shown == KINDS
    counts = {kind: re.search(r'<td class="n">([\d,]+)', rest) for kind, _, rest in rows}
    assert {kind: int(found[1]) for kind, found in counts.items() if found} == summary["by_kind"]

    plots = re.findall(r'<figure class="plot"><h3><span>(.*?)</span>', page)
    assert sorted(plots) == ["PT-1", "PT-2", "PT-3", "PT-4", "PT-5", "PT-6"]
    gaps = page[page.index('<table id="data-gaps">') :].partition("</table>")[0]
    causes = set(re.findall(r'<span>(PT-\d+)</span>.*?<td class="k[^"]*">(\w+)</td>', gaps))
    assert {("PT-1", "missing_point"), ("PT-8", "data"), ("PT-11", "data")} <= causes
    with (report / "differences.csv").open(newline="") as file:
        every = list(csv.DictReader(file))
    assert len(every) == summary["differences"]
    assert {row["kind"] for row in every} == KINDS.keys()
    assert main(["report", "check", str(report / "report.html")]) == 0

    seen = render(report / "report.html", tmp_path)
    assert seen.requests == ()
    assert seen.dom.count('<figure class="plot">') == 6


@pytest.mark.long
def test_the_program_in_the_report_reproduces_its_fingerprints(job: Migration, tmp_path: Path) -> None:
    """With Python and pyarrow alone, from the destination as it is, damaged or not."""
    job.edit("PT-3", lambda rows, mine: changed(rows, "value", mine[201:231], 5.0))
    report = tmp_path / "report"
    job.run("verify", "--report", str(report))
    page = (report / "report.html").read_text()
    recipe = page[page.index('<pre id="recipe">') + 17 :].partition("</pre>")[0]
    program: dict[str, Any] = {}
    exec(html.unescape(recipe), program)
    table = page[page.index('<table id="fingerprints">') :].partition("</table>")[0]
    printed = dict(re.findall(r'<small class="id">(.*?)</small>.*?<code>([0-9a-f]{32})</code>', table, re.DOTALL))
    assert printed.keys() == set(job.ids.values())
    for series_id, expected in printed.items():
        found = pq.read_table(job.out, filters=[("series_id", "=", series_id)])
        points = zip(
            found["time"].cast("int64").to_pylist(),
            found["value"].to_pylist(),
            found["status"].to_pylist(),
            found["text"].to_pylist(),
            strict=True,
        )
        assert program["fingerprint"](points) == expected
