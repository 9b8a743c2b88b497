"""Write a verification report: `report.json`, and `report.html`, which is rendered from the template of that name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from omnia_beam.core.fingerprint import RECIPE
from omnia_beam.core.text import counted
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import KINDS
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_pictures import coverage_svg, difference_svg
from omnia_beam.store import within, write_durably

JSON_NAME: Final = "report.json"
HTML_NAME: Final = "report.html"

_TABLE_ROWS: Final = 200
_PRINT_ROWS: Final = 50


def write_report(report: VerifyReport, state_dir: StateDir, run_id: str, folder: str | None) -> dict[str, str]:
    """Write both forms of a report, each file durably and whole.

    Args:
        report: the content.
        state_dir: the job's state.
        run_id: names the files in the state.
        folder: on a disk or an object store; created if it does not exist. None: `runs/<run id>.json` and `.html` in the state.

    Returns:
        The paths of the files: `report` and `page`.

    Raises:
        DestinationError: the folder cannot be written.
        StateError: the state directory cannot be written.
    """
    texts = {
        "report": json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n",
        "page": report_page(report),
    }
    if folder is None:
        names = {"report": f"runs/{run_id}.json", "page": f"runs/{run_id}.html"}
        for what, name in names.items():
            state_dir.write(name, texts[what].encode())
        return {what: state_dir.path(name) for what, name in names.items()}
    places = {"report": within(folder, JSON_NAME), "page": within(folder, HTML_NAME)}
    for what, place in places.items():
        write_durably(place, texts[what].encode())
    return places


def report_page(report: VerifyReport) -> str:
    """Return the page as HTML. The template escapes all texts; the pictures escape theirs."""
    environment = Environment(
        loader=PackageLoader("omnia_beam.pipelines.verify", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["grouped"] = lambda number: f"{number:,}"
    environment.filters["time"] = lambda ns: "" if ns is None else format_time(ns)
    prints = report.fingerprints
    return environment.get_template("report.html.j2").render(
        report=report,
        verdict=_verdict(report),
        notes=list(_notes(report)),
        kinds=KINDS,
        rows=_TABLE_ROWS,
        coverage=coverage_svg(report.before.grid),
        plots=[(curve.series_id, *difference_svg(curve)) for curve in report.before.curves],
        recipe=RECIPE,
        fingerprints=dict(islice(prints.items(), _PRINT_ROWS)),
        more_fingerprints=len(prints) - _PRINT_ROWS,
    )


def _verdict(report: VerifyReport) -> str:
    before, last = report.before, report.last
    if last.not_compared:
        rest = last.total - last.counts["not_compared"]
        return f"Not everything was compared. {f'Of the rest, {rest:,} differences.' if rest else 'Of the rest, nothing differs.'}"
    if not before.total:
        return "Equal: nothing differs."
    if report.repair is None:
        return f"{before.total:,} differences."
    if not last.total:
        return f"Repaired: {counted(before.total, 'difference')} found, and none is left."
    return f"{counted(before.total, 'difference')} found, and {last.total:,} left after the repair."


def _notes(report: VerifyReport) -> Iterator[str]:
    yield from report.before.notes
    if report.after is not None:
        yield from (note for note in report.after.notes if note not in report.before.notes)
    if report.repair is not None:
        yield from report.repair.words()
        yield (
            "After the repair these were examined: what was copied again, what differed or could not be compared, the coverage, "
            "and files without a receipt."
        )
