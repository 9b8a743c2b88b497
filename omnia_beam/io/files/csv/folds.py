"""Decide by the order of the rows which run of a repeated hour each row belongs to, when clocks go back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Points
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.files.csv.times import BothTimes
from omnia_beam.io.files.forms import DstFold

_PLAIN: Final = -1
_NEAR_NS: Final = 26 * 3_600 * 1_000_000_000

Fold = tuple[int, int]
"""State behind a series' last row: its earliest possible time in ns, and whether it was in the first (0) or second (1) run of a
repeated hour, or in neither (-1)."""


class BlockPoints(dict[str, Points]):
    """The points of a block by series, in the order of the rows.

    Attributes:
        folds: state of each series whose last row is in or near a repeated hour; the next block needs it.
        doubtful: points by series at ambiguous times, where such points become dead letters. Each is at the earlier of its
            two possible times.
    """

    def __init__(self, points: Mapping[str, Points] = {}) -> None:  # the default is copied, so it cannot change
        super().__init__(points)
        self.folds: dict[str, Fold] = {}
        self.doubtful: dict[str, Points] = {}


@dataclass
class FoldRows:
    """Resolver of ambiguous times, series by series, in the order of the rows.

    Args:
        rule: `order` or `dead_letter`; under the other rules no time is ambiguous.
        folds: state of the series at the end of the block before.
    """

    rule: DstFold
    folds: Mapping[str, Fold] = field(default_factory=dict)

    def settle(self, name: str, both: BothTimes) -> tuple[npt.NDArray[np.int64], Fold | None]:
        """Return the times (ns) of a series' rows, and its state at the end of the block.

        Raises:
            ValueError: the order of the rows does not show which run a time belongs to.
        """
        if self.rule != "order" or not len(both.earlier):
            return both.earlier, None
        twice = both.twice
        before = self.folds.get(name)
        if not twice.any() and before is None:
            return both.earlier, (int(both.earlier[-1]), _PLAIN)
        return _by_order(both, twice, before)


def _by_order(both: BothTimes, twice: npt.NDArray[np.bool_], before: Fold | None) -> tuple[npt.NDArray[np.int64], Fold]:
    times = both.earlier.copy()
    last, passed = before if before is not None else (None, _PLAIN)
    near = np.flatnonzero(twice | np.append(False, twice[:-1]) | np.append(twice[1:], False))
    at_start = [] if len(near) and near[0] == 0 else [0]
    for at in [*at_start, *near.tolist()]:
        now = int(both.earlier[at])
        if at and passed == _PLAIN and not twice[at - 1]:
            last = int(both.earlier[at - 1])
        if twice[at]:
            last, passed = now, _pass_of(now, int(both.later[at]), last, passed)
            if passed:
                times[at] = both.later[at]
        else:
            if passed != _PLAIN and last is not None and now < last:
                raise ValueError(_disorder(now))
            last, passed = now, _PLAIN
    if not twice[-1]:
        last, passed = int(both.earlier[-1]), _PLAIN
    return times, (last if last is not None else int(both.earlier[-1]), passed)


def _pass_of(now: int, later: int, last: int | None, passed: int) -> int:
    """Return whether a row in the repeated hour is of its first (0) or second (1) run."""
    if passed != _PLAIN and last is not None and abs(now - last) <= later - now:
        if now > last:
            return passed
        if passed:
            raise ValueError(_disorder(now))
        return 1
    if last is not None and last > now and last - now < _NEAR_NS:
        raise ValueError(_disorder(now))
    return 0


def _disorder(ns: int) -> str:
    return (
        f"near {format_time(ns)} the rows are not in the order of the clock, which would distinguish the two runs of the "
        "repeated hour: set source.dst_fold to earlier, later or dead_letter"
    )
