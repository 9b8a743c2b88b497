"""Mapping files: one row for each timeseries of the source, with its target and its conversion."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from omnia_beam.config.fields import check_series_id, has_control_character
from omnia_beam.config.problems import shorten
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.series_file import SERIES_COLUMNS, check_no_problems, is_series_header, read_series_file
from omnia_beam.config.status_maps import STATUS_MAPS
from omnia_beam.config.table import Line, cells_of, delimiter_of, fitted, read_lines
from omnia_beam.core.errors import UsageError

_WHAT: Final = "the mapping file"
COLUMNS: Final = (
    "source",
    "target_name",
    "target_facility",
    "target_id",
    "target_unit",
    "scale",
    "offset",
    "status_map",
    "source_unit",
)
COMMENT: Final = "why"
"""A column for people: `plan --mapping-template` writes into it what a guess rests on."""

_FROM_METADATA: Final = {
    "series_id": "source",
    "unit": "source_unit",
    "name": "target_name",
    "facility": "target_facility",
}
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class MappingRow:
    """One row of a mapping file. The mapping's rules decide what is None here.

    Attributes:
        source: id or name in the source.
        target_name, target_facility: the target's name and facility; not together with `target_id`.
        target_id: the target's id.
        target_unit: the target's unit; without scale and offset the conversion follows from the units' names.
        scale, offset: value in the target = value · scale + offset, the offset in the target's unit.
        status_map: name of a status map.
        source_unit: the unit of the source's values; it takes precedence over the source's own metadata.
        line: the line's number in the file, from 1.
    """

    source: str
    target_name: str | None = None
    target_facility: str | None = None
    target_id: str | None = None
    target_unit: str | None = None
    scale: float | None = None
    offset: float | None = None
    status_map: str | None = None
    source_unit: str | None = None
    line: int = field(default=0, compare=False)


def read_mapping_file(path: str, status_maps: Collection[str] = tuple(STATUS_MAPS)) -> tuple[MappingRow, ...]:
    """Read a mapping file: CSV with a header of `COLUMNS`, in any order, all but `source` optional; or series metadata.

    A column `why` is a comment.

    Args:
        path: a file, UTF-8.
        status_maps: the names that the column `status_map` may hold.

    Returns:
        The rows in the file's order; no source and no target is in two of them.

    Raises:
        UsageError: every mistake in the file, one line each (also in `problems`), with line and column.
    """
    lines = read_lines(path, _WHAT)
    delimiter = delimiter_of(lines[0].text)
    reader = _Reader(path, tuple(status_maps))
    header = reader.header(lines[0], delimiter)
    if reader.is_metadata:
        rows = _metadata_rows(path)
    else:
        rows = [row for line in lines[1:] if header and (row := reader.row(line, delimiter, header))]
    reader.check_unique(rows)
    if header and len(lines) == 1:
        reader.problems.append((lines[0].number, f"{path}: {_WHAT} has a header and no rows"))
    if reader.problems:
        problems = [text for _, text in sorted(reader.problems, key=lambda found: found[0])]
        raise UsageError("\n".join(shorten(problems)), problems=tuple(problems))
    return tuple(rows)


def _metadata_rows(path: str) -> list[MappingRow]:
    """Return the rows of series metadata: cells may hold line ends there, which those of other mapping files may not."""
    found, problems = read_series_file(path)
    check_no_problems(problems)
    return [
        MappingRow(
            each.series.id,
            target_name=each.series.name or None,
            target_facility=(each.series.facility or None) if each.series.name else None,
            source_unit=each.series.unit,
            line=each.line,
        )
        for each in found
    ]


class _Reader:
    """Reads lines and collects (line number, problem) instead of stopping at the first problem."""

    def __init__(self, path: str, status_maps: tuple[str, ...]) -> None:
        self.path = path
        self.status_maps = status_maps
        self.problems: list[tuple[int, str]] = []
        self.is_metadata = False

    def _complain(self, line: int, text: str, column: str = "", position: int = 0) -> None:
        at = f" column {position}{f' ({column})' if column else ''}:" if position else ""
        self.problems.append((line, f"{self.path}:{line}:{at} {text}"))

    def header(self, line: Line, delimiter: str) -> tuple[str, ...]:
        """Return the names of the columns, "" for one that cannot be used; empty where no row can be read."""
        try:
            names = tuple(cell.lower() for cell in fitted(cells_of(line, delimiter)))
        except ValueError as error:
            self._complain(line.number, str(error))
            return ()
        if is_series_header(names):
            self.is_metadata = names == SERIES_COLUMNS
            names = tuple(_FROM_METADATA.get(name, COMMENT) for name in names)
            return names
        for position, name in enumerate(names, start=1):
            if name == COMMENT:
                continue
            if name not in COLUMNS:
                self._complain(line.number, _unknown_column(name), position=position)
            elif name in names[: position - 1]:
                self._complain(
                    line.number, f"the column stands twice, first as column {names.index(name) + 1}", name, position
                )
        if "source" not in names:
            self._complain(
                line.number, f"the column source is missing; the first line names the columns: {', '.join(COLUMNS)}"
            )
            return ()
        return names

    def row(self, line: Line, delimiter: str, header: tuple[str, ...]) -> MappingRow | None:
        try:
            cells = fitted(cells_of(line, delimiter), len(header))
        except ValueError as error:
            self._complain(line.number, str(error))
            return None
        if len(cells) != len(header):
            # Fewer cells are refused too: a line that was cut short would silently lose its scale.
            self._complain(
                line.number,
                f"{len(cells)} cells where the header has {len(header)}; leave cells empty, and quote one that holds "
                f"{show_value((), delimiter)}",
            )
            return None
        before = len(self.problems)
        values = {name: (text, at) for at, (name, text) in enumerate(zip(header, cells, strict=True), start=1) if text}
        row = MappingRow(
            source=self._text(line, values, "source", required=header.index("source") + 1) or "",
            target_name=self._text(line, values, "target_name"),
            target_facility=self._text(line, values, "target_facility"),
            target_id=self._id(line, values),
            target_unit=self._text(line, values, "target_unit"),
            scale=self._number(line, values, "scale"),
            offset=self._number(line, values, "offset"),
            status_map=self._status_map(line, values),
            source_unit=self._text(line, values, "source_unit"),
            line=line.number,
        )
        self._check_target(row, values)
        return row if len(self.problems) == before else None

    def _text(self, line: Line, values: dict[str, tuple[str, int]], name: str, required: int = 0) -> str | None:
        text, position = values.get(name, (None, required))
        if text is None and required:
            self._complain(
                line.number, "is empty; every row needs the id or name of a timeseries of the source", name, position
            )
        if text is not None and has_control_character(text):
            self._complain(line.number, f"{show_value((), text)} holds a control character", name, position)
        return text

    def _id(self, line: Line, values: dict[str, tuple[str, int]]) -> str | None:
        text, position = values.get("target_id", (None, 0))
        if text is not None:
            try:
                check_series_id(text)
            except ValueError as error:
                self._complain(line.number, str(error), "target_id", position)
        return text

    def _number(self, line: Line, values: dict[str, tuple[str, int]], name: str) -> float | None:
        text, position = values.get(name, (None, 0))
        if text is None:
            return None
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            point = text.replace(",", ".")
            cure = (
                f"write {point}"
                if "," in text and _NUMBER.fullmatch(point)
                else "write it like 0.001 or 1e-3, or leave it empty"
            )
            self._complain(line.number, f"{show_value((), text)} is not a finite number; {cure}", name, position)
            return None
        if name == "scale" and number == 0:
            self._complain(line.number, "0 would make every value the same", name, position)
        return number

    def _status_map(self, line: Line, values: dict[str, tuple[str, int]]) -> str | None:
        text, position = values.get("status_map", (None, 0))
        if text is not None and text not in self.status_maps:
            near = difflib.get_close_matches(text, self.status_maps, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ";"
            known = ", ".join(self.status_maps)
            self._complain(
                line.number, f"{show_value((), text)} is not a status map{hint} known: {known}", "status_map", position
            )
        return text

    def _check_target(self, row: MappingRow, values: dict[str, tuple[str, int]]) -> None:
        for name in ("target_name", "target_facility"):
            if row.target_id is not None and getattr(row, name) is not None:
                self._complain(
                    row.line,
                    f"{name} and target_id exclude each other: the id says it all",
                    "target_id",
                    values["target_id"][1],
                )
                return
        if row.target_facility is not None and row.target_name is None:
            self._complain(
                row.line,
                "a facility without target_name names no timeseries",
                "target_facility",
                values["target_facility"][1],
            )

    def check_unique(self, rows: Iterable[MappingRow]) -> None:
        sources: dict[str, int] = {}
        targets: dict[tuple[str | None, ...], int] = {}
        for row in rows:
            first = sources.setdefault(row.source, row.line)
            if first != row.line:
                self._complain(row.line, f"source {show_value((), row.source)} stands in line {first} already")
            target = (row.target_id,) if row.target_id is not None else (row.target_name, row.target_facility)
            if target == (None, None):
                continue  # the mapping's rule decides
            first = targets.setdefault(target, row.line)
            if first != row.line:
                named = show_value((), " in ".join(part for part in target if part is not None))
                self._complain(row.line, f"target {named} stands in line {first} already: two series would become one")


def _unknown_column(name: str) -> str:
    near = difflib.get_close_matches(name.replace(" ", "_").replace("-", "_"), COLUMNS, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ";"
    return f"{show_value((), name)} is not a column{hint} known: {', '.join(COLUMNS)}"
