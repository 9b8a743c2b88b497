"""Decide what happens to points that a sink cannot hold: times finer than its grid, NaN and infinities.

Any sink that holds less than float64 at every ns says with a `PointPolicy` what it does with the rest; the loss report, verify and
what writes points all go by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import NO_POINTS, Chunk, Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.accepts import Loss

KEEP: Final = "keep"
"""As `bad_status`: the point's own status stays where it is a bad one."""

_QUALITY: Final = 0xC0
"""The two bits of an OPC status that tell good (192) and uncertain (64) from bad (0)."""

_UNITS: Final = ((NS_PER_SECOND, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))

NanPolicy = Literal["dead_letter", "drop_counted", "as_bad_status"]
TimePolicy = Literal["dead_letter", "truncate"]


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The points of one series, divided into those to store and the others.

    Args:
        good: points to store, ascending in time.
        dead: pairs (original points, reason), none of them empty.
        dropped, substituted, truncated: points that `drop_counted` left out, `as_bad_status` replaced and `truncate`
            stores at another time.
    """

    good: Points
    dead: tuple[tuple[Points, str], ...] = ()
    dropped: int = 0
    substituted: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class PointPolicy:
    """What a sink does with points that it cannot hold. It is pickled to the workers.

    Args:
        grid_ns: the sink's step of time; 1 where it holds every ns.
        time_resolution: what becomes of finer times: `dead_letter` keeps those points, `truncate` cuts their times off towards
            the past, and counts them. Where two points get the same time, the earlier one is stored, because its time is nearer
            to the original.
        holds_not_finite: whether the sink holds NaN and infinities; `nan` has no effect then.
        nan: what becomes of them: `dead_letter` keeps those points, `drop_counted` leaves them out and counts them,
            `as_bad_status` stores `bad_value` with `bad_status` in their place, and counts them.
        bad_status: the status stored by `as_bad_status`, or `keep`: the point's own where it is a bad one, otherwise 0.
        bad_value: the value stored by `as_bad_status`.
        place: how messages name the sink, such as `the service`.
        no_form: why it holds no NaN, as a reason of dead letters.

    Raises:
        UsageError: a value is not allowed.
    """

    grid_ns: int = 1
    time_resolution: TimePolicy = "dead_letter"
    holds_not_finite: bool = True
    nan: NanPolicy = "dead_letter"
    bad_status: int | Literal["keep"] = 0
    bad_value: float = 0.0
    place: str = "the sink"
    no_form: str = ""

    def __post_init__(self) -> None:
        if self.grid_ns < 1:
            raise UsageError(f"grid_ns is {self.grid_ns}: at least 1")
        if self.nan not in ("dead_letter", "drop_counted", "as_bad_status"):
            raise UsageError(f"nan is {self.nan!r}: dead_letter, drop_counted or as_bad_status")
        if self.time_resolution not in ("dead_letter", "truncate"):
            raise UsageError(f"time_resolution is {self.time_resolution!r}: dead_letter or truncate")
        if self.bad_status != KEEP and not 0 <= self.bad_status <= MAX_STATUS:
            raise UsageError(f"bad_status is {self.bad_status}: 0 to {MAX_STATUS}, or keep")
        if not np.isfinite(self.bad_value):
            raise UsageError(f"bad_value is {self.bad_value}: a finite number")

    @property
    def grid(self) -> str:
        """The step of time in words, such as `100 ns` or `1 µs`."""
        size, unit = next((size, unit) for size, unit in _UNITS if self.grid_ns % size == 0)
        return f"{self.grid_ns // size:,} {unit}"

    @property
    def too_fine(self) -> str:
        """The reason of dead letters whose times are finer than the grid."""
        return f"time finer than the {self.grid} that {self.place} keeps"

    @property
    def time_taken(self) -> str:
        """The reason of dead letters whose cut times are taken."""
        return f"time cut to {self.grid} meets that of an earlier point"

    @property
    def time_leaves(self) -> str:
        """The reason of dead letters whose cut times lie before their window."""
        return f"time cut to {self.grid} leaves the window, where it may meet another point"

    @property
    def not_finite(self) -> str:
        """The reason of dead letters that are NaN or infinite."""
        return f"NaN or infinity: {self.no_form or f'{self.place} has no form for it'}"

    def finding_of(self, reason: str) -> str:
        """Return the finding of the loss report that a reason of dead letters belongs to; empty for other reasons."""
        found = {self.not_finite: "nan_values", self.too_fine: "time_resolution"}
        return {**found, self.time_taken: "same_time", self.time_leaves: "same_time"}.get(reason, "")

    @property
    def leaves_out(self) -> bool:
        """Whether points are dropped without a dead letter, so that later counts cannot be compared."""
        drops = not self.holds_not_finite and self.nan == "drop_counted"
        return drops or (self.grid_ns > 1 and self.time_resolution == "truncate")

    @property
    def nan_loss(self) -> Loss | None:
        """What becomes of NaN and infinities, for `Accepts`; None where they are held."""
        if self.holds_not_finite:
            return None
        held = f"values are NaN or infinite, which {self.place} cannot hold"
        if self.nan == "dead_letter":
            return Loss(f"{held}: they become dead letters; set sink.nan to as_bad_status or drop_counted")
        if self.nan == "drop_counted":
            return Loss(f"{held}: dropped and counted", blocking=False)
        status = "their own status where it is bad, otherwise 0" if self.bad_status == KEEP else self.bad_status
        return Loss(f"{held}: written as {self.bad_value!r}, {status}", blocking=False)

    @property
    def time_loss(self) -> Loss | None:
        """What becomes of times finer than the grid, for `Accepts`; None where every ns is held."""
        if self.grid_ns == 1:
            return None
        held = f"times are finer than the {self.grid} that {self.place} keeps"
        if self.time_resolution == "dead_letter":
            return Loss(f"{held}: those points become dead letters; set sink.time_resolution: truncate to cut them")
        return Loss(f"{held}: cut to it", blocking=False)

    def storable(self, chunk: Chunk) -> Chunk:
        """Return what the sink would hold of a chunk."""
        points = {source_id: self.apply(found, chunk.key.range).good for source_id, _, found in chunk.by_series()}
        return Chunk.from_points(chunk.key, points, chunk.series_ids)

    def apply(self, points: Points, window: TimeRange) -> PolicyResult:
        """Divide the points of a series into those that the sink can hold and those that it cannot.

        Args:
            points: the points of one series, ascending in time.
            window: the range that they belong to.
        """
        count = len(points.times)
        finite = np.ones(count, bool) if self.holds_not_finite else np.isfinite(points.values)
        fine = np.zeros(count, bool) if self.grid_ns == 1 else points.times % self.grid_ns != 0
        if finite.all() and not fine.any():
            return PolicyResult(points)
        dead: list[tuple[Points, str]] = []
        substituted = dropped = 0
        sent = points
        if self.nan == "as_bad_status":
            substituted = int(np.count_nonzero(~finite))
            sent = self._substituted(points, finite)
            keep = np.ones(count, bool)
        else:
            keep = finite
            if self.nan == "dead_letter":
                dead.append((points.take(~finite), self.not_finite))
            else:
                dropped = int(np.count_nonzero(~finite))
        for reason, where in self._time_reasons(points.times, keep, fine, window).items():
            dead.append((points.take(where), reason))
            keep = keep & ~where
        times = sent.times - sent.times % self.grid_ns if fine.any() else sent.times
        return PolicyResult(
            good=NO_POINTS if not keep.any() else sent._replace(times=times).take(keep),
            dead=tuple((each, reason) for each, reason in dead if len(each.times)),
            dropped=dropped,
            substituted=substituted,
            truncated=int(np.count_nonzero(keep & fine)),
        )

    def _substituted(self, points: Points, finite: npt.NDArray[np.bool_]) -> Points:
        values = np.where(finite, points.values, self.bad_value)
        bad: npt.NDArray[np.uint32] | np.uint32
        if self.bad_status == KEEP:
            bad = np.where(points.statuses & np.uint32(_QUALITY) == 0, points.statuses, np.uint32(0))
        else:
            bad = np.uint32(self.bad_status)
        statuses = np.where(finite, points.statuses, bad).astype(np.uint32)
        return points._replace(values=values, statuses=statuses)

    def _time_reasons(
        self,
        times: npt.NDArray[np.int64],
        keep: npt.NDArray[np.bool_],
        fine: npt.NDArray[np.bool_],
        window: TimeRange,
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """Return by reason which of the points that would be kept cannot be, because of their time."""
        if self.time_resolution == "dead_letter" or self.grid_ns == 1:
            return {self.too_fine: keep & fine}
        # Python's integers cannot overflow here. Whole ticks of the window begin at or after its start.
        first_tick = window.start_ns + -window.start_ns % self.grid_ns
        leaves = keep & fine & (times < first_tick)
        ticks = times // self.grid_ns
        stays = np.flatnonzero(keep & ~leaves)
        # Times ascend, so points of one tick are neighbours, and the first of them is the exact one if any is.
        meets = np.zeros(len(times), bool)
        meets[stays[1:]] = ticks[stays[1:]] == ticks[stays[:-1]]
        return {self.time_leaves: leaves, self.time_taken: meets}
