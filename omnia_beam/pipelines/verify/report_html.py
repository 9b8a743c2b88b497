"""Render the verification report as one self-contained page: no script, no font, no image from elsewhere; light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from typing import Final

from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.report_recipe import RECIPE
from omnia_beam.pipelines.report_style import STYLE
from omnia_beam.pipelines.verify.difference import KINDS, Difference
from omnia_beam.pipelines.verify.findings import Findings
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_picture import coverage_legend, coverage_svg
from omnia_beam.pipelines.verify.report_plot import difference_plot, plot_legend

_TABLE_ROWS: Final = 200
_PRINT_ROWS: Final = 50

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security policy: with it the browser lets the page load nothing from elsewhere."""


def report_page(report: VerifyReport) -> str:
    """Return the page as HTML."""
    body = "".join(_sections(report))
    title = f"{report.job}: verification"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def _sections(report: VerifyReport) -> Iterator[str]:
    yield f"<h1>{escape(report.job)}: verification</h1>"
    yield f'<p class="soft">{escape(str(report.wanted))} · {escape(report.created)}</p>'
    yield _verdict(report)
    yield _unknown(report)
    yield _facts(report)
    yield _notes(report)
    yield f"<h2>Coverage</h2>{_coverage(report)}"
    if report.before.total:
        heading = "Differences found" if report.repair is None else "Differences found before the repair"
        yield f"<h2>{heading}</h2>{_kinds(report.before)}{_differences(report.before, 'differences')}"
    if report.before.curves:
        plots = "".join(difference_plot(curve) for curve in report.before.curves)
        yield f"<h2>What differs</h2>{plot_legend()}{plots}"
    if report.after is not None and report.after.total:
        yield f"<h2>Left after the repair</h2>{_kinds(report.after)}{_differences(report.after, 'left')}"
    yield f"<h2>What was compared</h2>{_configuration(report)}"
    yield f"<h2>Check it yourself</h2>{_recipe(report)}"


def _verdict(report: VerifyReport) -> str:
    before, last = report.before, report.last
    reference = "the source" if report.against_source else "what was read when it was copied"
    if last.not_compared:
        rest = last.total - last.counts["not_compared"]
        text = f"Not everything was compared. {f'Of the rest, {rest:,} differences.' if rest else 'Of the rest, nothing differs.'}"
    elif not before.total:
        text = "Equal: nothing differs."
    elif report.repair is None:
        text = f"{before.total:,} differences."
    elif not last.total:
        text = f"Repaired: {before.total:,} differences were found, and none is left."
    else:
        text = f"{before.total:,} differences were found, and {last.total:,} are left after the repair."
    state = "bad" if last.total else "good"
    return (
        f'<div id="verdict" class="verdict {state}">{text}<p>The destination was read again and compared, to the last bit, '
        f"with {reference}.</p></div>"
    )


def _unknown(report: VerifyReport) -> str:
    """Return what was not compared, which the page shows before the results."""
    texts = [f"Not compared: {report.last.not_compared}"] if report.last.not_compared else []
    return "".join(f'<p class="note unknown">{escape(text)}</p>' for text in (*texts, *report.last.limits))


def _facts(report: VerifyReport) -> str:
    before = report.before
    facts = [
        (report.series, "series"),
        (before.windows, "windows compared"),
        (before.points, "points in the destination"),
        (before.files, "files"),
    ]
    if report.against_source:
        facts.insert(3, (before.source_points, "points in the source"))
    if report.repair is not None:
        facts.append((report.repair.windows_copied, "windows copied again"))
    cells = "".join(f"<div><b>{number:,}</b><span>{escape(name)}</span></div>" for number, name in facts)
    return f'<div class="facts">{cells}</div>'


def _notes(report: VerifyReport) -> str:
    notes = list(report.before.notes)
    if report.after is not None:
        notes.extend(note for note in report.after.notes if note not in notes)
    if report.repair is not None:
        notes.extend(report.repair.words())
        notes.append(
            "After the repair were looked at: what was copied again, what differed or could not be compared, the coverage, and "
            "files without a receipt."
        )
    return "".join(f'<p class="note soft">{escape(note)}</p>' for note in notes)


