"""What a sink reports about a destination: whether it holds what is recorded, what was removed, what a window would remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from omnia_beam.core.chunk import Points
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.facts import StandingReceipt
from omnia_beam.ledger.ledger import RecordedReceipt

_FULL_SERIES: Final = 10_000
"""Number of series up to which points are counted unless the job says otherwise."""


@dataclass(frozen=True)
class RunReach:
    """What a run is responsible for.

    Args:
        scope, sink: as the receipts name them.
        series_ids: of the source; None for all that are recorded.
        wanted: the time; None for all.
    """

    scope: str
    sink: str
    series_ids: frozenset[str] | None = None
    wanted: TimeRange | None = None

    def concerns(self, found: StandingReceipt | RecordedReceipt) -> bool:
        """Return whether a receipt is of what the run is responsible for."""
        key = found.receipt.key
        if found.scope != self.scope or (self.wanted is not None and not key.range.overlaps(self.wanted)):
            return False
        return self.series_ids is None or not self.series_ids.isdisjoint(key.series_ids)


@dataclass(frozen=True)
class DestinationCheck:
    """The result of a comparison.

    Args:
        lost: windows that are not stored as recorded, with the points that they held.
        texts: what is wrong with them, a text each, the first ones by name.
        warnings: what the person who runs the job has to know besides.
    """

    lost: dict[ChunkKey, int] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def plus(self, other: DestinationCheck) -> DestinationCheck:
        """Return the results of both comparisons together."""
        return DestinationCheck(
            {**self.lost, **other.lost}, (*self.texts, *other.texts), (*self.warnings, *other.warnings)
        )


def check_mode(requested: str | None, series: int) -> str:
    """Return how closely to compare: as the job configures it; otherwise `full` up to 10,000 series, `existence` above."""
    return requested or ("full" if series <= _FULL_SERIES else "existence")


def not_checked(place: str) -> DestinationCheck:
    """Return the warning that the destination was not checked."""
    return DestinationCheck(
        warnings=(f"{place}: the destination was not checked for what was written to it: destination_check is off",)
    )


def not_asked(place: str, why: str) -> DestinationCheck:
    """Return the warning of a command that does not look at a destination, and why it does not."""
    text = f"{place}: was not checked for what was written to it: {why}; the next run checks it, and verify does"
    return DestinationCheck(warnings=(text,))


def not_counted(place: str) -> DestinationCheck:
    """Return the warning that only the existence of series was checked."""
    return DestinationCheck(
        warnings=(
            f"{place}: the target series exist; their points were not counted: destination_check: full does that",
        )
    )


@dataclass(frozen=True, slots=True)
class Leftovers:
    """The files without a receipt that were found at a destination. Names are relative to its path.

    Args:
        removed: deleted: what dead runs left, and what later receipts have replaced.
        kept: whole files of times that this run does not read, which are not deleted: they might be the only copy.
    """

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class StoredPoints(Protocol):
    """Reads back the points that a job has stored, with which a window that is read again is compared. It is pickled.

    Attributes:
        replaces: whether a window that is written again replaces all that is stored of it. Where it does not, points that it no
            longer has are removed by `Sink.erase`; and reading costs requests, so the receipts are compared first.
    """

    @property
    def replaces(self) -> bool: ...

    def points(self, receipts: Iterable[Receipt]) -> tuple[dict[str, Points], list[str]]:
        """Return what is stored of receipts by stored id, ascending in time, and their files that cannot be read."""


@dataclass(frozen=True)
class Removal:
    """The effect of reading one window again on its stored points.

    Args:
        key: the window.
        removed: points that are removed without being replaced, by source id.
        kept: points that are kept and were not recorded as kept before, by source id.
        gone: points that neither end shows any more, by source id.
        withheld: whether the chunk was not written because of `removed` or `unread`.
        unread: why the stored points could not be read; empty where they could, or need not be.
    """

    key: ChunkKey
    removed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    withheld: bool = False
    unread: str = ""

    @property
    def has_content(self) -> bool:
        return bool(self.removed or self.kept or self.gone or self.unread)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` reads back."""
        key = [list(self.key.series_ids), self.key.range.start_ns, self.key.range.end_ns]
        facts = {"removed": self.removed, "kept": self.kept, "gone": self.gone, "withheld": self.withheld}
        return {"key": key, **facts, "unread": self.unread}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Removal:
        """Return the removal that `to_json` wrote.

        Raises:
            KeyError, TypeError: `data` is not what `to_json` wrote.
        """
        ids, start, end = data["key"]
        key = ChunkKey(tuple(ids), TimeRange(start, end))
        return cls(key, data["removed"], data["kept"], data["gone"], data["withheld"], data["unread"])


def report_leftovers(notify: Callable[[str], None], places: Mapping[str, str], leftovers: Leftovers) -> None:
    """Report the files that were removed or kept, if there were any."""
    if leftovers.removed:
        notify(f"removed {counted(len(leftovers.removed), 'file')} of earlier runs without a receipt")
    if leftovers.kept:
        where = " ".join(places.values())
        notify(
            f"{where}: kept {counted(len(leftovers.kept), 'file')} of this job's name without a receipt, such as "
            f"{leftovers.kept[0]}: this run does not read their time. A run over their time replaces them"
        )
