"""Every difference of a verification as a row of a CSV file, written while they are found: none is held."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import closing
from typing import IO, Any, Final

from omnia_beam.core.errors import DestinationError
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import Difference, PointFacts
from omnia_beam.store import reason, store_of

COLUMNS: Final = (
    "when",
    "kind",
    "name",
    "series_id",
    "start",
    "end",
    "file",
    "points",
    "expected_time",
    "expected_value",
    "expected_bits",
    "expected_status",
    "expected_text",
    "found_time",
    "found_value",
    "found_bits",
    "found_status",
    "found_text",
    "what",
)
"""`when` is `found`, or `left` for what the comparison after a repair has found."""

_IN_MEMORY: Final = 1 << 20


class DifferenceLog:
    """A temporary file of rows, in memory while it is small.

    Args:
        names: of series, by id.

    Attributes:
        rows: number of differences.
        when: the first cell of the rows that follow.
    """

    def __init__(self, names: Mapping[str, str] = {}) -> None:
        self.rows = 0
        self.when = "found"
        self.names = names
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed with the log
        self._write(COLUMNS)

    def add(self, difference: Difference) -> None:
        """Write one row."""
        span = difference.range
        self.rows += 1
        self._write(
            (
                self.when,
                difference.kind,
                self.names.get(difference.series_id, ""),
                difference.series_id,
                "" if span is None else format_time(span.start_ns),
                "" if span is None else format_time(span.end_ns),
                difference.file,
                difference.points,
                *_cells(difference.expected),
                *_cells(difference.found),
                difference.text,
            )
        )

    @property
    def sha256(self) -> str:
        """64 hex digits of the content so far."""
        return self._digest.hexdigest()

    def put(self, path: str) -> None:
        """Write the file, whole, to a place.

        Raises:
            DestinationError: it cannot be written.
        """
        self._file.seek(0)
        try:
            with store_of(path).create(path) as file:
                shutil.copyfileobj(self._file, file, _IN_MEMORY)
        except OSError as error:
            raise DestinationError(f"{path}: cannot be written: {reason(error)}") from error
        finally:
            self._file.seek(0, io.SEEK_END)

    def close(self) -> None:
        """Give the temporary file up."""
        self._file.close()

    def __enter__(self) -> DifferenceLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self, cells: tuple[Any, ...]) -> None:
        with closing(io.StringIO(newline="")) as row:
            csv.writer(row, lineterminator="\n").writerow(cells)
            data = row.getvalue().encode("utf-8", "backslashreplace")
        self._digest.update(data)
        self._file.write(data)


def _cells(point: PointFacts | None) -> tuple[Any, ...]:
    if point is None:
        return ("",) * 5
    text = "" if point.text is None else point.text
    return format_time(point.time_ns), repr(point.value), f"{point.bits:016x}", point.status, text
