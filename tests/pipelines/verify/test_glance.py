"""A migration with a difference of every kind: its report shows each at a glance.

The damage is planted with pyarrow alone, but for what only a ledger can hold. For each kind the tests say where it is seen: in
the verdict, in the table of kinds, in a row with the series' name, count, range and first example, in the list of all
differences, and for points in the pictures. The programs that the page prints then run as they are printed.
"""

from __future__ import annotations

import csv
import html
import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from omnia_beam.cli import main
from omnia_beam.io.difference import KINDS
from tests.pipelines.headless import render
from tests.pipelines.verify.planted_migration import TEXTLESS, Migration, plant

JANUARY = ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z")
FEBRUARY = ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")
SEEN: dict[str, tuple[str, int, tuple[str, ...], str]] = {
    "not_compared": ("PT-13", 1, FEBRUARY, "1 series: the source: .*PT-13-02.parquet: row group 0: .* is damaged"),
    "missing_point": (
        "PT-1",
        40,
        ("2024-01-05T04:00:00Z", "2024-01-06T19:00:00Z"),
        "2024-01-05T04:00:00Z is missing: text 'running', status 192",
    ),
    "extra_point": (
        "PT-2",
        1,
        ("2024-01-01T05:00:00.000000007Z",),
        "2024-01-01T05:00:00.000000007Z is too many: value 121.0966",
    ),
    "changed_value": (
        "PT-3",
        30,
        ("2024-01-09T09:00:00Z", "2024-01-11T14:00:00Z"),
        r"2024-01-09T09:00:00Z: value 86.5781605760\d+ .* became 91.5781605760\d+ .*, 3 bits changed",
    ),
    "changed_status": ("PT-4", 1, ("2024-01-14T12:00:00Z",), "2024-01-14T12:00:00Z: status 192 became 24"),
    "changed_text": ("PT-5", 1, ("2024-01-03T02:00:00Z",), "2024-01-03T02:00:00Z: text 'running' became 'stopped'"),
    "shifted_time": (
        "PT-6",
        1,
        ("2024-01-18T16:00:00Z",),
        r"2024-01-18T16:00:00Z is at 2024-01-18T16:00:00.0000001Z \(\+100 ns\)",
    ),
    "missing_series": (
        "PT-7",
        1,
        (JANUARY[0], FEBRUARY[1]),
        "no point is there; copied were 1,296 points in 2 windows",
    ),
    "missing_points": ("PT-8", 1, JANUARY, "no point of the window is there, of 648"),
    "changed_window": ("PT-13", 1, FEBRUARY, "differs from what was stored: 648 points, fingerprint"),
    "missing_file": (
        "PT-9",
        1,
        FEBRUARY,
        "year=2024/month=02/plant-.*: is not there: the file of 648 points of 1 series",
    ),
    "unreadable_file": ("PT-10", 1, FEBRUARY, "year=2024/month=02/plant-.*: cannot be read: Parquet magic bytes"),
    "stray_file": ("–", 1, (), "year=2024/month=01/copy.parquet: 648 points, of a name that the job does not give"),
    "linked_file": ("–", 1, (), "year=2024/month=01/link.parquet: leads to the file year=2024/month=01/plant-"),
    "not_covered": (
        "16 series",
        16,
        ("2024-03-01T00:00:00Z", "2024-03-03T00:00:00Z"),
        "was never copied, or its replacement was not finished",
    ),
    "replaced_in_part": ("PT-14", 1, FEBRUARY, "a later copy holds a part of this window too"),
    "wrong_receipt": ("PT-12", 1, JANUARY, "the destination holds the points of the source, and the receipt differs"),
}
"""By kind: the name in its row, how many, its times (one instant, or first and last), and how its first example begins."""


@pytest.fixture
def job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Migration:
    return Migration(tmp_path, capsys)


@dataclass(frozen=True)
class Page:
    """A page of a report, taken apart by its marks alone."""

    text: str

    @property
    def verdict(self) -> str:
        return self.words(self.text[self.text.index('id="verdict"') : self.text.index("</section>")])

    def table(self, name: str) -> str:
        return self.text[self.text.index(f'<table id="{name}">') :].partition("</table>")[0]

    def program(self, name: str) -> str:
        """Return the text of an element `pre`."""
        start = f'<pre id="{name}">'
        return html.unescape(self.text[self.text.index(start) + len(start) :].partition("</pre>")[0])

    def rows(self) -> dict[str, tuple[str, int, tuple[str, ...], str]]:
        """Return by kind, from the table of ranges, what SEEN holds, with the whole first example."""
        found = {}
        for kind, row in re.findall(r'<tr class="row (\w+)">(.*?)</tr>', self.table("differences"), re.DOTALL):
            name, count, times, example = (
                re.findall(pattern, row, re.DOTALL)
                for pattern in (
                    r'<th class="name" scope="row">(.*?)(?:<small|</th>)',
                    r'<td class="n">([\d,]+)',
                    r'<time datetime="(.*?)">',
                    r"<div>(.*?)</div>",
                )
            )
            assert kind not in found
            found[kind] = (self.words(name[0]), int(count[0]), tuple(times), html.unescape(example[0]))
        return found

    def fingerprints(self) -> dict[str, str]:
        """Return by series' id what the page prints of series that hold points."""
        row = r'<small class="id">([^<]*)</small>.*?<td class="n">([\d,]+)</td><td><code>([0-9a-f]{32})</code>'
        return {
            id: digest for id, count, digest in re.findall(row, self.table("fingerprints"), re.DOTALL) if count != "0"
        }

    @staticmethod
    def words(marked: str) -> str:
        return html.unescape(re.sub("<[^>]*>", "", marked)).strip()


