"""`omnia-beam plan --mapping-template FILE.csv`: write a mapping file to be reviewed, with the best guess of each target.

A guess is made by name and unit alone, and the column `why` gives the reason. The file is a valid mapping file: reviewed,
it is what `mapping.file` names; a row without a target is left to the mapping's rules.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from omnia_beam.config import MappingRow, read_mapping_file
from omnia_beam.core.errors import DestinationError, UsageError
from omnia_beam.core.series import Timeseries
from omnia_beam.mapping.resolution import Resolution
from omnia_beam.mapping.units import UnitError, convert_unit

COLUMNS: Final = (
    "source",
    "source_unit",
    "target_name",
    "target_facility",
    "target_unit",
    "scale",
    "offset",
    "status_map",
    "why",
)
_CLOSE: Final = 0.75
"""How similar two names must be to match; 1 means that they are the same."""

_NEAREST: Final = 5
_PART: Final = re.compile(r"[^0-9a-z]+")
_DIGITS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Guess:
    """The best guess for the target of a series.

    Args:
        source: the series.
        target: the best guess; None for none.
        why: what the guess rests on, for people.
        score: how good it is; 3 is the same name.
    """

    source: Timeseries
    target: Timeseries | None
    why: str
    score: float = 0.0


def write_template(
    path: str, resolution: Resolution, rows: Sequence[MappingRow], candidates: Sequence[Timeseries]
) -> int:
    """Write a template for every series of a source.

    Args:
        path: of the file, which must not exist yet.
        resolution: of the current mapping: targets that it gives are kept.
        rows: of the current mapping file.
        candidates: the target's timeseries.

    Returns:
        The number of rows.

    Raises:
        UsageError: the file exists, or a name that no mapping file can hold.
        DestinationError: it cannot be written.
    """
    known = {row.source: row for row in rows}
    series = [*(each.source for each in resolution.mapped), *resolution.left_out]
    settled = {each.source.id: each.existing for each in resolution.mapped if each.existing is not None}
    free = [each for each in candidates if each.id not in {target.id for target in settled.values()}]
    open_series = [each for each in series if each.id not in settled]
    guesses = {each.source.id: each for each in guess_targets(open_series, free)}
    for one in resolution.mapped:
        if one.draft is not None and guesses[one.source.id].target is None:
            words = f"it will be created as {one.draft.name} in {one.draft.facility}"
            guesses[one.source.id] = Guess(one.source, None, words)
    guesses |= {
        each.id: Guess(each, settled[each.id], "the mapping gives it this target already")
        for each in series
        if each.id in settled
    }
    names = _names_of(series)
    text = io.StringIO()
    # A line that begins with # is a comment: a name that begins with # has to be quoted.
    comments = any(each.startswith("#") for each in names.values())
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if comments else csv.QUOTE_MINIMAL)
    table.writerow(COLUMNS)
    for each in sorted(series, key=lambda one: (one.name, one.id)):
        row = known.get(each.id) or known.get(each.name)
        table.writerow(_cells(guesses[each.id], names[each.id], row))
    _write(path, text.getvalue())
    _check_reads_back(path, names.values())
    return len(series)


def _check_reads_back(path: str, names: Collection[str]) -> None:
    """Read the file back, and delete it and raise UsageError where it does not hold every name."""
    try:
        held = {row.source for row in read_mapping_file(path)}
        lost = next((each for each in names if each not in held), None)
        if lost is not None:
            raise UsageError(f"{path}: no mapping file can hold the name {lost!r}")
    except UsageError:
        Path(path).unlink()
        raise


def guess_targets(series: Sequence[Timeseries], candidates: Sequence[Timeseries]) -> Iterator[Guess]:
    """Yield the best target of each series, each target at most once: the better match gets it.

    Args:
        series: of the source.
        candidates: timeseries of the target that no series is mapped to yet.
    """
    index = _Index(candidates)
    holders: dict[str, Guess] = {}
    guesses = [index.best(each) for each in series]
    for each in guesses:
        if each.target is not None:
            holder = holders.get(each.target.id)
            if holder is None or each.score > holder.score:
                holders[each.target.id] = each
    for each in guesses:
        holder = each if each.target is None else holders[each.target.id]
        yield each if holder is each else _beaten(each, holder)


class _Index:
    """An index of the target's timeseries by name, which allows for the spelling of names in two systems."""

    def __init__(self, candidates: Iterable[Timeseries]) -> None:
        self._by_name: Mapping[str, list[Timeseries]] = defaultdict(list)
        self._by_plain: Mapping[str, list[Timeseries]] = defaultdict(list)
        self._by_digits: Mapping[tuple[str, ...], list[Timeseries]] = defaultdict(list)
        for each in candidates:
            self._by_name[each.name].append(each)
            self._by_plain[_plain(each.name)].append(each)
            self._by_digits[_digits(each.name)].append(each)

    def best(self, series: Timeseries) -> Guess:
        """Return the best guess for one series; ties go to the unit, then to the same facility, and are mentioned in `why`."""
        name = series.name or series.id
        for found, score, why in (
            (self._by_name.get(name, []), 3.0, "the same name"),
            (self._by_plain.get(_plain(name), []), 2.0, "the same name but for case and signs"),
            (self._alike(name), 1.0, "a similar name with the same numbers"),
        ):
            if found:
                return _chosen(series, found, score, why)
        return Guess(series, None, "the target has no timeseries of a similar name")

    def _alike(self, name: str) -> list[Timeseries]:
        """Return the closest name with the same digits, if any: tags that differ in a digit are other tags."""
        digits = _digits(name)
        if not digits:
            return []
        plain = {_plain(each.name): each for each in self._by_digits.get(digits, [])}
        near = difflib.get_close_matches(_plain(name), plain, n=_NEAREST, cutoff=_CLOSE)
        return [plain[each] for each in near[:1]]


