"""The command as its user meets it: table, JSON, page, exit codes; names from the metadata beside the data."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.core.timestamps import parse_time
from tests.pipelines.headless import render
from tests.pipelines.profile.test_reading import Rows, table

START = parse_time("2024-01-01")
MINUTE = 60 * 10**9
EVIL = "<script>alert('x')</script>&\"tag"


def plant() -> Rows:
    """Steady, with a gap of five hours, flat for two hours, bad, an evil id, one point."""
    found: Rows = []
    for at in range(1_000):
        time = START + at * 5 * MINUTE
        found.append(("steady", time, float(at % 7), 192))
        if not 100 <= at < 160:
            found.append(("with a gap", time, float(at), 64 if at < 10 else 192))
        found.append(("flat", time, 5.0 if 200 <= at <= 224 else float(at), 192))
        found.append((EVIL, time, float("inf") if at == 3 else float("nan") if at == 4 else -1.0 * at, 0))
    return [*found, ("one", START, 1.0, 192)]


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., str]:
    def write(content: Rows | None = None, **sink: Any) -> str:
        out = tmp_path / "out"
        out.mkdir()
        if content is not None:
            pq.write_table(table(content), out / "part.parquet", row_group_size=777)
        configuration = {
            "name": "plant",
            "source": {"kind": "csv", "path": str(tmp_path / "in" / "*.csv")},
            "window": {"start": "2024-01-01", "end": "2024-02-01"},
            "sink": {"kind": "parquet", "path": str(out), **sink},
            "state": str(tmp_path / "state"),
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        return str(path)

    return write


def summary(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=no_constant)
    return found


def test_the_summary(job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["profile", job(plant()), "--json"]) == 0
    found = summary(capsys)
    assert (found["command"], found["status"], found["series"], found["points_read"]) == (
        "profile",
        "complete",
        5,
        3_941,
    )
    assert (found["files"], found["gap"], found["gap_count"], found["flat_count"]) == (1, "1h", 1, 1)
    rows = {row["series_id"]: row for row in found["profile"]}
    gap = rows["with a gap"]
    assert (gap["points"], gap["first"], gap["last"]) == (940, "2024-01-01T00:00:00Z", "2024-01-04T11:15:00Z")
    assert (gap["minimum"], gap["maximum"], gap["share_bad"], gap["questionable"]) == (0.0, 999.0, 10 / 940, 10)
    assert (gap["longest_gap"], gap["gaps"], gap["flat_stretches"]) == ("5h5m", 1, 0)
    assert found["gaps"] == [
        {
            "series_id": "with a gap",
            "start": "2024-01-01T08:15:00Z",
            "end": "2024-01-01T13:20:00Z",
            "length_ns": 305 * MINUTE,
            "length": "5h5m",
        }
    ]
    assert [(each["series_id"], each["length"], each["value"]) for each in found["flat_stretches"]] == [
        ("flat", "2h", 5.0)
    ]
    evil = rows[EVIL]
    assert (evil["minimum"], evil["mean"], evil["maximum"]) == (-999.0, "inf", "inf")
    assert (evil["nan"], evil["infinite"], evil["share_bad"]) == (1, 1, 1.0)
    one = rows["one"]
    assert (one["longest_gap"], one["minimum"], one["mean"], one["gaps"]) == (None, 1.0, 1.0, 0)
    assert one["sparkline"]["low_high"] == [[1.0, 1.0]]
    assert not (tmp_path / "state").exists()  # who looks makes nothing


def test_gap_decides(job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = job(plant())
    assert main(["profile", path, "--gap", "6h", "--json"]) == 0
    assert summary(capsys)["gap_count"] == 0
    assert main(["--gap", "1m", "profile", path, "--json"]) == 0
    found = summary(capsys)
    assert found["gap_count"] == 3 * 999 + 939
    assert len(found["gaps"]) == 1_000
    assert found["gaps"][0]["length"] == "5h5m"


def test_options_of_the_window_limit_it(job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = job(plant())
    assert main(["profile", path, "--json", "--start", "2024-01-02", "--end", "2024-01-02T00:10:00Z"]) == 0
    found = summary(capsys)
    assert (found["series"], found["points_read"], found["first"]) == (4, 8, "2024-01-02T00:00:00Z")


def test_a_gap_that_nearly_every_time_between_points_is_longer_than(
    job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows: Rows = [("rare", START + at * 120 * MINUTE, float(at), 192) for at in range(50)]
    config, page = job(rows), tmp_path / "page.html"
    warned = "in 1 of 1 series most times between two points are longer than 1h and count as gaps; with 6h only"
    assert main(["profile", config, "--json", "--html", str(page)]) == 0
    assert summary(capsys)["warnings"][0].startswith(warned)
    text = page.read_text(encoding="utf-8")
    assert warned in text
    assert text[text.index('<table id="gaps">') :].partition("</table>")[0].count("<tr>") == 1 + 5
    assert "5 of 49, the longest and at most 5 of a series" in text
    assert main(["profile", config, "--json", "--gap", "6h"]) == 0
    assert summary(capsys)["warnings"] == []


@pytest.mark.parametrize(("series", "first"), [(5, "series"), (150, "gaps")])
def test_gaps_stand_where_they_are_found(job: Callable[..., str], tmp_path: Path, series: int, first: str) -> None:
    rows: Rows = [(f"s{at:03d}", START + hour * 60 * MINUTE, 1.0, 192) for at in range(series) for hour in (0, 9)]
    assert main(["profile", job(rows), "--html", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r'<table id="(\w+)">', text)[0] == first


@pytest.mark.parametrize("gap", ["0s", "1", "soon", "-1h"])
def test_a_gap_that_is_none(job: Callable[..., str], capsys: pytest.CaptureFixture[str], gap: str) -> None:
    assert main(["profile", job(plant()), f"--gap={gap}"]) == 2
    assert "--gap" in capsys.readouterr().err


def test_a_service_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    sink = {"kind": "omnia", "base_url": "http://127.0.0.1:1/x", "credential": {"kind": "anonymous"}}
    source = {"kind": "csv", "path": str(tmp_path / "*.csv")}
    path.write_text(yaml.safe_dump({"name": "a", "source": source, "sink": sink, "state": str(tmp_path / "s")}))
    assert main(["profile", str(path)]) == 2
    assert "sink.kind is omnia" in capsys.readouterr().err


def test_nothing_there_is_not_complete(
    job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert main(["profile", job(), "--json", "--html", str(page)]) == 1
    found = summary(capsys)
    assert (found["status"], found["series"], found["first"]) == ("incomplete", 0, None)
    assert "holds no data files" in found["warnings"][0]
    assert "There are no points." in page.read_text(encoding="utf-8")


def test_files_without_points_are_complete(job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", job([]), "--json"]) == 0
    assert summary(capsys)["profile"] == []


def test_a_damaged_file_is_incomplete(
    job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = job(plant())
    (tmp_path / "out" / "torn.parquet").write_bytes(b"PAR1...")
    assert main(["profile", path, "--json"]) == 1
    found = summary(capsys)
    assert (found["status"], found["files_unread"], found["series"]) == ("incomplete", 1, 5)
    assert found["warnings"][0].startswith("torn.parquet cannot be read")
    assert main(["profile", path]) == 1
    assert "NOT READ: torn.parquet" in capsys.readouterr().out


def test_files_of_other_jobs_are_said(
    job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = job(plant())
    name = "year=2024/month=01/other-0a1b2c3d-20240101T000000Z-20240201T000000Z-0123456789abcdef.parquet"
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    pq.write_table(table([("theirs", START, 1.0, 192)]), tmp_path / "out" / name)
    assert main(["profile", path, "--json"]) == 0
    found = summary(capsys)
    assert found["series"] == 6
    assert found["warnings"][0].startswith("1 file of other jobs")


METADATA = "series_id,name,facility,description,unit,step\n"


def test_names_and_units(job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = job(plant())
    older, newer = tmp_path / "out" / "_series-z.csv", tmp_path / "out" / "_series-plant.csv"
    older.write_text(METADATA + "steady,Old name,F,,bar,\none,Only here,F,,°C,\n", encoding="utf-8")
    newer.write_text(METADATA + 'steady,"27PT,1",JSV,"Pressure",barg,\n', encoding="utf-8")
    os.utime(older, (1, 1))
    assert main(["profile", path, "--json"]) == 0
    rows = {row["series_id"]: row for row in summary(capsys)["profile"]}
    assert (rows["steady"]["name"], rows["steady"]["unit"], rows["steady"]["facility"]) == ("27PT,1", "barg", "JSV")
    assert (rows["one"]["name"], rows["one"]["unit"]) == ("Only here", "°C")
    assert (rows["flat"]["name"], rows["flat"]["unit"]) == ("flat", "")
    assert main(["profile", path]) == 0
    assert "27PT,1 (barg)" in capsys.readouterr().out


def test_metadata_that_cannot_be_read_costs_the_names_alone(
    job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = job(plant())
    (tmp_path / "out" / "_series-plant.csv").write_bytes(b"tag,name\n\xff,\n")
    (tmp_path / "out" / "_series-other.csv").write_bytes(b"tag,name\nx,y\n")
    assert main(["profile", path, "--json"]) == 0
    found = summary(capsys)
    assert (found["series"], len(found["warnings"])) == (5, 2)
    assert (
        f"ids stand in place of names: {tmp_path}/out/_series-other.csv:1: has no column series_id" in found["warnings"]
    )


class Page(HTMLParser):
    """Tags, everything that points elsewhere, and the rows of tables by id: the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._table, self._in_cell = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.links += [values[name] for name in ("src", "href", "srcset", "action", "data") if name in values]
        if tag == "table":
            self._table = values["id"]
            self.rows[self._table] = []
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag in ("td", "th"):
            self.rows[self._table][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[self._table][-1][-1] += data


def test_the_page(job: Callable[..., str], tmp_path: Path) -> None:
    page = tmp_path / "new" / "profile.html"
    path = job(plant())
    assert main(["profile", path, "--html", str(page), "--quiet"]) == 0
    text = page.read_text(encoding="utf-8")
    found = Page(text)
    assert found.links == ["data:,"]
    assert not {"script", "iframe", "object", "embed", "img"} & set(found.tags)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(", style[1])
    assert all(word in style[1] for word in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto"))
    names = [row[0] for row in found.rows["series"][1:]]
    assert names == sorted([EVIL, "flat", "one", "steady", "with a gap"], key=str.casefold)
    assert found.tags.count("svg") == 5
    [_, gap] = found.rows["gaps"]
    assert gap == ["with a gap", "5 h 5 min", "2024-01-01T08:15:00Z", "2024-01-01T13:20:00Z"]
    assert found.rows["flats"][1][:3] == ["flat", "2 h", "5"]
    assert html.escape(EVIL, quote=False).partition("&amp;")[0] in text.replace("&#39;", "'")


def test_the_page_opens_in_a_real_browser_and_asks_nobody(job: Callable[..., str], tmp_path: Path) -> None:
    page = tmp_path / "profile.html"
    assert main(["profile", job(plant()), "--html", str(page), "--quiet"]) == 0
    seen = render(page, tmp_path)
    found = Page(seen.dom)
    assert [len(rows) for rows in found.rows.values()] == [6, 2, 2]
    assert "script" not in found.tags
    assert seen.requests == ()


def test_a_page_that_cannot_be_written(
    job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["profile", job(plant()), "--html", str(tmp_path / "file" / "page.html")]) == 3
    assert "cannot be written" in capsys.readouterr().err
