"""The data server: its points and its enumeration sets, independent of HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from omnia_beam.emulator.common.metadata import ID_NAMESPACE
from omnia_beam.emulator.pi.events import SYSTEM_STATES, Events
from omnia_beam.emulator.pi.history import History, StoredHistory

NUMBER_TYPES: Final = ("Float32", "Float64", "Float16", "Int16", "Int32")
POINT_TYPES: Final = (*NUMBER_TYPES, "Digital", "String", "Timestamp")
SYSTEM_SET: Final = "SYSTEM"

_UNSET: Final = 2**31 - 1


class Taken(Exception):
    """Another point or state set has that name, in any case."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a point is beside its values, named as in the service's JSON without the capitals."""

    name: str
    point_type: str = "Float32"
    descriptor: str = ""
    units: str = ""
    point_class: str = "classic"
    digital_set: str = ""
    step: bool = False
    future: bool = False
    zero: float = 0.0
    span: float = 100.0
    display_digits: int = -5

    @property
    def stepped(self) -> bool:
        """Whether a value holds until the next one, instead of a straight line between them."""
        return self.step or self.point_type not in NUMBER_TYPES


@dataclass(slots=True, eq=False)
class Point:
    """One point of the data server; `number` is its id, never used again."""

    number: int
    attributes: Attributes
    history: History

    @property
    def name(self) -> str:
        return self.attributes.name

    def stored(self) -> StoredHistory:
        """Return the values as arrays that can be changed."""
        if not isinstance(self.history, StoredHistory):
            self.history = StoredHistory(self.history.read(0, self.history.count()))
        return self.history


@dataclass(slots=True, eq=False)
class StateSet:
    """An enumeration set: the states of digital points by code."""

    number: int
    name: str
    description: str = ""
    states: dict[int, str] = field(default_factory=dict)

    def code_of(self, name: str) -> int | None:
        """Return the code of a state by its name in any case, or None."""
        wanted = name.casefold()
        return next((code for code, state in self.states.items() if state.casefold() == wanted), None)


class Archive:
    """All points and state sets of one data server. It is not thread-safe: one event loop owns it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.guid = uuid.uuid5(ID_NAMESPACE, f"pi\n{name.upper()}")
        self.points: dict[int, Point] = {}
        self.sets: dict[int, StateSet] = {}
        self._by_name: dict[str, int] = {}
        self._sets_by_name: dict[str, int] = {}
        self._last_number = 0
        self._ordered: list[Point] | None = None
        self.add_set(SYSTEM_SET, "System digital states", SYSTEM_STATES)

    def add(self, attributes: Attributes, history: History | None = None, number: int | None = None) -> Point:
        """Add and return a point, with a new number where none is given. Raises Taken where its name is in use."""
        key = attributes.name.casefold()
        if key in self._by_name:
            raise Taken(attributes.name)
        point = Point(self._fresh(number), attributes, history if history is not None else StoredHistory())
        self.points[point.number] = point
        self._by_name[key] = point.number
        self._ordered = None
        return point

    def change(self, point: Point, changes: Mapping[str, Any]) -> None:
        """Change attributes of a point. Raises Taken where its new name is in use."""
        attributes = replace(point.attributes, **changes)
        old, new = point.name.casefold(), attributes.name.casefold()
        if new != old and new in self._by_name:
            raise Taken(attributes.name)
        del self._by_name[old]
        self._by_name[new] = point.number
        point.attributes = attributes
        self._ordered = None

    def remove(self, point: Point) -> None:
        """Remove a point and its values."""
        del self.points[point.number]
        del self._by_name[point.name.casefold()]
        self._ordered = None

    def named(self, name: str) -> Point | None:
        """Return the point of that name in any case, or None."""
        number = self._by_name.get(name.casefold())
        return None if number is None else self.points[number]

    def ordered(self) -> list[Point]:
        """Return the points by name in any case."""
        if self._ordered is None:
            self._ordered = sorted(self.points.values(), key=lambda point: point.name.casefold())
        return self._ordered

    def events(self, name: str, start_ns: int | None = None, end_ns: int | None = None) -> Events:
        """Return the values of a point in `[start_ns, end_ns)`; None leaves a side open. Raises KeyError for no such point."""
        point = self.named(name)
        if point is None:
            raise KeyError(name)
        history = point.history
        first = 0 if start_ns is None else history.locate(start_ns)
        stop = history.count() if end_ns is None else history.locate(end_ns)
        return history.read(first, max(first, stop))

    def add_set(
        self, name: str, description: str = "", states: Mapping[int, str] | None = None, number: int | None = None
    ) -> StateSet:
        """Add and return a state set. Raises Taken where its name is in use."""
        if name.casefold() in self._sets_by_name:
            raise Taken(name)
        found = StateSet(self._fresh(number), name, description, dict(states or {}))
        self.sets[found.number] = found
        self._sets_by_name[name.casefold()] = found.number
        return found

    def set_named(self, name: str) -> StateSet | None:
        """Return the state set of that name in any case, or None."""
        number = self._sets_by_name.get(name.casefold())
        return None if number is None else self.sets[number]

    def listed_sets(self) -> Iterator[StateSet]:
        """Yield the state sets in the order in which they were added."""
        yield from self.sets.values()

    def system_state(self, code: int) -> str:
        """Return the name of a system state, which the archive may lack."""
        states = self.sets[self._sets_by_name[SYSTEM_SET.casefold()]].states
        return states.get(code, f"?{code}")

    def digital_state(self, set_name: str, code: int) -> str:
        """Return the name of a state of a digital point, which its set may lack."""
        found = self.set_named(set_name)
        return f"?{code}" if found is None else found.states.get(code, f"?{code}")

    def next_number(self) -> int:
        """Return the number that the next point or set gets."""
        return self._last_number + 1

    def _fresh(self, number: int | None) -> int:
        self._last_number = max(self._last_number + 1, number or 0)
        if self._last_number >= _UNSET:
            raise ValueError("the data server has no number left")
        return number if number is not None else self._last_number
