"""The report: what it says, that it stands alone, that it opens in a real browser, and that it stays small."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.cli import main
from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.difference import KINDS, POINT_KINDS, Difference
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.profile.figures import Profile, Stretch
from omnia_beam.pipelines.verify.comparison import NAMED, Comparison
from omnia_beam.pipelines.verify.coverage import DIFFERENT, DONE, EMPTY, MISSING, CoverageGrid
from omnia_beam.pipelines.verify.difference_log import COLUMNS, DifferenceLog
from omnia_beam.pipelines.verify.points import compare_points
from omnia_beam.pipelines.verify.ranges import EXAMPLES
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_digest import check_report, sealed
from omnia_beam.pipelines.verify.report_files import write_report
from omnia_beam.pipelines.verify.report_page import report_page
from omnia_beam.pipelines.verify.report_pictures import coverage_svg
from tests.pipelines.headless import render

WANTED = TimeRange.parse("2024-01-01", "2024-03-01")
HOUR = 3_600 * 10**9
EVIL = "<script>alert('x')</script>&\"tag"


def series(count: int = 400) -> Points:
    times = WANTED.start_ns + np.arange(count, dtype=np.int64) * HOUR
    return Points(times, np.sin(np.arange(count) / 9), np.full(count, 192, np.uint32))


def damaged(points: Points) -> Points:
    """One of each: missing, extra, value, status, time; and a NaN."""
    times, values, statuses = (column.copy() for column in points[:3])
    values[40] = np.nan
    values.view(np.uint64)[20] ^= np.uint64(1)
    statuses[30] = 64
    times[50] += 1
    keep = np.arange(len(times)) != 10
    return Points(
        np.append(times[keep], times[60] + 5), np.append(values[keep], 9.0), np.append(statuses[keep], np.uint32(0))
    )


def findings(ids: tuple[str, ...] = ("a", "b", EVIL), log: DifferenceLog | None = None) -> Comparison:
    found = Comparison(CoverageGrid(ids, WANTED), log=log)
    for series_id in ids:
        found.grid.mark(series_id, WANTED, DONE)
        found.count_series(series_id, Fingerprint.of(series()), Fingerprint.of(series()))
    expected, other = series(), damaged(series())
    found.add_points(ids[0], WANTED, expected, other, compare_points(expected, other))
    found.add(Difference("missing_file", f"is not there {EVIL}", ids[0], WANTED, file=f"{EVIL}.parquet"))
    found.add(Difference("not_covered", "was never copied", ids[1], TimeRange.parse("2024-02-01", "2024-03-01")))
    found.grid.mark(ids[1], TimeRange.parse("2024-02-01", "2024-03-01"), MISSING)
    found.note(f"A note with {EVIL}")
    found.windows, found.points, found.files = 2, 1_200, 2
    return found.finish()


def report(found: Comparison, **more: Any) -> VerifyReport:
    scope = Scope.of({"sink": "parquet /out", "source": f"omnia http://x/{EVIL}"})
    return VerifyReport.of("job", scope, WANTED, len(found.grid.series_ids), True, found, **more)


class Page(HTMLParser):
    """The texts of elements with an id, the classes that occur, and everything that points elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.classes: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.classes.extend(values.get("class", "").split())
        self.links.extend(values[name] for name in ("src", "href", "srcset", "action", "data") if name in values)
        if values.get("id"):
            self._open.append((tag, values["id"]))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            self.texts[name] = self.texts.get(name, "") + data


