"""Write a verification report to a directory of the user's, or to the job's state."""

from __future__ import annotations

import json
from typing import Final

from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.store import write_durably
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_html import report_page

JSON_NAME: Final = "report.json"
HTML_NAME: Final = "report.html"


def write_report(report: VerifyReport, state_dir: StateDir, run_id: str, folder: str | None) -> dict[str, str]:
    """Write both forms of a report, each file durably and whole.

    Args:
        folder: on any Beam filesystem; created if it does not exist. None: `runs/<run id>.json` and `.html` in the state.

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
    places = {"report": f"{folder.rstrip('/')}/{JSON_NAME}", "page": f"{folder.rstrip('/')}/{HTML_NAME}"}
    for what, place in places.items():
        write_durably(place, texts[what].encode())
    return places
