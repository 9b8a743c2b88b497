"""Resolve a selection (names, a file of names, searches) to points of the data server, each under the id of its series."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omnia_beam.config.fields import has_control_character
from omnia_beam.config.ids_file import read_ids_file
from omnia_beam.core.errors import SelectionError, UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import counted, one_line
from omnia_beam.io.pi.calls import DataServer, PiCalls
from omnia_beam.io.pi.memory import KnownPoint
from omnia_beam.io.pi.options import PiSelection
from omnia_beam.io.pi.values import PiPoint

_VALUE_TYPES = {"float16": "float32", "blob": "string"}
_SHOWN = 10


@dataclass(frozen=True)
class FoundPoint:
    """A point of the data server.

    Args:
        series_id: under which its values are known here: its name when it was first seen.
        number: its id on the data server.
        content: its attributes, as the server sent them.
        former: the name that it had in an earlier run, where that was another.
    """

    series_id: str
    number: int
    content: Mapping[str, Any]
    former: str | None = None

    @property
    def name(self) -> str:
        return str(self.content["Name"])

    @property
    def web_id(self) -> str:
        return str(self.content["WebId"])

    @property
    def point_type(self) -> str:
        return str(self.content.get("PointType") or "")

    @property
    def state_set(self) -> str:
        """The name of the states of a digital point; empty for others."""
        return str(self.content.get("DigitalSetName") or "") if self.point_type.casefold() == "digital" else ""

    @property
    def point(self) -> PiPoint:
        return PiPoint(self.series_id, self.web_id, self.point_type)

    @property
    def known(self) -> KnownPoint:
        return KnownPoint(self.number, self.web_id, self.name)

    def series(self, states: Mapping[int, str] | None = None) -> Timeseries:
        """Return the point as a timeseries; a server has no facilities.

        Args:
            states: of a digital point, by code.
        """
        kind = self.point_type.casefold()
        extra: dict[str, Any] = {"pi_point_type": self.point_type, "pi_point_id": self.number}
        if self.state_set:
            extra["pi_state_set"] = self.state_set
        step = self.content.get("Step")
        return Timeseries(
            self.series_id,
            self.name,
            "",
            description=str(self.content.get("Descriptor") or "") or None,
            unit=str(self.content.get("EngineeringUnits") or "") or None,
            step=step if isinstance(step, bool) else None,
            source="PI",
            value_type=_VALUE_TYPES.get(kind, kind) or None,
            states=dict(states or {}),
            extra=extra,
        )

    def findings(self) -> Iterator[Finding]:
        """Yield what is known of it before its values are read."""
        if self.former is not None:
            text = f"was called {self.former!r} and is one series with it: its id on the data server is the same"
            yield Finding("renamed_series", self.name, text, False, series_id=self.series_id)
        if self.point.is_text:
            text = f"its values are of type {self.point_type}: texts, which the sink does not keep: their value is NaN"
            yield Finding("text_values", self.name, text, True, series_id=self.series_id)


@dataclass(frozen=True)
class Selected:
    """The points of a selection.

    Args:
        points: ascending by series id.
        gone: series that the selection names and the ledger has recorded, and that the server no longer has.
        warnings: what the person who runs the job has to know.
    """

    points: tuple[FoundPoint, ...]
    gone: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def named_points(selection: PiSelection) -> list[str]:
    """Return the names that a selection lists.

    Raises:
        UsageError: the file of names cannot be read.
    """
    names = list(selection.ids)
    if selection.ids_file is not None:
        names += read_ids_file(selection.ids_file, _check_name).ids
    return names


def _check_name(text: str) -> str:
    if not text or has_control_character(text):
        raise ValueError("a name is empty" if not text else "a name holds a control character")
    return text


def select_points(
    calls: PiCalls,
    server: DataServer,
    selection: PiSelection,
    known: Mapping[str, KnownPoint],
    recorded: Collection[str],
) -> Selected:
    """Return the points of a selection.

    Args:
        calls: of the service.
        server: the data server.
        selection: what is asked for.
        known: the points that earlier runs found, by series id.
        recorded: series of which the ledger has recorded windows.

    Raises:
        SelectionError: a name that there is not, or nothing at all.
        UsageError: a new point has the name of a series that is another point.
        ServiceError: the server cannot be asked.
    """
    named = list(dict.fromkeys(named_points(selection)))
    found = calls.points_named(server, named)
    contents = [found[name] for name in named if name in found]
    missing = [name for name in named if name not in found]
    renamed, gone, unknown = _missing(calls, missing, known, recorded)
    contents += renamed
    for search in selection.search:
        contents += (
            each
            for each in calls.points_listed(server, search.name or "*")
            if search.description is None or _matches(search.description, str(each.get("Descriptor") or ""))
        )
    if unknown:
        shown = ", ".join(map(one_line, unknown[:_SHOWN])) + (
            f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        )
        raise SelectionError(f"source.series: the data server {server.name} has no {_points(len(unknown))} {shown}")
    points = _as_series(contents, known)
    _check_recreated(calls, points, known)
    if not points and not gone:
        raise SelectionError(f"source.series: nothing on the data server {server.name} matches the selection")
    warnings = []
    if gone:
        warnings.append(
            f"the data server {server.name} no longer has {counted(len(gone), 'point')} whose values were copied "
            f"({one_line(gone[0])}{', …' if len(gone) > 1 else ''}): what is stored stays"
        )
    return Selected(points, tuple(gone), tuple(warnings))


def other_points(
    calls: PiCalls, server: DataServer, known: Mapping[str, KnownPoint], series_ids: Collection[str]
) -> tuple[tuple[FoundPoint, ...], frozenset[str]]:
    """Return the points of recorded series that are not selected, and those of the series that the server no longer has.

    Args:
        calls, server, known: as in `select_points`.
        series_ids: the series.

    Raises:
        ServiceError: the server cannot be asked.
    """
    names = {known[each].name if each in known else each: each for each in sorted(series_ids)}
    found = calls.points_named(server, list(names))
    renamed, _, _ = _missing(calls, [name for name in names if name not in found], known, series_ids)
    points = tuple(each for each in _as_series([*found.values(), *renamed], known) if each.series_id in series_ids)
    return points, frozenset(series_ids) - {each.series_id for each in points}


def is_searched(selection: PiSelection, name: str) -> bool:
    """Return whether a name fits a search of a selection, whatever its description was."""
    return any(each.name is not None and _matches(each.name, name) for each in selection.search)


def _points(count: int) -> str:
    return "point" if count == 1 else f"{count:,} points:"


def _missing(
    calls: PiCalls, names: Iterable[str], known: Mapping[str, KnownPoint], recorded: Collection[str]
) -> tuple[list[Mapping[str, Any]], list[str], list[str]]:
    """Return the points that now have another name, the series that are gone, and the names that never were a series."""
    by_name: dict[str, str] = {}
    for series_id, point in known.items():
        by_name[point.name.casefold()] = series_id
    by_name |= {series_id.casefold(): series_id for series_id in [*recorded, *known]}
    sought = {name: by_name[name.casefold()] for name in names if name.casefold() in by_name}
    web_ids = {known[each].web_id: each for each in sought.values() if each in known}
    there = calls.points_known(list(web_ids))
    same = {web_ids[w]: content for w, content in there.items() if int(content["Id"]) == known[web_ids[w]].number}
    gone = sorted({each for each in sought.values() if each not in same and each in recorded})
    unknown = [name for name in names if name not in sought or (sought[name] not in same and sought[name] not in gone)]
    return list(same.values()), gone, unknown


def _as_series(contents: Iterable[Mapping[str, Any]], known: Mapping[str, KnownPoint]) -> tuple[FoundPoint, ...]:
    """Return each point once, under the id of its series."""
    series_of = {point.number: series_id for series_id, point in known.items()}
    spelled = {series_id.casefold(): series_id for series_id in known}
    found: dict[str, FoundPoint] = {}
    for content in contents:
        number, name = int(content["Id"]), str(content["Name"])
        # A point that was recreated has another number under the same name, and goes on as the same series.
        series_id = series_of.get(number) or spelled.get(name.casefold(), name)
        before = known.get(series_id)
        former = before.name if before is not None and before.number == number and before.name != name else None
        each = FoundPoint(series_id, number, content, former)
        other = found.setdefault(series_id, each)
        if other.number != number:
            raise _two_points(series_id, name, other.name)
    return tuple(found[each] for each in sorted(found))


def _check_recreated(calls: PiCalls, points: Iterable[FoundPoint], known: Mapping[str, KnownPoint]) -> None:
    """Check that a point with the name of a series, and another number than that had, took it from one that is gone.

    Raises:
        UsageError: the former point is there under another name.
    """
    other = {each.series_id: each for each in points if each.series_id in known}
    other = {s: each for s, each in other.items() if each.number != known[s].number}
    there = calls.points_known([known[series_id].web_id for series_id in other])
    for series_id, each in other.items():
        content = there.get(known[series_id].web_id)
        if content is not None and int(content["Id"]) == known[series_id].number:
            raise _two_points(series_id, each.name, str(content["Name"]))


def _two_points(series_id: str, one: str, other: str) -> UsageError:
    return UsageError(
        f"source.series: the points {one_line(one)} and {one_line(other)} are both the series {one_line(series_id)}: one of them "
        "was renamed, and the other has its former name. Copy the new one by a job of another name, and leave it out here"
    )


def _matches(pattern: str, text: str) -> bool:
    literal = pattern.replace("[", "[[]")  # brackets stand for themselves
    return fnmatch.fnmatchcase(text.casefold(), literal.casefold())
