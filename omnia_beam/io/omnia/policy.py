"""Decide, before anything is sent, what happens to points that the service's JSON cannot hold, and count them.

JSON has no form for NaN and infinities, and the service's times have seven decimals of a second [sdk]. A status is a uint32
in both, so that every status fits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.policy import NanPolicy, PointPolicy, PolicyResult, TimePolicy

_SERVICE: Final = PointPolicy(
    TIME_RESOLUTION_NS, holds_not_finite=False, place="the service", no_form="the service's JSON has no form for it"
)

NOT_FINITE: Final = _SERVICE.not_finite
TOO_FINE: Final = _SERVICE.too_fine
TIME_TAKEN: Final = _SERVICE.time_taken
TIME_LEAVES: Final = _SERVICE.time_leaves

FINDING_OF: Final = {each: _SERVICE.finding_of(each) for each in (NOT_FINITE, TOO_FINE, TIME_TAKEN, TIME_LEAVES)}
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
        bad_status, bad_value: written by `as_bad_status`; the status `keep` is the point's own where it is a bad one.
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
    nan: NanPolicy = "dead_letter"
    bad_status: int | Literal["keep"] = 0
    bad_value: float = 0.0
    time_resolution: TimePolicy = "dead_letter"
    isolation_requests: int = 1_000

    def __post_init__(self) -> None:
        for name in ("batch_points", "batch_bytes", "isolation_requests"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: at least 1")
        _ = self.policy

    @property
    def policy(self) -> PointPolicy:
        """What becomes of points that the service cannot hold."""
        return replace(
            _SERVICE,
            nan=self.nan,
            bad_status=self.bad_status,
            bad_value=self.bad_value,
            time_resolution=self.time_resolution,
        )

    @property
    def request_points(self) -> int:
        """Most points in one request, by both limits."""
        return max(1, min(self.batch_points, self.batch_bytes // MAX_POINT_BYTES))


def apply_policy(points: Points, window: TimeRange, options: WriteOptions) -> PolicyResult:
    """Divide the points of a series into those that can be sent and those that cannot; see `PointPolicy.apply`."""
    return options.policy.apply(points, window)
