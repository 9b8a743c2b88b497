"""The hostile plant: what has broken readers of PI before, a point for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from omnia_beam.emulator.common.timetext import NS_PER_SECOND, parse_time
from omnia_beam.emulator.pi.archive import Archive, Attributes
from omnia_beam.emulator.pi.events import (
    ANNOTATED,
    GOOD,
    QUESTIONABLE,
    STATE,
    STATE_CODES,
    SUBSTITUTED,
    Events,
    State,
    events_of,
)
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.pi.settings import PiSettings
from omnia_beam.emulator.pi.times import archived

HOSTILE: Final = "hostile-pi"
"""The specification of `--synthetic` that adds the plant."""

_START: Final = parse_time("2024-01-01")
_MINUTE: Final = 60 * NS_PER_SECOND
_PUMP: Final = {0: "Stopped", 1: "Running", 2: "Trippé", 3: "No Data", 7: "I/O Timeout"}
_DAY_NS: Final = 86_400 * NS_PER_SECOND


def add_hostile(archive: Archive, settings: PiSettings, now_ns: int) -> None:
    """Add the plant: its points are named `hostile-pi-<what it is>`, apart from those whose names are hostile."""
    archive.add_set("hostile-pi pump", "States of a pump, two of them named like system states", _PUMP)
    plant = _Plant(archive, settings)
    _add_bursts(plant, settings.max_items)
    _add_states(plant)
    _add_types(plant)
    _add_times(plant, now_ns)
    _add_names(plant)


class _Plant:
    """What the plant's points are added to."""

    def __init__(self, archive: Archive, settings: PiSettings) -> None:
        self._archive = archive
        self._settings = settings

    def add(self, name: str, events: Events, **attributes: Any) -> None:
        """Add a point with these values, put on the grid."""
        on_grid = Events(archived(events.times, self._settings.rounding), events.numbers, events.marks, events.texts)
        self._archive.add(Attributes(name, **attributes), StoredHistory(on_grid))

    def rename(self, old: str, new: str, events: Events) -> None:
        """Add a point that had another name before."""
        self.add(old, events)
        point = self._archive.named(old)
        if point is not None:
            self._archive.change(point, {"name": new})

    def recreate(self, name: str, events: Events) -> None:
        """Add a point where one of that name was deleted: the same name with another id."""
        self.add(name, events)
        point = self._archive.named(name)
        if point is not None:
            self._archive.remove(point)
        self.add(name, events.take(slice(0, len(events) // 2)))


def _numbers(times: Any, values: Any, marks: int = GOOD) -> Events:
    column = np.asarray(times, dtype=np.int64)
    return Events(column, np.asarray(values, dtype=np.float64), np.full(len(column), marks, np.uint8))


def _line(count: int, step_ns: int = _MINUTE, start_ns: int = _START) -> Events:
    return _numbers(start_ns + np.arange(count) * step_ns, np.arange(count) * 0.5)


def _add_bursts(plant: _Plant, limit: int) -> None:
    """Add points with many values at one time, among ordinary ones: below, at and above what one request may return."""
    for label, size in (("below", limit - 1), ("at", limit), ("above", limit + 1)):
        before, after = _line(10), _line(10, start_ns=_START + 10 * _MINUTE)
        times = np.concatenate([before.times, np.full(size, _START + 10 * _MINUTE), after.times[1:]])
        plant.add(f"{HOSTILE}-burst-{label}-limit", _numbers(times, np.arange(len(times)) * 0.25), point_type="Float64")
    pairs = np.repeat(_START + np.arange(2_000) * _MINUTE, 2)
    plant.add(f"{HOSTILE}-pairs", _numbers(pairs, np.arange(len(pairs)) * 0.5), descriptor="Two values at each time")
    same = _numbers(np.repeat(_START + np.arange(100) * _MINUTE, 3), np.repeat(np.arange(100) * 1.0, 3))
    plant.add(f"{HOSTILE}-twice-the-same", same, descriptor="Equal values at each time")
    exact = _line(limit)
    plant.add(f"{HOSTILE}-exactly-the-limit", exact, descriptor="As many values as one request may return")


def _add_states(plant: _Plant) -> None:
    """Add points with system states between values, in every type."""
    names = ("I/O Timeout", "Bad Input", "Shutdown", "No Data", "Pt Created", "Intf Shut", "Arc Off-line", "Filtered")
    values: list[Any] = [number * 0.5 for number in range(400)]
    values[::5] = [State(names[number % len(names)]) for number in range(80)]
    rows = [(_START + number * _MINUTE, value) for number, value in enumerate(values)]
    plant.add(f"{HOSTILE}-states-between", events_of(rows), units="bar")
    beside = [(_START + number // 2 * _MINUTE, values[number]) for number in range(400)]
    plant.add(f"{HOSTILE}-states-beside", events_of(beside), descriptor="States and values at one time")
    only = [(_START + number * _MINUTE, State("I/O Timeout")) for number in range(100)]
    plant.add(f"{HOSTILE}-only-states", events_of(only))
    pump: list[Any] = [(0, 1, 2, 3, 7, 5)[number % 6] for number in range(300)]
    pump[::7] = [State("No Data") for _ in pump[::7]]
    rows = [(_START + number * _MINUTE, value) for number, value in enumerate(pump)]
    digital = {"point_type": "Digital", "digital_set": "hostile-pi pump"}
    plant.add(f"{HOSTILE}-digital", events_of(rows), **digital)
    codes = [246.0, 248.0, State("I/O Timeout"), State("No Data"), 254.0]
    rows = [(_START + number * _MINUTE, value) for number, value in enumerate(codes)]
    plant.add(f"{HOSTILE}-codes-as-values", events_of(rows), descriptor="Values that equal the codes of states")
    marks = [GOOD, GOOD | QUESTIONABLE, GOOD | SUBSTITUTED, GOOD | ANNOTATED, GOOD | QUESTIONABLE | SUBSTITUTED]
    line = _line(500)
    plant.add(f"{HOSTILE}-flags", Events(line.times, line.numbers, np.resize(np.array(marks, np.uint8), 500)))
    bad = np.full(60, STATE, np.uint8)
    bad[::2] |= QUESTIONABLE
    bad[::3] |= SUBSTITUTED
    timeouts = np.full(60, float(STATE_CODES["i/o timeout"]))
    plant.add(f"{HOSTILE}-bad-flags", Events(_line(60).times, timeouts, bad), descriptor="States with flags")


def _add_types(plant: _Plant) -> None:
    """Add the edges of every type of point."""
    singles = [81.83204, 13.6064939, 0.1, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, -0.0, 16777217.0]
    edges = np.array(singles, dtype=np.float32).astype(np.float64)
    plant.add(f"{HOSTILE}-float32", _numbers(_line(200).times, np.resize(edges, 200)))
    halves = np.array([65504.0, 6e-8, 0.1, -0.0], dtype=np.float16).astype(np.float64)
    plant.add(f"{HOSTILE}-float16", _numbers(_line(40).times, np.resize(halves, 40)), point_type="Float16")
    doubles = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 9007199254740993.0, 123456789.12345679]
    plant.add(f"{HOSTILE}-float64", _numbers(_line(70).times, np.resize(doubles, 70)), point_type="Float64")
    odd = [np.nan, np.inf, -np.inf, 1.0]
    plant.add(f"{HOSTILE}-not-numbers", _numbers(_line(40).times, np.resize(odd, 40)), point_type="Float64")
    plant.add(f"{HOSTILE}-int16", _numbers(_line(9).times, np.resize([-32768, 32767, 0], 9)), point_type="Int16")
    plant.add(f"{HOSTILE}-int32", _numbers(_line(9).times, np.resize([-(2**31), 2**31 - 1, 7], 9)), point_type="Int32")
    texts = ["", " ", "Running", "12.5", "I/O Timeout", "æøå 油", 'quote " and \\', "line\nbreak", "x" * 900]
    _add_texts(plant, f"{HOSTILE}-string", [*texts, State("Bad Input")], "String")
    moments = ["2024-02-29T12:00:00Z", "1969-12-31T23:59:59.9999999Z", State("No Data")]
    _add_texts(plant, f"{HOSTILE}-timestamp", moments, "Timestamp")


def _add_texts(plant: _Plant, name: str, values: Iterable[Any], point_type: str) -> None:
    rows = [(_START + number * _MINUTE, value) for number, value in enumerate(values)]
    plant.add(name, events_of(rows), point_type=point_type)


def _add_times(plant: _Plant, now_ns: int) -> None:
    """Add times that are finer than the grid, before the epoch, ahead of the clock, and whole seconds beside fractions."""
    plant.add(f"{HOSTILE}-empty", _line(0))
    plant.add(f"{HOSTILE}-one-value", _line(1))
    plant.add(f"{HOSTILE}-finer-than-the-grid", _line(20_000, 1_000), descriptor="A value each microsecond")
    plant.add(f"{HOSTILE}-hundred-ns", _line(5_000, 100))
    mixed = _numbers(_START + np.arange(400) * 500_000_000, np.arange(400))
    plant.add(f"{HOSTILE}-mixed-decimals", mixed, descriptor="Whole seconds beside halves")
    plant.add(f"{HOSTILE}-before-1970", _line(800, _DAY_NS, parse_time("1969-01-01")))
    ends = parse_time("2024-02-25") + np.arange(20) * _DAY_NS
    around = np.sort(np.concatenate([ends - 15_300, ends, ends + 15_300]))
    plant.add(f"{HOSTILE}-day-edges", _numbers(around, np.arange(len(around))))
    today = now_ns - now_ns % _DAY_NS
    ahead = _line(60, _DAY_NS, today - 30 * _DAY_NS)
    plant.add(f"{HOSTILE}-future", ahead, future=True, descriptor="A forecast: half of it is ahead of the clock")
    clock_change = _line(400, 15 * _MINUTE, parse_time("2024-10-26"))
    plant.add(f"{HOSTILE}-clock-change", clock_change, descriptor="Across the end of summer time")


def _add_names(plant: _Plant) -> None:
    """Add names that are hard to ask for, and a point that took the name of a deleted one."""
    for name in (
        "hostile-pi with blanks",
        "hostile-pi æøå-油井",
        "hostile-pi+plus&and=equals%25#hash",
        "hostile-pi/slash",
        "hostile-pi:colon(brackets)~tilde^",
        "Hostile-PI-MiXeD-Case",
        f"hostile-pi-{'long-' * 40}name",
    ):
        plant.add(name, _line(20), descriptor=f"Named {name}")
    plant.recreate(f"{HOSTILE}-recreated", _line(40))
    plant.rename(f"{HOSTILE}-old-name", f"{HOSTILE}-renamed", _line(40))
