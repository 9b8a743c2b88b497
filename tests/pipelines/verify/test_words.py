"""The words of a verification: its verdict, its rows of ranges, and what the terminal prints of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.difference import Difference
from omnia_beam.io.window_reading import failure_text
from omnia_beam.ledger.record import Scope
from omnia_beam.pipelines.profile.figures import Profile, Stretch
from omnia_beam.pipelines.verify.comparison import Comparison
from omnia_beam.pipelines.verify.coverage import CoverageGrid
from omnia_beam.pipelines.verify.difference_log import DifferenceLog
from omnia_beam.pipelines.verify.points import compare_points
from omnia_beam.pipelines.verify.range_rows import rows_of, some_of_each
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_page import headline, report_page
from omnia_beam.pipelines.verify.report_pictures import difference_svg
from tests.pipelines.verify.test_report import HOUR, WANTED, series

FEBRUARY = TimeRange.parse("2024-02-01", "2024-03-01")


def report_of(found: Comparison, **more: object) -> VerifyReport:
    scope = Scope.of({"sink": "parquet /out", "source": "parquet /in"})
    return VerifyReport.of("job", scope, WANTED, len(found.grid.series_ids), True, found.finish(), **more)


def findings(*differences: Difference, series_ids: tuple[str, ...] = ("a",)) -> Comparison:
    found = Comparison(CoverageGrid(series_ids, WANTED), points=5, windows=1)
    for each in differences:
        found.add(each)
    return found


def test_the_verdict_counts_one_and_says_when_there_is_no_point() -> None:
    lost = Difference("not_covered", "was never copied", "a", FEBRUARY)
    unread = Difference("not_compared", "1 series: the source: no answer", "a", FEBRUARY)
    assert headline(report_of(findings(lost))) == "1 difference."
    assert (
        headline(report_of(findings(unread, lost))) == "Not everything was compared. In the rest there is 1 difference."
    )
    assert headline(report_of(findings(unread))) == "Not everything was compared. In the rest nothing differs."
    assert headline(report_of(findings())) == "Equal: nothing differs."
    nothing = findings()
    nothing.points = 0
    assert headline(report_of(nothing)) == "Equal: neither side holds a point."
    assert "look at the window and the selection" in report_page(report_of(nothing))


def test_what_was_not_compared_names_the_series() -> None:
    unread = Difference("not_compared", "1 series: the source: no answer", "a", FEBRUARY)
    found = findings(unread)
    found.log = DifferenceLog({"a": "27-PT-1001"})
    assert found.not_compared.endswith("the first of 27-PT-1001: 1 series: the source: no answer")


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("UsageError: a.parquet: is damaged: fetch it again", "a.parquet: is damaged: fetch it again"),
        ("ServiceError: 500", "500"),
        ("KeyError: 'x'", "KeyError: 'x'"),
        ("no class at all", "no class at all"),
    ],
)
def test_failures_are_shown_without_the_name_of_their_class(failure: str, text: str) -> None:
    assert failure_text(failure) == text


def test_a_kind_with_very_many_ranges_hides_no_other() -> None:
    ids = tuple(f"s{number:03d}" for number in range(300))
    many = [Difference("not_covered", "was never copied", each, FEBRUARY, points=at) for at, each in enumerate(ids)]
    spread = [
        Difference("missing_points", f"no point, of {at}", each, TimeRange(WANTED.start_ns + at, WANTED.end_ns))
        for at, each in enumerate(ids)
    ]
    wrong = Difference("wrong_receipt", "the receipt differs", "s299", FEBRUARY)
    text = report_page(report_of(findings(*many, *spread, wrong, series_ids=ids)))
    shown = re.findall(r'<tr class="row (\w+)">', text)
    assert (len(shown), shown.count("not_covered"), shown.count("wrong_receipt")) == (200, 1, 1)
    assert "The first of each kind; 102 more in report.json." in text


def test_rows_for_the_terminal_are_ranges_with_the_first_example() -> None:
    expected = series()
    lost = expected.take(np.r_[0:10, 40 : len(expected.times)])
    found = Comparison(CoverageGrid(("a", "b", "c"), WANTED))
    found.add_points("a", WANTED, expected, lost, compare_points(expected, lost))
    one = expected.take(np.r_[0:7, 8 : len(expected.times)])
    found.add_points("b", WANTED, expected, one, compare_points(expected, one))
    for each in ("b", "c"):
        found.add(Difference("not_covered", "was never copied", each, FEBRUARY))
    names = {"a": "PT-1 (a)", "b": "PT-2 (b)", "c": "PT-3 (c)"}
    lines = [row.line(names.__getitem__) for row in rows_of(found.ranges.ranges(), names.__getitem__)]
    assert lines[0].startswith(
        "missing_point: PT-1 (a): 30 points from 2024-01-01T10:00:00Z to 2024-01-02T15:00:00Z, the first: "
        "2024-01-01T10:00:00Z is missing: value "
    )
    assert lines[1].startswith("missing_point: PT-2 (b): 2024-01-01T07:00:00Z is missing: value ")
    assert lines[2:] == [
        "not_covered: PT-2 (b) and 1 more series: [2024-02-01T00:00:00Z, 2024-03-01T00:00:00Z): was never copied"
    ]
    rows = rows_of(found.ranges.ranges(), names.__getitem__)
    assert some_of_each(rows, 2) == [rows[0], rows[2]]


def test_gaps_that_several_series_share_are_one_row() -> None:
    ids = tuple(f"s{number}" for number in range(12))
    gaps = tuple(Stretch(each, WANTED.start_ns + HOUR, 5 * HOUR) for each in ids)
    text = report_page(report_of(findings(series_ids=ids), profile=Profile(HOUR, (), gaps)))
    table = text[text.index('id="data-gaps"') :].partition("</table>")[0]
    assert table.count("<tr>") == 1 + 1
    assert "12 series<small>s0, s1, s10, …</small>" in table


def test_a_plot_says_what_differs_where_the_curves_do_not_show_it() -> None:
    expected = series()
    other = expected._replace(statuses=expected.statuses.copy())
    other.statuses[30:32] = 64
    found = findings()
    found.add_points("a", WANTED, expected, other, compare_points(expected, other))
    caption = difference_svg(found.curves[0]).caption
    assert caption == "2 changed_status, the first: 2024-01-02T06:00:00Z: status 192 became 64."
    other.statuses[:100] = 64
    found.add_points("a", WANTED, expected, other, compare_points(expected, other))
    assert difference_svg(found.curves[1]).caption.endswith("The first 60 marks are drawn.")


def test_one_of_each_is_in_the_singular() -> None:
    found = findings(Difference("not_covered", "was never copied", "a", FEBRUARY))
    found.files = 1
    found.count_series("a", Fingerprint(), Fingerprint())
    text = report_page(report_of(found))
    cards = re.sub("<[^>]*>", " ", text[text.index('<dl class="cards">') :].partition("</dl>")[0])
    for words in ("window compared", "1 file", "difference"):
        assert re.search(rf"{words}\s", cards), words
    assert not re.search(r"windows|1 files|differences", cards)
