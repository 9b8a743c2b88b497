"""What notebooks show of series, pages and plans: names first, every text escaped, bounded however much there is."""

from __future__ import annotations

import re

import numpy as np

from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import html_table
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.plan.plan import Plan
from omnia_beam.wire.page import Page, PageItem

EVIL = "<script>alert('x')</script>&\"tag"


def plain(shown: str) -> str:
    return re.sub(r' style="[^"]*"', "", shown)


def test_a_series() -> None:
    shown = plain(Timeseries("id-1", EVIL, "1191", unit="bar", step=False, metadata={"area": "<b>"})._repr_html_())
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert (
        shown.index("<td>name</td>")
        < shown.index("<td>unit</td><td>bar</td>")
        < shown.index("<td>id</td><td>id-1</td>")
    )
    assert "<td>area</td><td>&lt;b&gt;</td>" in shown
    assert "<td>step</td><td>False</td>" in shown
    assert "asset_id" not in shown


def item(series_id: str) -> PageItem:
    columns = {"time": np.array([0, 10**9]), "value": np.zeros(2), "status": np.zeros(2, np.uint32)}
    return PageItem(series_id, 2, columns)


def test_a_page() -> None:
    shown = plain(Page((item(EVIL), PageItem("none", 0, {})), "token")._repr_html_())
    assert "page: 2 items, 2 points; more pages follow" in shown
    assert "<td>2</td><td>time, value, status</td><td>1970-01-01T00:00:00Z</td><td>1970-01-01T00:00:01Z</td>" in shown
    assert "<script>" not in shown
    many = plain(Page(tuple(item(str(number)) for number in range(1_000)), None)._repr_html_())
    assert many.count("<tr>") == 1 + 50
    assert "1,000 items, 2,000 points; the first 50 are shown" in many


def test_a_plan() -> None:
    windows = [Window(ChunkKey((EVIL, "a", "b", "c"), TimeRange(at, at + 1)), 1_000, 2) for at in range(100)]
    shown = plain(Plan.of_windows(windows)._repr_html_())
    assert "plan: 100 windows of 4 series, about 100,000 points; the first 20 are shown" in shown
    assert shown.count("<tr>") == 1 + 20
    assert "<td>4</td><td>1,000</td><td>2</td>" in shown
    assert "<script>" not in shown
    assert "<tr>" in Plan.of_windows([])._repr_html_()


def test_a_table_escapes_its_caption_and_header_and_keeps_to_a_line() -> None:
    shown = html_table(("<a>", "b"), [("x\ny", 3), ("word " * 20, 4)], "<i>")
    assert shown.startswith(
        '<table><caption>&lt;i&gt;</caption><thead><tr><th style="text-align:left">&lt;a&gt;</th><th>b</th>'
    )
    assert "\n" not in shown
    assert "<td>3</td>" in shown
    assert '<td style="text-align:left;white-space:nowrap">2024-01-01T00:00:00Z</td><td>1,000</td>' in html_table(
        ("time", "points"), [("2024-01-01T00:00:00Z", "1,000")]
    )