def _coverage(report: VerifyReport) -> str:
    grid = report.before.grid
    each = (
        f"Each row stands for {grid.series_per_row:,} series and shows the worst of them. "
        if grid.series_per_row > 1
        else ""
    )
    when = " As it was before the repair." if report.repair is not None else ""
    return (
        f'{coverage_legend()}<figure><div class="wide"><div class="picture">{coverage_svg(grid)}</div></div>'
        f"<figcaption>Series down, time across. {each}{when}</figcaption></figure>"
    )


def _kinds(findings: Findings) -> str:
    counts = findings.counts_json()
    rows = (
        f'<tr><td class="k">{kind}</td><td class="n">{counts[kind]:,}</td><td class="text">{escape(text)}</td></tr>'
        for kind, text in KINDS.items()
        if kind in counts
    )
    head = '<tr><th>kind</th><th class="n">how many</th><th>what it is</th></tr>'
    return f'<div class="wide"><table class="kinds stack"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _differences(findings: Findings, name: str) -> str:
    shown = findings.differences[:_TABLE_ROWS]
    rows = "".join(_row(each) for each in shown)
    more = findings.total - len(shown)
    rest = f'<p class="soft">And {more:,} more; report.json names up to 500 of each kind.</p>' if more > 0 else ""
    head = "<tr><th>kind</th><th>series or file</th><th>what</th></tr>"
    return f'<div class="wide"><table id="{name}" class="stack"><thead>{head}</thead><tbody>{rows}</tbody></table></div>{rest}'


def _row(each: Difference) -> str:
    where = each.series_id if not each.file else each.file
    when = f"{each.range}: " if each.range is not None and each.expected is None and each.found is None else ""
    return (
        f'<tr class="row {each.kind}"><td class="k">{each.kind}</td><td class="id">{escape(where)}</td>'
        f'<td class="text">{escape(when + each.text)}</td></tr>'
    )


def _configuration(report: VerifyReport) -> str:
    pairs = ((name.replace("_", " "), value) for name, value in report.configuration.items())
    return _pairs(pairs)


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><td class="k">{escape(name)}</td><td class="text">{escape(text)}</td></tr>' for name, text in pairs
    )
    return f'<div class="wide"><table>{rows}</table></div>'


def _recipe(report: VerifyReport) -> str:
    prints = report.fingerprints
    which = "Of the windows that were copied again" if report.after is not None else "Of all verified windows"
    shown = "".join(
        f'<tr><td class="id">{escape(series_id)}</td><td class="n">{each.count:,}</td>'
        f"<td>{_time(each.first_ns)}</td><td>{_time(each.last_ns)}</td><td><code>{each.content_hash}</code></td></tr>"
        for series_id, each in islice(prints.items(), _PRINT_ROWS)
    )
    more = (
        f'<p class="soft">And {len(prints) - _PRINT_ROWS:,} more in report.json.</p>'
        if len(prints) > _PRINT_ROWS
        else ""
    )
    head = '<tr><th>series</th><th class="n">points</th><th>first</th><th>last</th><th>fingerprint</th></tr>'
    return (
        "<p>Two copies are compared by count, first and last time, how many points have which status, and a fingerprint of all "
        "points. The fingerprint does not depend on the order of the points, and those of two disjoint sets add up, each half by "
        "itself: so windows add up to the whole. It finds accidents; it is no protection against forgery. This program computes "
        "it from any copy:</p>"
        f'<pre id="recipe">{escape(RECIPE)}</pre>'
        f"<p>{which}, as they are in the destination:</p>"
        f'<div class="wide"><table id="fingerprints"><thead>{head}</thead><tbody>{shown}</tbody></table></div>{more}'
    )


def _time(ns: int | None) -> str:
    return "" if ns is None else format_time(ns)
