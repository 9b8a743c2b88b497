"""Remember what changed at a source of files since other configurations of the job have read it.

One state serves a job whatever its configuration: the index of its files is shared, and what a run has found changed is forgotten
once that run is complete. Receipts of another scope, such as those of a former destination, are older than the change all the
same. It is noted for them here, until a run of that scope has read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from omnia_beam.core.errors import StateError
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.ledger.index import PARTIAL, code_of
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir

_PREFIX: Final = "plan/unseen-changes-"

Change = tuple[TimeRange, int]
"""The time in which files have other points than before, and the number of the run that saw it."""

Ranges = Mapping[str, tuple[TimeRange, ...]]
"""By series, times."""


@dataclass(frozen=True, slots=True)
class UnseenChanges:
    """What changed since a scope was last read.

    Args:
        changes: the changes; adjoining ones are one, of the latest run.
        vanished: by series, ranges of points that files held before and that are missing or at other times now.
    """

    changes: tuple[Change, ...] = ()
    vanished: Ranges = field(default_factory=dict)

    @classmethod
    def load(cls, state_dir: StateDir, scope: str) -> UnseenChanges:
        """Return what is noted for a scope.

        Raises:
            StateError: it cannot be read.
        """
        data = state_dir.read(_PREFIX + scope)
        if data is None:
            return cls()
        try:
            found: dict[str, Any] = json.loads(data)
            changes = tuple((TimeRange(start, end), int(run)) for start, end, run in found["changes"])
            vanished = {name: tuple(TimeRange(*each) for each in ranges) for name, ranges in found["vanished"].items()}
            return cls(changes, vanished)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StateError(
                f"{state_dir.path(_PREFIX + scope)}: damaged ({error}): delete it, and set a refresh that covers what changed"
            ) from error

    def joined(self, changes: Iterable[Change], vanished: Ranges) -> UnseenChanges:
        """Return these and further changes."""
        every = [*self.changes, *changes]
        latest = max((run for _, run in every), default=0)
        ranges = TimeRangeSet(part for part, _ in every)
        names = {*self.vanished, *vanished}
        return UnseenChanges(
            tuple((each, latest) for each in ranges),
            {n: tuple(TimeRangeSet([*self.vanished.get(n, ()), *vanished.get(n, ())])) for n in sorted(names)},
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "changes": [[part.start_ns, part.end_ns, run] for part, run in self.changes],
            "vanished": {n: [[each.start_ns, each.end_ns] for each in ranges] for n, ranges in self.vanished.items()},
        }


def note_for_others(run: JobRun, changes: Iterable[Change], vanished: Ranges) -> None:
    """Note changes, which this run has read, for the other scopes that have windows in their time; forget those of its own.

    Raises:
        StateError: the state cannot be read or written.
    """
    state_dir, ledger = run.state_dir, run.reload()
    changes = tuple(changes)
    for scope in ledger.known_scopes:
        if scope != run.scope.digest and any(_holds(ledger, scope, part) for part, _ in changes):
            noted = UnseenChanges.load(state_dir, scope).joined(changes, vanished)
            state_dir.write(_PREFIX + scope, json.dumps(noted.to_json()).encode())
    state_dir.delete(_PREFIX + run.scope.digest)


def _holds(ledger: Ledger, scope: str, part: TimeRange) -> bool:
    """Return whether windows of a scope that count meet a range."""
    index = ledger.index
    meets = (index.state >= PARTIAL) & (index.scope == code_of(index.scopes, scope))
    return bool(np.any(meets & (index.start < part.end_ns) & (index.end > part.start_ns)))
