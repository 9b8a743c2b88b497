"""A place of one kind as the contract's tests use it. A new kind adds one module below `kinds/` with a `Place` called `PLACE`."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pytest

from tests.io.contract import kinds as modules
from tests.pipelines.conftest import Rows, rows

NAN = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
"""A quiet NaN with a payload, and a negative one."""

RECORD = ("omnia_beam.ledger.writer:LedgerWriter.append", "omnia_beam.ledger.writer:LedgerWriter.flush")
"""The last steps of every sink."""

DAY = 86_400 * 10**9

End: TypeAlias = Literal["source", "sink"]


class Place(ABC):
    """A place of one kind, empty when it is made. The tests compare in terms of `Rows`: time, bits of the value, status.

    Class attributes:
        kind: its name in the table of kinds.
        ends: what it can be in a job.
        needs_server: whether it needs a program that not every machine has; where there is none, `open` skips the test.
        source_changes: another value for each key of its source, with which a job is still valid.
        sink_changes: the same of its sink.
        holds_nan, grid_ns: what it can hold.
        sink_base: keys of the sink that `sink_changes` takes for given.
        steps: functions of its sink that write durably, `module.function` or `module:Class.method`, in their order.
    """

    kind: ClassVar[str]
    ends: ClassVar[tuple[End, ...]] = ("source", "sink")
    needs_server: ClassVar[bool] = False
    source_changes: ClassVar[Mapping[str, Any]] = {}
    sink_changes: ClassVar[Mapping[str, Any]] = {}
    sink_base: ClassVar[Mapping[str, Any]] = {}
    steps: ClassVar[tuple[str, ...]] = ()
    holds_nan: ClassVar[bool] = True
    grid_ns: ClassVar[int] = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"place-{self.kind}"
        self.folder.mkdir()

    def open(self) -> None:
        """Start what serves the place."""
        return None

    def close(self) -> None:
        """Stop it."""
        return None

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """The keys below `source:`."""

    def sink(self) -> dict[str, Any]:
        """The keys below `sink:`."""
        # Not abstract: a kind that is a source only has nothing to say here, and no test of sinks asks it.
        raise NotImplementedError(f"{self.kind} is no sink")

    @abstractmethod
    def put(self, points: Mapping[str, Rows]) -> None:
        """Store points, by the name of the series, by other means than the product's sink; in place of those of before."""

    @abstractmethod
    def held(self) -> dict[str, Rows]:
        """All points, by name, read by other means than the product's."""

    def spoil(self, name: str, time_ns: int) -> None:
        """Change the value of one stored point that a sink wrote, or lose it, by other means than the product's."""
        # Not abstract: a kind that is a source only has nothing to say here, and no test of sinks asks it.
        raise NotImplementedError(f"{self.kind} is no sink")

    def into(self) -> dict[str, Any]:
        """The keys of a job that writes into it, besides the sink."""
        return {}

    def forget(self, name: str) -> None:
        """Remove a series with all its points, by other means than the product's."""
        # Not abstract: only sources that show which series they have can lose one.
        raise NotImplementedError(f"{self.kind}: no series can be removed")

    def ids(self) -> dict[str, str]:
        """Names by the ids that the source gives its series."""
        return {}

    def holds(self, points: Rows) -> Rows:
        """Those of some points that it can hold."""
        values = points["bits"].view(np.float64)
        fits = points["time"] % self.grid_ns == 0
        return points[fits & (self.holds_nan | np.isfinite(values))]


@cache
def places() -> dict[str, type[Place]]:
    """All places, by kind."""
    found = [
        importlib.import_module(f"{modules.__name__}.{each.name}").PLACE
        for each in pkgutil.iter_modules(modules.__path__)
    ]
    return {place.kind: place for place in found}


def kinds_at(end: End) -> list[str]:
    """The kinds that can be the source of a job, or its sink."""
    return sorted(kind for kind, place in places().items() if end in place.ends)


def case(*values: str, marks: Sequence[pytest.MarkDecorator] = ()) -> Any:
    """A case of a test that opens places; one whose kinds need a server is marked `services`.

    Args:
        values: of the parameters, names of kinds among them.
    """
    needed = any(value in places() and places()[value].needs_server for value in values)
    return pytest.param(*values, marks=[*marks, pytest.mark.services] if needed else marks)


def cases_at(end: End) -> list[Any]:
    """A case of each kind that can be the source of a job, or its sink."""
    return [case(kind) for kind in kinds_at(end)]


def special_points(grid_ns: int = 1) -> dict[str, Rows]:
    """Points at the edges of what there can be: in two series, one of them sparse."""
    first = -DAY
    values = [0.0, -0.0, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, np.inf, -np.inf, *NAN, 0.1]
    times = [first + at * (3_600 * 10**9 + grid_ns) for at in range(len(values))]
    statuses = [0, 1, 64, 192, 2**31, 2**32 - 1, 192, 192, 24, 192]
    return {"A": rows(times, values, statuses), "B": rows([-1 * grid_ns, 0, grid_ns], [1.0, 2.0, 3.0], [192, 192, 0])}
