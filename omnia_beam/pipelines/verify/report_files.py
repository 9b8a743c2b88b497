"""Write a verification report to a directory of the user's, or to the job's state."""

from __future__ import annotations

import json
from typing import Final

from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_html import report_page
from omnia_beam.store import within, write_durably

JSON_NAME: Final = "report.json"
HTML_NAME: Final = "report.html"


def write_report(report: VerifyReport, state_dir: StateDir, run_id: str, folder: str | None) -> dict[str, str]:
    """Write both forms of a report, each file durably and whole.

    Args:
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
