"""Series metadata as a CSV file, `_series-<job>.csv`, which stands beside a sink's data: a row a series, with `SERIES_COLUMNS`.

It is UTF-8 with quotes by RFC 4180; cells may hold line ends. People may write such files too: of the columns only `series_id`
must be there, further ones are left out, and what spreadsheets make of a CSV file is understood.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.config.secrecy import show_value
from omnia_beam.config.table import decoded, delimiter_of
from omnia_beam.core.errors import UsageError
from omnia_beam.core.series import VALUE_TYPES, Timeseries
from omnia_beam.store import reason, store_of, within

SERIES_COLUMNS: Final = (
    "series_id",
    "name",
    "facility",
    "description",
    "unit",
    "step",
    "value_type",
    "states",
    "asset_id",
    "external_id",
    "source_system",
    "extra",
)

_NAME: Final = re.compile(r"_series[^/\\]*\.csv")
_SEP: Final = re.compile(r'"?sep=.?"?', re.IGNORECASE)
_SPECIAL: Final = re.compile(r'[",;\t\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|^[#\s]|\s$')
_STEPS: Final = {"": None, "true": True, "1": True, "false": False, "0": False}
_LONGEST_CELL: Final = 16_000_000
"""Characters of one cell: a set of 16,384 states takes some hundred thousand."""

csv.field_size_limit(_LONGEST_CELL)


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """The metadata of one series, and the number of the line on which its row begins."""

    series: Timeseries
    line: int


def series_file_name(job_name: str) -> str:
    """Return the name of a job's file of series metadata, at the root of its destination."""
    return f"_series-{job_name}.csv"


def find_series_files(folder: str) -> list[str]:
    """Return the paths of all `_series*.csv` at the root of a folder, the oldest first.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = [each for each in store_of(folder).list(folder) if _NAME.fullmatch(each.name)]
    return [within(folder, each.name) for each in sorted(found, key=lambda each: (each.mtime_ns, each.name))]


def series_table(series: Iterable[Timeseries]) -> bytes:
    """Return the content of a file of series metadata, its rows in the order given."""
    rows = [",".join(SERIES_COLUMNS), *(",".join(map(_cell, _cells(each))) for each in series), ""]
    return "\n".join(rows).encode()


def _cell(text: str) -> str:
    """Return a cell, quoted where a reader could take it for something else: a comment or several cells or lines."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if _SPECIAL.search(text) else text


def _cells(series: Timeseries) -> list[str]:
    states = {str(code): name for code, name in sorted(series.states.items())}
    return [
        series.id,
        series.name,
        series.facility,
        series.description or "",
        series.unit or "",
        "" if series.step is None else str(series.step).lower(),
        series.value_type or "",
        _json(states),
        series.asset_id or "",
        series.external_id or "",
        series.source or "",
        _json(series.attributes),
    ]


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else ""


def is_series_header(names: Iterable[str]) -> bool:
    """Return whether lower-case column names are those of series metadata, and of nothing else."""
    found = set(names)
    return "series_id" in found and found <= set(SERIES_COLUMNS)


def read_series_file(path: str) -> tuple[list[SeriesRow], list[str]]:
    """Read the rows of a file of series metadata, and what is wrong with it: a text each, with file and line.

    A row that cannot be understood is left out; a file that cannot be read has no rows.
    """
    try:
        with store_of(path).open(path) as file:
            text = decoded(file.read())
    except OSError as error:
        return [], [f"{path}: the series metadata cannot be read: {reason(error)}"]
    except UnicodeDecodeError as error:
        return [], [f"{path}: is not {error.encoding.upper()} text (byte {error.start}): save it as UTF-8"]
    return _Reader(path, text).read()


class _Reader:
    """Reads one file; a line that begins with `#` is a comment where a row could begin."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = io.StringIO(text, newline="")
        self._number = 0
        self._starts = True
        self._start = 0
        self.problems: list[str] = []

    def read(self) -> tuple[list[SeriesRow], list[str]]:
        header = next(self._rest(), None)
        if header is not None and _SEP.fullmatch(header.strip()):
            self._starts = True
            header = next(self._rest(), None)
        if header is None:
            return [], [f"{self._path}: holds no series metadata"]
        delimiter = delimiter_of(header.strip("\r\n"))
        names = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter))]
        if "series_id" not in names:
            return [], [f"{self._path}:{self._number}: has no column series_id"]
        return list(self._rows(names, delimiter)), self.problems

    def _rows(self, names: list[str], delimiter: str) -> Iterator[SeriesRow]:
        rows = csv.reader(self._rest(), delimiter=delimiter, strict=True)
        while True:
            self._starts = True
            try:
                cells = next(rows, None)
            except csv.Error as error:
                self.problems.append(f"{self._path}:{self._start}: {error}")
                return
            if cells is None:
                return
            if not any(cells):
                continue
            if any(cells[len(names) :]) or len(cells) < len(names):
                text = f"{len(cells)} cells where the header has {len(names)}"
                self.problems.append(f"{self._path}:{self._start}: {text}")
                continue
            try:
                yield SeriesRow(series_of_cells(dict(zip(names, cells, strict=False))), self._start)
            except ValueError as error:
                self.problems.append(f"{self._path}:{self._start}: {error}")

    def _rest(self) -> Iterator[str]:
        for line in self._lines:
            self._number += 1
            if self._starts:
                if line.startswith("#") or not line.strip():
                    continue
                self._starts, self._start = False, self._number
            yield line


def series_of_cells(cells: Mapping[str, str]) -> Timeseries:
    """Return the series that a row of texts by SERIES_COLUMNS describes; what is missing or empty is not known.

    Raises:
        ValueError: a text is not what its column holds.
    """
    series_id, value_type = cells["series_id"], cells.get("value_type", "")
    if not series_id:
        raise ValueError("the row has no series_id")
    if value_type and value_type not in VALUE_TYPES:
        raise ValueError(f"value_type {show_value((), value_type)} is not one of {', '.join(VALUE_TYPES)}")
    step = cells.get("step", "").lower()
    if step not in _STEPS:
        raise ValueError(f"step {show_value((), step)} is not true or false")
    return Timeseries(
        series_id,
        cells.get("name", ""),
        cells.get("facility", ""),
        description=cells.get("description") or None,
        step=_STEPS[step],
        unit=cells.get("unit") or None,
        asset_id=cells.get("asset_id") or None,
        external_id=cells.get("external_id") or None,
        source=cells.get("source_system") or None,
        value_type=value_type or None,
        states=_states(cells.get("states", "")),
        extra=_object("extra", cells.get("extra", "")),
    )


def _states(text: str) -> dict[int, str]:
    try:
        return {int(code): str(name) for code, name in _object("states", text).items()}
    except ValueError:
        raise ValueError('states is not a JSON object such as {"0": "closed", "1": "open"}') from None


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not a JSON object")
    return found


def check_no_problems(problems: Sequence[str]) -> None:
    """Raise UsageError with the first problems of series metadata, where there are any."""
    if problems:
        more = f"\n… and {len(problems) - 10:,} more" if len(problems) > 10 else ""  # lines of a message
        raise UsageError("\n".join(problems[:10]) + more, problems=tuple(problems))