def test_the_page_stands_alone() -> None:
    text = report_page(report(findings()))
    page = Page(text)
    assert page.links == ["data:,"]
    assert not {"script", "iframe", "object", "embed", "img"} & set(page.tags)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(", style[1])
    assert "prefers-color-scheme: dark" in style[1]


def test_the_page_tells_every_kind_that_was_found() -> None:
    page = Page(report_page(report(findings())))
    for kind in (*(each for each in POINT_KINDS if each != "changed_text"), "missing_file", "not_covered"):
        assert kind in page.texts["differences"]
        assert kind in page.classes
    assert page.texts["verdict"].startswith("8 differences.")
    assert "1 missing point, 1 extra point, 2 changed values" in page.texts["verdict"]
    assert page.classes.count("mark") == 1 + 1 + 1 + 2 + 4 + 2  # legend, missing, extra, shifted, changed, NaN
    assert series_print() in page.texts["fingerprints"]


def series_print() -> str:
    return Fingerprint.of(series()).content_hash


def test_it_opens_in_a_real_browser_and_asks_nobody(tmp_path: Path) -> None:
    written = tmp_path / "report.html"
    written.write_text(report_page(report(findings())), encoding="utf-8")
    seen = render(written, tmp_path)
    page = Page(seen.dom)
    assert page.texts["verdict"].startswith("8 differences.")
    assert page.texts["differences"].count("changed_value") == 2  # the bit, and the NaN
    assert EVIL in page.texts["differences"]
    assert "script" not in page.tags
    assert {"done", "missing", "different", "curve", "mark"} <= set(page.classes)
    assert seen.requests == ()


def test_the_browser_would_have_been_caught_asking(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<html><body><img src="http://127.0.0.1:9/beacon.png"></body></html>')
    assert render(page, tmp_path).requests == ("http://127.0.0.1:9/beacon.png",)


def test_the_json_form(tmp_path: Path) -> None:
    found = report(findings())
    places = write_report(
        found, StateDir.open(str(tmp_path / "state"), "job"), "run", str(tmp_path / "deep" / "report")
    )
    told = json.loads(Path(places["report"]).read_text())
    assert (told["omnia_beam_report"], told["equal"], told["reference"]) == (1, False, "source")
    assert told["before"]["by_kind"] == {
        "changed_status": 1,
        "changed_value": 2,
        "extra_point": 1,
        "missing_file": 1,
        "missing_point": 1,
        "not_covered": 1,
        "shifted_time": 1,
    }
    assert told["kinds"] == KINDS
    assert [row["series"] for row in told["coverage"]["rows"]] == ["a", "b", EVIL]
    assert {len(row["cells"]) for row in told["coverage"]["rows"]} == {120}
    assert told["fingerprints"]["a"] == Fingerprint.of(series()).to_json()
    nan = next(each for each in told["before"]["named"] if each.get("found", {}).get("value") == "nan")
    assert nan["found"]["bits"] == "7ff8000000000000"


def test_names_stand_before_ids_and_what_was_not_looked_at_before_figures() -> None:
    found = findings()
    found.limits.append("statuses were not compared")
    known = {"a": Timeseries("a", "27-PT-1001", "EMU", unit="bar"), "b": Timeseries("b", EVIL, "EMU")}
    found.note("5 points are dead letters")
    text = report_page(report(found, known=known, unseen=("5 points are dead letters",)))
    page = Page(text)
    assert text.count("5 points are dead letters") == 1
    assert "5 points are dead letters" in page.texts["unseen"]
    assert re.search(r'<tr class="row missing_point">.*?<span>27-PT-1001</span><small class="id">a</small>', text)
    assert EVIL in page.texts["series"]
    assert "script" not in page.tags
    assert "statuses were not compared" in page.texts["unseen"]
    assert text.index('id="unseen"') < text.index('class="cards"') < text.index('id="differences"')
    assert "27-PT-1001" in page.texts["coverage"]


def test_who_made_it_and_with_what() -> None:
    made = report(findings())
    page = Page(report_page(made))
    for text in (made.origin.scope_digest, made.origin.host, "omnia-beam ", "Python ", "pyarrow "):
        assert text
        assert text in page.texts["origin"]
    assert made.to_json()["made"]["scope_digest"] == Scope.of(dict(made.configuration)).digest


def test_a_gap_of_the_copy_is_no_gap_of_the_data() -> None:
    """Gaps that the source has, and gaps that the copy alone has, stand side by side, each with its reason."""
    day = 24 * HOUR
    lost, calm = WANTED.start_ns + 31 * day, WANTED.start_ns + 3 * day
    stretches = (Stretch("b", lost + HOUR, 10 * day), Stretch("c", calm, 2 * day))
    text = report_page(report(findings(("a", "b", "c")), profile=Profile(HOUR, (), stretches)))
    tables = {name: text[text.index(f'id="{name}"') :].partition("</table>")[0] for name in ("copy-gaps", "data-gaps")}
    assert re.findall(r'<span class="id">(\w+)</span>.*?<td class="k[^"]*">(\w+)</td>', tables["data-gaps"]) == [
        ("b", "not_covered"),
        ("c", "data"),
    ]
    assert re.findall(r'<td class="k">(\w+)</td>', tables["copy-gaps"]) == [
        "missing_point",
        "missing_file",
        "not_covered",
    ]


def test_series_that_differ_alike_share_a_row() -> None:
    found = Comparison(CoverageGrid([f"s{n}" for n in range(40)], WANTED))
    for number in range(40):
        found.add(Difference("not_covered", "was never copied", f"s{number}", WANTED))
    text = report_page(report(found.finish()))
    assert text.count('<tr class="row not_covered">') == 1
    assert "40 series<small>s0, s1, s10, …" in text


def test_the_file_of_all_differences(tmp_path: Path) -> None:
    """All of them, not the 500 of a kind that are named, with both points bit by bit."""
    with DifferenceLog({"a": 'PT, "1"'}) as log:
        found = findings(log=log)
        points = series(NAMED * 3)
        late = points._replace(values=points.values + 1)
        found.add_points("a", WANTED, points, late, compare_points(points, late))
        facts = report(found, differences=(log.rows, log.sha256))
        places = write_report(facts, StateDir.open(str(tmp_path / "state"), "job"), "run", str(tmp_path), log)
    with Path(places["differences_file"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert Counter(row["kind"] for row in rows) == found.counts
    assert len(rows) == 8 + NAMED * 3
    nan = next(row for row in rows if row["found_value"] == "nan")
    assert (nan["found_bits"], nan["name"], nan["series_id"]) == ("7ff8000000000000", 'PT, "1"', "a")
    assert json.loads(Path(places["report"]).read_text())["differences_csv"].endswith(":differences.csv")
    assert check_report(places["page"]).problems == check_report(places["report"]).problems == ()


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    with DifferenceLog() as log:
        facts = report(findings(log=log), differences=(log.rows, log.sha256))
        places = write_report(facts, StateDir.open(str(tmp_path / "state"), "job"), "run", str(tmp_path / "r"), log)
    return {what: Path(place) for what, place in places.items()}


def notices(file: Path) -> bool:
    """Whether the check shows that a file was changed; a damaged digest may be none any more."""
    try:
        return bool(check_report(str(file)).problems)
    except UsageError:
        return True


@pytest.mark.parametrize("form", ["page", "report"])
def test_a_report_that_was_changed_shows_it(written: dict[str, Path], form: str, capsys: Any) -> None:
    file = written[form]
    data = file.read_bytes()
    assert main(["report", "check", str(file)]) == 0
    assert capsys.readouterr().out.count("unchanged since it was written") == 2
    digest = data.index(b"sha256:") + 10
    for at in (0, digest, len(data) // 2, len(data) - 2):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert notices(file), at
    file.write_bytes(data.replace(b"differences", b"difference5", 1))
    assert main(["report", "check", str(file)]) == 1
    file.write_bytes(data + b" ")
    assert main(["report", "check", str(file), "--json"]) == 1
    assert "changed after it was written" in json.loads(capsys.readouterr().out.splitlines()[-1])["problems"][0]


def test_a_list_of_differences_that_was_changed_or_lost_shows_it(written: dict[str, Path]) -> None:
    file = written["differences_file"]
    file.write_bytes(file.read_bytes().replace(b"missing", b"present", 1))
    assert "differences.csv: was changed" in check_report(str(written["page"])).problems[0]
    file.unlink()
    assert "differences.csv: is not there" in check_report(str(written["report"])).problems[0]


def test_what_is_no_report_cannot_be_checked(tmp_path: Path, capsys: Any) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>Equal: nothing differs.</p>")
    for file in (page, tmp_path / "none.html", tmp_path):
        assert main(["report", "check", str(file)]) == 2
        assert "omnia-beam report: " in capsys.readouterr().err


def test_a_name_that_looks_like_a_digest_does_no_harm() -> None:
    evil = f"omnia-beam-report-sha256:{'a' * 64}"
    known = {"a": Timeseries("a", evil, "EMU"), "b": Timeseries("b", "0" * 64, "EMU")}
    made = report(findings(), known=known)
    for data in (sealed(report_page(made)), sealed(json.dumps(made.to_json()))):
        found = re.search(rb"omnia-beam-report-sha256:([0-9a-f]{64})", data)
        assert found is not None
        assert found[1] != b"a" * 64


def test_without_a_folder_it_goes_into_the_state(tmp_path: Path) -> None:
    state_dir = StateDir.open(str(tmp_path / "state"), "job")
    places = write_report(report(findings()), state_dir, "run-7", None)
    assert set(places) == {"report", "page"}
    assert places["page"] == state_dir.path("runs/run-7.html")
    assert json.loads(Path(places["report"]).read_text())["job"] == "job"


def test_a_hundred_thousand_series_make_no_larger_a_picture() -> None:
    grid = CoverageGrid([f"{i:06d}" for i in range(100_000)], WANTED)
    rng = np.random.default_rng(1)
    for number in range(100_000):
        start = WANTED.start_ns + int(rng.integers(0, 50)) * 24 * HOUR
        state = (DONE, EMPTY, MISSING, DIFFERENT)[number % 997 % 4]
        grid.mark(f"{number:06d}", TimeRange(start, start + 24 * HOUR), state)
    picture = coverage_svg(grid)
    assert len(picture) < 400_000
    assert len(grid.to_json()["rows"]) == 100
    assert grid.row_name(0) == "000000 to 000999 (1000 series)"


def test_rows_of_the_coverage_stand_in_the_order_of_names() -> None:
    grid = CoverageGrid(["1", "2", "3"], WANTED)
    grid.mark("1", WANTED, MISSING)
    picture = coverage_svg(grid, {"1": "b", "2": "a"})
    assert re.findall(r"<title>(\d)</title>", picture) == ["3", "2", "1"]
    assert re.search(r'<path class="missing" d="M\d+ 32h', picture)


def test_a_million_differences_make_no_longer_a_page() -> None:
    found = Comparison(CoverageGrid(["a"], WANTED))
    points = series(100_000)
    late = points._replace(times=points.times + 1)
    found.add_points("a", WANTED, points, late, compare_points(points, late))
    for number in range(NAMED + 50):
        found.add(Difference("missing_file", "is not there", "a", WANTED, file=f"{number}.parquet"))
    text = report_page(report(found.finish()))
    assert len(text) < 400_000
    assert found.total == 100_000 + NAMED + 50
    assert len(found.differences) == 2 * NAMED
    assert "and 99,997 more" in text
    assert f"and {NAMED + 50 - EXAMPLES:,} more" in text
    assert found.ranges.ranges()[0].count == NAMED + 50


def test_what_is_equal_is_drawn_as_equal() -> None:
    """Of long curves a few points are drawn: of both the same ones, though one curve has a point less."""
    expected = series(5_000)
    expected = expected._replace(values=np.random.default_rng(1).normal(size=5_000))
    keep = np.ones(5_000, bool)
    keep[[1, 2_500, 4_990]] = False  # far apart, so that all between is drawn
    there = Points(expected.times[keep], expected.values[keep], expected.statuses[keep])
    found = Comparison(CoverageGrid(["a"], WANTED))
    found.add_points("a", WANTED, expected, there, compare_points(expected, there))
    text = report_page(report(found.finish()))
    one, other = (
        re.findall(r"[ML]([\d.]+ [\d.]+)", path)
        for path in re.findall(r'<path class="curve [a-z]+" d="(M[^"]*)"', text)
    )
    assert len(set(one) & set(other)) > 350
    assert len(set(one) ^ set(other)) <= 12  # each missing one, and what is drawn in its place


@pytest.mark.parametrize(
    ("values", "other"),
    [
        ([1e308, -1e308, 0.0], [1e308, -1e308, 1.0]),
        ([np.nan, np.inf, -np.inf], [np.nan, np.inf, np.inf]),
        ([5e-324, 0.0, -0.0], [0.0, 0.0, 0.0]),
        ([1e308, 1e308, 1e308], [1e308, 1e308, 1.1e308]),
        ([1.7e308, 1.7e308], [1.7e308]),
        ([5e-324, 5e-324], [5e-324]),
        ([7.0, 7.0, 7.0], [7.0]),
        ([7.0], [7.0, 8.0]),
    ],
)
def test_plots_of_odd_values(values: list[float], other: list[float]) -> None:
    def points(column: list[float]) -> Points:
        times = WANTED.start_ns + np.arange(len(column), dtype=np.int64) * HOUR
        return Points(times, np.array(column), np.full(len(column), 192, np.uint32))

    found = Comparison(CoverageGrid(["a"], WANTED))
    expected, there = points(values), points(other)
    found.add_points("a", WANTED, expected, there, compare_points(expected, there))
    text = report_page(report(found.finish()))
    plot = text[text.index('class="plot"') : text.index("</figure>", text.index('class="plot"'))]
    coordinates = [float(each) for each in re.findall(r'c[xy]="([^"]*)"', plot)]
    assert coordinates
    assert all(0 <= each <= 720 for each in coordinates)
    assert "nan" not in re.sub(r"<title>.*?</title>", "", plot)
