"""What tables and messages make of names that look like markup, pictures or escape sequences."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.beam.terminal import PlainConsole
from omnia_beam.cli.summary_table import print_summary
from omnia_beam.core.finding import Finding
from omnia_beam.core.summary import Summary
from omnia_beam.mapping.loss_report import LossReport, SeriesLine, findings_table, series_table

NAMES = ("PT[mean]", "FT[bold]x", "TT[/bold]", "LT[link=http://x]y", ":warning: 1", "[@click]z", "\\[a]", "[/]")
HOSTILE = "A\x1b]0;title\x07\x1b[31m\r\x9bB\u202eC"


@pytest.fixture
def screen() -> PlainConsole:
    return PlainConsole(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200, highlight=False)


def shown(screen: PlainConsole) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(screen: PlainConsole, name: str) -> None:
    table = Table("name", name, box=None)
    table.add_row(name, "x")
    screen.print(table)
    screen.print(name)
    screen.print(name, markup=True, emoji=True)  # nothing turns them on again
    assert shown(screen).count(name) == 4


def test_no_escape_of_a_name_reaches_the_terminal(screen: PlainConsole) -> None:
    line = SeriesLine(HOSTILE, HOSTILE, HOSTILE, HOSTILE, "exists")
    screen.print(series_table([line]))
    screen.print(findings_table(LossReport((Finding("nan_values", HOSTILE, HOSTILE),)), ()))
    print_summary(Summary("migrate", warnings=(HOSTILE,), details={"first failure": HOSTILE}), screen)
    RunContext(pipeline_options(None, []), screen, screen).notify(HOSTILE)
    text = shown(screen)
    assert text.count("A\ufffd]0;title") == 9
    for sequence in ("\x1b]", "\x1b[31mB", "\x07", "\r", "\x9b", "\u202e"):
        assert sequence not in text


def test_a_line_end_in_a_name_makes_no_second_row(screen: PlainConsole) -> None:
    screen.print(series_table([SeriesLine("a\nb", "c\r\nd", "", "", "")]))
    assert len(shown(screen).splitlines()) == 2


def test_our_own_colours_stay(screen: PlainConsole) -> None:
    screen.print(Text("stops the run", "red"))
    print_summary(Summary("plan", status="complete"), screen)
    assert "\x1b[31mstops the run" in shown(screen)
    assert "\x1b[32mcomplete" in shown(screen)
