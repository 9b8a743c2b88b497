"""The times of a sink that is coarser than nanoseconds: what becomes of points between two steps of its grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnia_beam.core.time_range import TimeRange


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """The times that a sink can hold: multiples of a step since 1970 UTC.

    Args:
        step_ns: the step.
        holder: what keeps such times, in words, such as `the service`.
    """

    step_ns: int
    holder: str

    @property
    def too_fine(self) -> str:
        """Reason of dead letters whose times lie between two steps."""
        return f"time finer than the {self.step_ns} ns that {self.holder} keeps"

    @property
    def taken(self) -> str:
        """Reason of dead letters whose cut time is another point's."""
        return f"time cut to {self.step_ns} ns meets that of an earlier point"

    @property
    def leaves(self) -> str:
        """Reason of dead letters whose cut time lies before their window, where only a neighbour would see what it meets."""
        return f"time cut to {self.step_ns} ns leaves the window, where it may meet another point"

    @property
    def findings(self) -> dict[str, str]:
        """The finding of the loss report for each reason."""
        return {self.too_fine: "time_resolution", self.taken: "same_time", self.leaves: "same_time"}

    def is_between(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which times lie between two steps."""
        between: npt.NDArray[np.bool_] = times % self.step_ns != 0
        return between

    def cut(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return times cut off towards the past, also before 1970."""
        return times - times % self.step_ns

    def reasons(
        self, times: npt.NDArray[np.int64], keep: npt.NDArray[np.bool_], window: TimeRange, *, truncate: bool
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """Return by reason which of the points that would be kept cannot be, because of their time.

        Args:
            times: ascending, ns.
            keep: the points that would be kept.
            window: the range that they belong to.
            truncate: whether times are cut off; otherwise every time between two steps is too fine.
        """
        fine = self.is_between(times)
        if not truncate:
            return {self.too_fine: keep & fine}
        # Python's integers cannot overflow here. Whole steps of the window begin at or after its start.
        first_step = window.start_ns + -window.start_ns % self.step_ns
        leaves = keep & fine & (times < first_step)
        steps = times // self.step_ns
        stays = np.flatnonzero(keep & ~leaves)
        # Times ascend, so points of one step are neighbours, and the first of them is the exact one if any is.
        meets = np.zeros(len(times), bool)
        meets[stays[1:]] = steps[stays[1:]] == steps[stays[:-1]]
        return {self.leaves: leaves, self.taken: meets}
