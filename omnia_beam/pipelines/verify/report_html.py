"""Render the verification report as one self-contained page: no script, no font, no image from elsewhere; light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from typing import Final

from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import KINDS, Difference
from omnia_beam.pipelines.verify.findings import Findings
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_picture import coverage_legend, coverage_svg
from omnia_beam.pipelines.verify.report_plot import difference_plot, plot_legend

STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fbfbfa; --card: #ffffff; --ink: #1d2126; --soft: #5c6670; --line: #dfe3e6;
  --done: #3f8f63; --missing: #e0a01b; --different: #cf3b3b; --empty: #c3d3dd; --unknown: #eceeef;
  --expected: #2f6fb3; --found: #d9722c; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1c2024; --ink: #e6e9ec; --soft: #9aa5af; --line: #333a40;
  --done: #4fae79; --missing: #e2b042; --different: #ee6464; --empty: #3d5261; --unknown: #24292e;
  --expected: #6aa9ea; --found: #f0995a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: .95rem; margin: 0 0 .25rem; font-weight: 600; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.soft { color: var(--soft); font-size: .9rem; }
.verdict { margin: 1rem 0; padding: .8rem 1rem; border-radius: .5rem; border-left: .4rem solid var(--done);
  background: var(--card); font-size: 1.1rem; font-weight: 600; box-shadow: 0 0 0 1px var(--line); }
.verdict.bad { border-left-color: var(--different); }
.verdict p { font-weight: 400; font-size: .95rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.facts div, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: .85rem; }
figure { margin: .8rem 0; }
figcaption { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.k { white-space: nowrap; font-weight: 600; }
code, pre, td.id { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .82rem; }
td.id { min-width: 9rem; overflow-wrap: anywhere; }
td.text { min-width: 16rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem; overflow-x: auto; }
.picture { min-width: 34rem; }
.wide + .wide { margin-top: 1.2rem; }
@media (max-width: 44rem) {
  table.stack thead { display: none; }
  table.stack tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--line); }
  table.stack td { display: inline; padding: 0 .5rem 0 0; border: 0; min-width: 0; white-space: normal; }
  table.stack td.id, table.stack td.text { display: block; } }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.done { fill: var(--done); } .missing { fill: var(--missing); } .different { fill: var(--different); }
.empty { fill: var(--empty); } .unknown { fill: var(--unknown); }
.axis { stroke: var(--line); fill: none; }
.curve { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.curve.expected { stroke: var(--expected); } .curve.found { stroke: var(--found); stroke-dasharray: 5 3; }
.dot.expected { fill: var(--expected); } .dot.found { fill: var(--found); }
.mark { fill: none; stroke: var(--different); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .85rem; color: var(--soft); margin: .3rem 0; }
.legend svg { display: inline-block; width: 1.1rem; height: .8rem; margin-right: .35rem; vertical-align: -.05rem; }
"""


RECIPE: Final = """\
import struct

M = 2**64 - 1  # all sums wrap at 64 bits


def mix(x):  # the finalizer of splitmix64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M
    return x ^ x >> 31


def fingerprint(points):  # (time: ns since 1970, value: float, status: int), in any order
    low = high = 0
    for time, value, status in points:
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        h = mix(mix(mix(time & M ^ 0x9E3779B97F4A7C15) + bits & M) + status & M)
        low, high = low + h & M, high + mix(h ^ 0xD1B54A32D192ED03) & M
    return f"{high:016x}{low:016x}"
"""
"""The program as text. No points give 32 zeros; the fingerprint of two disjoint sets is the sum of theirs, each half by itself."""


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
