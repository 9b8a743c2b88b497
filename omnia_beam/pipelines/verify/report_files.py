"""Write a verification report: `report.json`, `report.html`, and `differences.csv` beside them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.verify.difference_log import DifferenceLog
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_digest import CSV_NAME, sealed
from omnia_beam.pipelines.verify.report_page import report_page
from omnia_beam.store import is_remote, reason, within, write_durably

JSON_NAME: Final = "report.json"
HTML_NAME: Final = "report.html"


def check_folder(folder: str | None) -> None:
    """Create the folder of a report on this machine, and check that files can be put there, before a long comparison.

    Raises:
        DestinationError: they cannot.
    """
    if folder is None or is_remote(folder):
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DestinationError(
            f"--report {folder}: cannot be written: {reason(error)}; give another directory"
        ) from error


def write_report(
    report: VerifyReport, state_dir: StateDir, run_id: str, folder: str | None, log: DifferenceLog | None = None
) -> dict[str, str]:
    """Write both forms of a report, each file durably and whole, and the file of all differences.

    Args:
        report: the content.
        state_dir: the job's state.
        run_id: names the files in the state.
        folder: on a disk or an object store; created if it does not exist. None: `runs/<run id>.json` and `.html` in the state,
            without the file of differences.
        log: of all differences; None for no file of them.

    Returns:
        The paths of the files: `report`, `page`, and `differences_file` where it is written.

    Raises:
        DestinationError: the folder cannot be written.
        StateError: the state directory cannot be written.
    """
    texts = {
        "report": sealed(json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"),
        "page": sealed(report_page(report)),
    }
    if folder is None:
        names = {"report": f"runs/{run_id}.json", "page": f"runs/{run_id}.html"}
        for what, name in names.items():
            state_dir.write(name, texts[what])
        return {what: state_dir.path(name) for what, name in names.items()}
    places = {"report": within(folder, JSON_NAME), "page": within(folder, HTML_NAME)}
    for what, place in places.items():
        write_durably(place, texts[what])
    if log is not None:
        places["differences_file"] = within(folder, CSV_NAME)
        log.put(places["differences_file"])
    return places