def _chosen(series: Timeseries, found: Sequence[Timeseries], score: float, why: str) -> Guess:
    ranked = sorted(
        found, key=lambda each: (-_unit_fit(series, each), each.facility != series.facility, each.facility, each.id)
    )
    best = ranked[0]
    reasons = [f"{why}: {best.name}" if best.name != series.name else why, _about_units(series, best)]
    if len(found) > 1:
        reasons.append(f"{len(found)} timeseries of the target are called so: check the facility")
    return Guess(series, best, "; ".join(each for each in reasons if each), score + _unit_fit(series, best) / 10)


def _unit_fit(series: Timeseries, target: Timeseries) -> int:
    """Return 3 for the same unit, 2 for one that can be converted, 1 where one is not known, 0 for units of other quantities."""
    if not series.unit or not target.unit:
        return 1
    if series.unit.strip() == target.unit.strip():
        return 3
    try:
        convert_unit(series.unit, target.unit)
    except (UnitError, UsageError):  # UsageError: pint is not installed
        return 0
    return 2


def _about_units(series: Timeseries, target: Timeseries) -> str:
    fit = _unit_fit(series, target)
    if fit == 3:
        return f"the same unit {series.unit}"
    if fit == 2:
        return f"unit {series.unit} converts to {target.unit}"
    if fit == 0:
        return f"units {series.unit} and {target.unit} do not fit: give scale and offset, or another target"
    if target.unit:
        return f"the source names no unit, the target has {target.unit}: give source_unit"
    return ""


def _beaten(guess: Guess, winner: Guess) -> Guess:
    target = guess.target
    if target is None:
        return guess
    text = f"{target.name} in {target.facility} fits {winner.source.name or winner.source.id} better"
    return replace(guess, target=None, why=text, score=0.0)


def _cells(guess: Guess, source: str, row: MappingRow | None) -> list[str]:
    """Return the cells of a row; what the mapping file gives already is kept."""
    target = guess.target
    name, facility, unit = ("", "", "") if target is None else (target.name, target.facility, target.unit or "")
    source_unit = guess.source.unit or ""
    scale = offset = status_map = ""
    if row is not None:
        source_unit = row.source_unit or source_unit
        name, facility = row.target_name or name, row.target_facility or facility
        unit = row.target_unit or unit
        scale = "" if row.scale is None else repr(row.scale)
        offset = "" if row.offset is None else repr(row.offset)
        status_map = row.status_map or ""
    if not source_unit and not scale and not offset:
        unit = ""  # a target unit without a source unit would be a finding
    return [source, source_unit, name, facility if name else "", unit, scale, offset, status_map, guess.why]


def _names_of(series: Sequence[Timeseries]) -> dict[str, str]:
    """Return how a mapping file names each series: by its name where no other has it, otherwise by its id."""
    count: dict[str, int] = defaultdict(int)
    for each in series:
        count[each.name] += 1
    return {each.id: each.name if each.name and count[each.name] == 1 else each.id for each in series}


def _plain(name: str) -> str:
    return _PART.sub("", name.lower())


def _digits(name: str) -> tuple[str, ...]:
    return tuple(each.lstrip("0") for each in _DIGITS.findall(name))


def _write(path: str, text: str) -> None:
    try:
        with Path(path).open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: exists already: a reviewed template is not overwritten; name another file") from None
    except OSError as error:
        raise DestinationError(f"{path}: the template cannot be written: {error.strerror or error}") from error
