"""Decide, before anything is sent, what happens to points that the service's JSON cannot hold, and count them.

JSON has no form for NaN and infinities, and the service's times have seven decimals of a second [sdk]. A status is a uint32
in both, so that every status fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import NO_POINTS, Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_STATUS, TIME_RESOLUTION_NS
from omnia_beam.core.time_range import TimeRange

NOT_FINITE: Final = "NaN or infinity: the service's JSON has no form for it"
TOO_FINE: Final = f"time finer than the {TIME_RESOLUTION_NS} ns that the service keeps"
TIME_TAKEN: Final = f"time cut to {TIME_RESOLUTION_NS} ns meets that of an earlier point"
TIME_LEAVES: Final = f"time cut to {TIME_RESOLUTION_NS} ns leaves the window, where it may meet another point"

FINDING_OF: Final = {
    NOT_FINITE: "nan_values",
    TOO_FINE: "time_resolution",
    TIME_TAKEN: "same_time",
    TIME_LEAVES: "same_time",
}
"""Finding of the loss report for each reason."""

MAX_POINT_BYTES: Final = 100
"""Upper bound of a point's bytes in a body: a time of 28 characters, a value of at most 24, a status of at most 10."""


SERIES_BYTES: Final = 60
"""Upper bound of a series' bytes in a body besides its id and its points, and of the body's besides its series."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How points are written to an Omnia service.

    Args:
        batch_points: most points in one request.
        batch_bytes: most bytes of one request's body.
        nan: policy for NaN and infinities: `dead_letter` keeps them, `drop_counted` leaves them out and counts them,
            `as_bad_status` writes `bad_value` with `bad_status` in their place, and counts them.
        bad_status, bad_value: written by `as_bad_status`.
        time_resolution: policy for times finer than 100 ns: `dead_letter` keeps those points, `truncate` cuts their times off
            towards the past, and counts them. Where two points get the same time, the earlier one is stored, because its time
            is nearer to the original.
        isolation_requests: most requests spent on finding the refused points of one batch. Beyond them, what is refused
            goes to the dead letters in groups, good neighbours among them.

    Raises:
        UsageError: a value is not allowed.
    """

    batch_points: int = 10_000
    batch_bytes: int = 4_000_000
    nan: Literal["dead_letter", "drop_counted", "as_bad_status"] = "dead_letter"
    bad_status: int = 0
    bad_value: float = 0.0
    time_resolution: Literal["dead_letter", "truncate"] = "dead_letter"
    isolation_requests: int = 1_000

    def __post_init__(self) -> None:
        for name in ("batch_points", "batch_bytes", "isolation_requests"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: at least 1")
        if self.nan not in ("dead_letter", "drop_counted", "as_bad_status"):
            raise UsageError(f"nan is {self.nan!r}: dead_letter, drop_counted or as_bad_status")
        if self.time_resolution not in ("dead_letter", "truncate"):
            raise UsageError(f"time_resolution is {self.time_resolution!r}: dead_letter or truncate")
        if not 0 <= self.bad_status <= MAX_STATUS:
            raise UsageError(f"bad_status is {self.bad_status}: 0 to {MAX_STATUS}")
        if not np.isfinite(self.bad_value):
            raise UsageError(f"bad_value is {self.bad_value}: a finite number")

    @property
    def request_points(self) -> int:
        """Most points in one request, by both limits."""
        return max(1, min(self.batch_points, self.batch_bytes // MAX_POINT_BYTES))


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The points of one series, divided into those to send and the others.

    Args:
        good: points to send, ascending in time.
        dead: pairs (original points, reason), none of them empty.
        dropped, substituted, truncated: points that `drop_counted` left out, `as_bad_status` replaced and `truncate`
            sends with another time.
    """

    good: Points
    dead: tuple[tuple[Points, str], ...] = ()
    dropped: int = 0
    substituted: int = 0
    truncated: int = 0


def apply_policy(points: Points, window: TimeRange, options: WriteOptions) -> PolicyResult:
    """Divide the points of a series into those that can be sent and those that cannot.

    Args:
        points: the points of one series, ascending in time.
        window: the range that they belong to.
        options: the policies.
    """
    finite = np.isfinite(points.values)
    fine = points.times % TIME_RESOLUTION_NS != 0
    if finite.all() and not fine.any():
        return PolicyResult(points)
    dead: list[tuple[Points, str]] = []
    substituted = dropped = 0
    sent = points
    if options.nan == "as_bad_status":
        substituted = int(np.count_nonzero(~finite))
        sent = _substituted(points, finite, options)
        keep = np.ones(len(finite), bool)
    else:
        keep = finite
        if options.nan == "dead_letter":
            dead.append((points.take(~finite), NOT_FINITE))
        else:
            dropped = int(np.count_nonzero(~finite))
    reasons = _time_reasons(points.times, keep, fine, window, options)
    for reason, where in reasons.items():
        dead.append((points.take(where), reason))
        keep = keep & ~where
    times = sent.times - sent.times % TIME_RESOLUTION_NS if fine.any() else sent.times
    return PolicyResult(
        good=NO_POINTS if not keep.any() else Points(times, sent.values, sent.statuses).take(keep),
        dead=tuple((each, reason) for each, reason in dead if len(each.times)),
        dropped=dropped,
        substituted=substituted,
        truncated=int(np.count_nonzero(keep & fine)),
    )


def _substituted(points: Points, finite: npt.NDArray[np.bool_], options: WriteOptions) -> Points:
    values = np.where(finite, points.values, options.bad_value)
    statuses = np.where(finite, points.statuses, np.uint32(options.bad_status)).astype(np.uint32)
    return Points(points.times, values, statuses)


def _time_reasons(
    times: npt.NDArray[np.int64],
    keep: npt.NDArray[np.bool_],
    fine: npt.NDArray[np.bool_],
    window: TimeRange,
    options: WriteOptions,
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return by reason which of the points that would be kept cannot be, because of their time."""
    if options.time_resolution == "dead_letter":
        return {TOO_FINE: keep & fine}
    # Python's integers cannot overflow here. Whole ticks of the window begin at or after its start.
    first_tick = window.start_ns + -window.start_ns % TIME_RESOLUTION_NS
    leaves = keep & fine & (times < first_tick)
    ticks = times // TIME_RESOLUTION_NS
    stays = np.flatnonzero(keep & ~leaves)
    # Times ascend, so points of one tick are neighbours, and the first of them is the exact one if any is.
    meets = np.zeros(len(times), bool)
    meets[stays[1:]] = ticks[stays[1:]] == ticks[stays[:-1]]
    return {TIME_LEAVES: leaves, TIME_TAKEN: meets}
