"""The digest that a report carries of itself, and its check: `omnia-beam report check FILE`.

The digest is the SHA-256 of the file with 64 zeros in place of the digest itself, wherever that stands in it. It shows that a
file was changed after it was written, by a transport, an editor or a person who did not compute it anew. It is no signature: it
does not show who wrote the file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from omnia_beam.core.errors import UsageError

NO_DIGEST: Final = "0" * 64
"""Stands in a report in place of its digest until it is sealed."""

MARK: Final = "omnia-beam-report-sha256:"
CSV_MARK: Final = "omnia-beam-differences-sha256:"
CSV_NAME: Final = "differences.csv"

_FOUND: Final = re.compile(rb"omnia-beam-report-sha256:([0-9a-f]{64})")
_CSV_FOUND: Final = re.compile(rb"omnia-beam-differences-sha256:([0-9a-f]{64}):([0-9A-Za-z._-]+)")
_LARGEST: Final = 1 << 30


def sealed(text: str) -> bytes:
    """Return a report, as UTF-8, with its digest in place of the zeros behind the mark."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(NO_DIGEST, digest).encode()


@dataclass(frozen=True)
class ReportCheck:
    """The result of a check.

    Args:
        digest: that the file carries.
        problems: what was changed, or could not be looked at, a text each; empty where everything is as it was written.
        beside: what was checked beside the file.
    """

    digest: str
    problems: tuple[str, ...]
    beside: tuple[str, ...]


def check_report(path: str) -> ReportCheck:
    """Compare a report with the digest that it carries, and the CSV file beside it with the digest that the report has of it.

    Raises:
        UsageError: the file cannot be read, or carries no digest.
    """
    data = _content(Path(path))
    found = _FOUND.search(data)
    if found is None:
        raise UsageError(
            f"{path}: carries no digest of a verification report: give a report.html or report.json as verify has written it"
        )
    digest = found[1]
    zeroed = data.replace(digest, NO_DIGEST.encode())
    problems = []
    if hashlib.sha256(zeroed).hexdigest().encode() != digest:
        problems.append(
            f"{path}: was changed after it was written: its content does not have the digest that it carries"
        )
    beside = []
    named = _CSV_FOUND.search(data)
    if named is not None:
        file = Path(path).parent / named[2].decode()
        if not file.exists():
            problems.append(f"{file}: is not there, so the list of all differences was not checked")
        elif _file_digest(file) != named[1].decode():
            problems.append(f"{file}: was changed after it was written, or belongs to another report")
        else:
            beside.append(str(file))
    return ReportCheck(digest.decode(), tuple(problems), tuple(beside))


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path}: is too large for a report")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
