"""Archived values as columns: several may have one time, in the order in which they were stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.points import Times, Values

GOOD: Final = 1
QUESTIONABLE: Final = 2
SUBSTITUTED: Final = 4
ANNOTATED: Final = 8
STATE: Final = 16
"""The value is a system state: its number is the state's code."""

Marks = NDArray[np.uint8]
Texts: TypeAlias = NDArray[np.object_]

SYSTEM_STATES: Final[Mapping[int, str]] = {
    193: "No Alarm",
    238: "Arc Off-line",
    240: "Scan Timeout",
    244: "Over Range",
    245: "Under Range",
    246: "I/O Timeout",
    248: "No Data",
    249: "Scan Off",
    252: "Configure",
    253: "Pt Created",
    254: "Shutdown",
    255: "Bad Input",
    307: "Bad",
    311: "Intf Shut",
    313: "Filtered",
}
"""The emulator's SYSTEM state set by code. On real servers the codes are site data, too."""

STATE_CODES: Final[Mapping[str, int]] = {name.casefold(): code for code, name in SYSTEM_STATES.items()}


@dataclass(frozen=True, slots=True)
class State:
    """A system state by its name, as a value of `events_of`."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Archived values of one point, sorted by time: columns of one length.

    `times` are int64 ns as the archive shows them; `numbers` are float64: values, or codes of digital and system states;
    `marks` are combinations of GOOD, QUESTIONABLE, SUBSTITUTED, ANNOTATED and STATE; `texts` holds the value of string
    and timestamp points, and is None where no value is a text.
    """

    times: Times
    numbers: Values
    marks: Marks
    texts: Texts | None = None

    def __len__(self) -> int:
        return len(self.times)

    def take(self, which: Any) -> Events:
        """Return the values that a slice, a mask or an index array selects."""
        texts = None if self.texts is None else self.texts[which]
        return Events(self.times[which], self.numbers[which], self.marks[which], texts)

    def at(self, time_ns: int) -> Events:
        """Return the same values with another time."""
        return Events(np.full(len(self), time_ns, np.int64), self.numbers, self.marks, self.texts)


def no_events() -> Events:
    """Return empty columns."""
    return Events(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8))


def joined_events(parts: Iterable[Events]) -> Events:
    """Return the parts one after the other, unsorted."""
    listed = [part for part in parts if len(part)]
    if len(listed) < 2:
        return listed[0] if listed else no_events()
    texts = None
    if any(part.texts is not None for part in listed):
        texts = np.concatenate([_some_texts(part) for part in listed])
    return Events(
        np.concatenate([part.times for part in listed]),
        np.concatenate([part.numbers for part in listed]),
        np.concatenate([part.marks for part in listed]),
        texts,
    )


def sorted_events(events: Events) -> Events:
    """Return the values sorted by time, those of one time in their order."""
    times = events.times
    if len(times) < 2 or bool(np.all(times[1:] >= times[:-1])):
        return events
    return events.take(np.argsort(times, kind="stable"))


def events_of(rows: Iterable[tuple[Any, ...]]) -> Events:
    """Return rows `(time_ns, value[, marks])` as events; a value is a number, a text or a `State`.

    Marks default to good, or to none for a state.
    """
    listed = list(rows)
    numbers = np.zeros(len(listed), np.float64)
    marks = np.full(len(listed), GOOD, np.uint8)
    texts = np.full(len(listed), None, dtype=object)
    for row, (_, value, *more) in enumerate(listed):
        if isinstance(value, State):
            numbers[row], marks[row] = STATE_CODES[value.name.casefold()], STATE
        elif isinstance(value, str):
            texts[row] = value
        else:
            numbers[row] = value
        if more:
            marks[row] = more[0] | (marks[row] & STATE)
    times = np.array([row[0] for row in listed], dtype=np.int64)
    return Events(times, numbers, marks, texts if any(text is not None for text in texts) else None)


def state_event(time_ns: int, name: str) -> Events:
    """Return one system state at this time."""
    return events_of([(time_ns, State(name))])


def _some_texts(events: Events) -> Texts:
    return np.full(len(events), None, dtype=object) if events.texts is None else events.texts