@pytest.mark.long
def test_every_kind_is_seen_at_a_glance(job: Migration, tmp_path: Path) -> None:
    plant(job)
    report = tmp_path / "report"
    summary = job.run("verify", "--source", "--end", "2024-03-03", "--report", str(report))
    assert SEEN.keys() == KINDS.keys()
    assert summary["by_kind"] == {kind: count for kind, (_, count, _, _) in SEEN.items()}

    page = Page((report / "report.html").read_text())
    for words in (
        "Not everything was compared. In the rest there are 99 differences.",
        "40 missing points",
        "1 extra point,",
        "30 changed values",
        "1 changed status",
        "1 changed text",
        "1 shifted time",
        "1 series missing",
        "1 window without its points",
        "1 changed window",
        "1 missing file",
        "1 unreadable file",
        "1 stray file",
        "1 linked file",
        "16 ranges never copied",
        "1 window replaced in part",
        "1 wrong receipt",
    ):
        assert words in page.verdict
    kinds = re.findall(r'<td class="k">(\w+)</td><td class="n">(\d+)</td>', page.table("kinds"))
    assert {kind: int(count) for kind, count in kinds} == summary["by_kind"]
    rows = page.rows()
    assert {kind: row[:3] for kind, row in rows.items()} == {kind: row[:3] for kind, row in SEEN.items()}
    for kind, (_, _, _, example) in SEEN.items():
        assert re.match(example, rows[kind][3]), kind

    plots = re.findall(
        r'<figure class="plot"><h3><span>(.*?)</span>.*?<figcaption>(.*?)</figcaption>', page.text, re.DOTALL
    )
    assert sorted(name for name, _ in plots) == ["PT-1", "PT-2", "PT-3", "PT-4", "PT-5", "PT-6"]
    assert ("PT-4", "1 changed_status: 2024-01-14T12:00:00Z: status 192 became 24.") in plots
    gaps = re.findall(r'scope="row">(.*?)</th>.*?<td class="k[^"]*">(\w+)</td>', page.table("data-gaps"), re.DOTALL)
    causes = [(page.words(name), cause) for name, cause in gaps]
    assert ("PT-1", "missing_point") in causes
    assert ("PT-8", "data") in causes
    assert [cause for name, cause in causes if re.match(r"1\d series", name)] == ["data", "data"]
    with (report / "differences.csv").open(newline="") as file:
        every = list(csv.DictReader(file))
    assert len(every) == summary["differences"]
    assert {row["kind"] for row in every} == KINDS.keys()
    assert main(["report", "check", str(report / "report.html")]) == 0

    seen = render(report / "report.html", tmp_path)
    assert seen.requests == ()
    assert seen.dom.count('<figure class="plot">') == 6


@pytest.mark.long
@pytest.mark.parametrize("language", ["python", "duckdb"])
def test_the_programs_in_the_report_reproduce_its_fingerprints(job: Migration, tmp_path: Path, language: str) -> None:
    """As they are printed, from the destination as it lies: damaged, and again after its repair."""
    if language == "duckdb":
        pytest.importorskip("duckdb", "2.0", "earlier releases cut times to the microsecond")
    run, ids = RUN[language], {job.ids[name] for name in (job.ids if language == "python" else TEXTLESS)}
    sound = job.source_file("PT-13", "02").read_bytes()
    plant(job)
    job.run("verify", "--source", "--report", str(tmp_path / "damaged"))
    page = Page((tmp_path / "damaged" / "report.html").read_text())
    (broken,) = (file for file in job.out.rglob("*.parquet") if file.read_bytes()[-4:] != b"PAR1")
    broken.unlink()  # no reader opens a folder with it, and the report has nothing of it either
    printed, found = page.fingerprints(), run(page)
    assert len(printed) == 15  # of PT-7 nothing is there
    assert found.keys() == ids & printed.keys()
    assert {id for id in found if found[id] != printed[id]} == {job.ids["PT-14"]}  # of its February the page has a part

    job.source_file("PT-13", "02").write_bytes(sound)
    job.run("verify", "--source", "--repair")
    assert job.run("verify", "--source", "--report", str(tmp_path / "whole"))["by_kind"] == {"linked_file": 1}
    page = Page((tmp_path / "whole" / "report.html").read_text())
    assert page.fingerprints().keys() == set(job.ids.values())
    assert run(page) == {id: page.fingerprints()[id] for id in ids}


def run_python(page: Page) -> dict[str, str]:
    """Return what the program prints by series, run as a process of its own."""
    command = [sys.executable, "-c", page.program("recipe")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return dict(line.split() for line in done.stdout.splitlines())


def run_duckdb(page: Page) -> dict[str, str]:
    rows = importlib.import_module("duckdb").execute(page.program("query")).fetchall()
    return {series_id: digest for series_id, _, digest in rows}


RUN = {"python": run_python, "duckdb": run_duckdb}
